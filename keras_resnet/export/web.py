"""A folder with one page that runs a TFLite file in the visitor's browser, through LiteRT.js."""

import importlib.resources
import json
import os
import pathlib
import shutil
import zipfile

from keras_resnet.data.view import shorter_side
from keras_resnet.errors import UserError
from keras_resnet.evaluation.opened import LABELS, PREPROCESSING, read_labels
from keras_resnet.files import atomic

_PACKAGE = "@litertjs/core"
# Two builds: for browsers with relaxed SIMD, and for the others.
_RUNTIMES = ("litert_wasm_internal", "litert_wasm_compat_internal")


def litertjs_folder(path: str | os.PathLike) -> pathlib.Path:
    """The folder of npm's package @litertjs/core, checked.

    Args:
        path: that folder, or one with `node_modules` in it.

    Raises:
        UserError: it is not there, or not whole.
    """
    path = pathlib.Path(path)
    installed = path / "node_modules" / _PACKAGE
    folder = installed if installed.is_dir() else path
    missing = [name for name in _needed(folder).values() if not name.is_file()]
    if missing:
        raise UserError(
            f"The web page needs the npm package {_PACKAGE}, and {missing[0]} is not there: run "
            f"`npm install {_PACKAGE}` and give the folder in which it was run by --litertjs=FOLDER."
        )
    return folder


def web_page(
    tflite: str | os.PathLike, path: str | os.PathLike, litertjs: str | os.PathLike, *, title: str
) -> None:
    """Write a folder for any web server: page, net and runtime, with nothing fetched from elsewhere.

    Args:
        tflite: a float32 file that this package exported.
        path: the folder to write.
        litertjs: as of `litertjs_folder`.
        title: of the page.

    Raises:
        UserError: the runtime is not there.
    """
    needed = _needed(litertjs_folder(litertjs))
    with zipfile.ZipFile(tflite) as archive:
        told = json.loads(archive.read(PREPROCESSING))
        class_names = read_labels(archive.read(LABELS).decode())
    about = {**told, "class_names": class_names, "shorter_side": shorter_side(told["size"]), "title": title}
    with atomic(path) as written:
        for target, source in needed.items():
            (written / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, written / target)
        for page in importlib.resources.files("keras_resnet.export").joinpath("page").iterdir():
            (written / page.name).write_bytes(page.read_bytes())
        shutil.copyfile(tflite, written / "model.tflite")
        (written / "about.json").write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")


def _needed(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Where each file of the runtime is, by its place beside the page."""
    utilities = folder.parent / "wasm-utils"
    return {
        "litert/package.json": folder / "package.json",  # names its version and licence
        "litert/index.js": folder / "dist" / "index.js",
        "litert/wasm-utils.js": utilities / "dist" / "index.js",
        **{
            f"litert/wasm/{name}.{suffix}": folder / "wasm" / f"{name}.{suffix}"
            for name in _RUNTIMES
            for suffix in ("js", "wasm")
        },
    }
