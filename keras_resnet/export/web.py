"""Writes a web page that runs a TFLite file in the visitor's browser, with LiteRT.js."""

import importlib.resources
import json
import os
import pathlib
import shutil
import zipfile

from keras_resnet._utils.atomic import atomic_write
from keras_resnet.errors import UserError
from keras_resnet.inference.labels import LABELS, read_labels
from keras_resnet.inference.sidecars import PREPROCESSING, read_preprocessing
from keras_resnet.inference.thresholds import THRESHOLDS, read_thresholds

_PACKAGE = "@litertjs/core"
# Two builds: for browsers with relaxed SIMD, and for others.
_RUNTIMES = ("litert_wasm_internal", "litert_wasm_compat_internal")


def litertjs_folder(path: str | os.PathLike) -> pathlib.Path:
    """Returns the folder of npm's package @litertjs/core.

    Args:
        path: that folder, or one with `node_modules` in it.

    Raises:
        UserError: the package is missing or incomplete.
    """
    path = pathlib.Path(path)
    installed = path / "node_modules" / _PACKAGE
    folder = installed if installed.is_dir() else path
    missing = [name for name in _needed(folder).values() if not name.is_file()]
    if missing:
        raise UserError(
            f"the web page needs the npm package {_PACKAGE}, and {missing[0]} is missing; run `npm install "
            f"{_PACKAGE}` and give the folder in which you ran it.",
            parameter="litertjs",
            value=path,
        )
    return folder


def web_page(
    tflite: str | os.PathLike, path: str | os.PathLike, litertjs: str | os.PathLike, *, title: str
) -> None:
    """Writes a folder for any web server: page, model and runtime, with nothing fetched from elsewhere.

    Args:
        tflite: a float32 file that this package exported.
        path: the folder to write.
        litertjs: as of `litertjs_folder`.
        title: of the page.

    Raises:
        UserError: the runtime is missing.
    """
    needed = _needed(litertjs_folder(litertjs))
    with zipfile.ZipFile(tflite) as archive:
        spec = read_preprocessing(archive.read(PREPROCESSING))
        class_names = read_labels(archive.read(LABELS).decode())
        thresholds = None
        if THRESHOLDS in archive.namelist():
            thresholds = read_thresholds(archive.read(THRESHOLDS), len(class_names))
    about = {
        **spec.as_dict(),
        "shorter_side": spec.shorter_side,
        "is_published": spec.is_published,
        "class_names": class_names,
        "title": title,
        **({} if thresholds is None else {"thresholds": thresholds}),
    }
    with atomic_write(path) as written:
        for target, source in needed.items():
            (written / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, written / target)
        for page in importlib.resources.files("keras_resnet.export").joinpath("page").iterdir():
            (written / page.name).write_bytes(page.read_bytes())
        shutil.copyfile(tflite, written / "model.tflite")
        (written / "about.json").write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")


def _needed(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns where each file of the runtime is, by its place next to the page."""
    utilities = folder.parent / "wasm-utils"
    return {
        "litert/package.json": folder / "package.json",  # names its version and license
        "litert/index.js": folder / "dist" / "index.js",
        "litert/wasm-utils.js": utilities / "dist" / "index.js",
        **{
            f"litert/wasm/{name}.{suffix}": folder / "wasm" / f"{name}.{suffix}"
            for name in _RUNTIMES
            for suffix in ("js", "wasm")
        },
    }
