"""The files of the page; tests/browser opens them in a browser."""

import json

import pytest
from helpers.errors import refused
from helpers.litertjs import RUNTIME, install
from helpers.marks import slow
from helpers.nets import ARCHITECTURES, trained_model

from keras_resnet import export
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.export.web import web_page


@pytest.fixture
def npm(tmp_path):
    """A folder as npm leaves it."""
    install(tmp_path / "npm")
    return tmp_path / "npm"


@pytest.mark.parametrize("folder", [slow("."), "node_modules/@litertjs/core"])
def test_the_folder_holds_all_that_the_page_loads(npm, tmp_path, folder):
    names = [f"<{number}> & ü\u2028" for number in range(10)]
    export.export_tflite(
        trained_model(ARCHITECTURES["A"]),
        tmp_path / "net.tflite",
        class_names=names,
        spec=InputSpec(8, 1, "center"),
    )
    web_page(tmp_path / "net.tflite", tmp_path / "web", npm / folder, title="a net")
    files = {
        str(path.relative_to(tmp_path / "web")) for path in (tmp_path / "web").rglob("*") if path.is_file()
    }
    assert files == {
        "index.html",
        "app.js",
        "about.json",
        "model.tflite",
        "litert/package.json",
        "litert/index.js",
        "litert/wasm-utils.js",
        *(
            f"litert/wasm/litert_wasm_{build}.{kind}"
            for build in ("internal", "compat_internal")
            for kind in ("js", "wasm")
        ),
    }
    assert json.loads((tmp_path / "web" / "about.json").read_text()) == {
        **InputSpec(8, 3, "center").as_dict(),
        "shorter_side": 9,
        "is_published": False,
        "class_names": names,
        "title": "a net",
    }
    for name in ("index.html", "app.js"):
        assert "http" not in (tmp_path / "web" / name).read_text()  # nothing from elsewhere


@pytest.mark.parametrize("name", RUNTIME)
def test_an_incomplete_runtime_is_refused(npm, tmp_path, name):
    (npm / "node_modules" / "@litertjs" / name).unlink()
    with refused("litertjs", npm) as caught:
        web_page(tmp_path / "net.tflite", tmp_path / "web", npm, title="a net")
    assert name in caught.value.reason
    assert not (tmp_path / "web").exists()
