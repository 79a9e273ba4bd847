"""The page's files here; what a browser makes of them in tests/browser."""

import json

import pytest
from litertjs import RUNTIME, install
from nets import NETS, trained

from keras_resnet import export
from keras_resnet.errors import UserError
from keras_resnet.export.web import web_page


@pytest.fixture
def npm(tmp_path):
    """A folder as npm leaves it."""
    install(tmp_path / "npm")
    return tmp_path / "npm"


@pytest.mark.parametrize("given", [".", "node_modules/@litertjs/core"])
def test_the_folder_holds_all_that_the_page_loads(npm, tmp_path, given):
    names = [f"<{number}> & ü\u2028" for number in range(10)]
    export.tflite(trained(NETS["A"]), tmp_path / "net.tflite", class_names=names, whole=False)
    web_page(tmp_path / "net.tflite", tmp_path / "web", npm / given, title="a net")
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
        "channels": 1,
        "class_names": names,
        "shorter_side": 9,
        "size": 8,
        "title": "a net",
        "whole": False,
    }
    for name in ("index.html", "app.js"):
        assert "http" not in (tmp_path / "web" / name).read_text()  # nothing from elsewhere


@pytest.mark.parametrize("name", RUNTIME)
def test_a_runtime_that_is_not_whole_is_refused(npm, tmp_path, name):
    (npm / "node_modules" / "@litertjs" / name).unlink()
    with pytest.raises(UserError, match="needs the npm package @litertjs/core") as refused:
        web_page(tmp_path / "net.tflite", tmp_path / "web", npm, title="a net")
    assert name in str(refused.value)
    assert not (tmp_path / "web").exists()
