"""The web page's runtime, as npm installs it."""

import pathlib

RUNTIME = (
    "core/package.json",
    "core/dist/index.js",
    "wasm-utils/dist/index.js",
    "core/wasm/litert_wasm_internal.js",
    "core/wasm/litert_wasm_internal.wasm",
    "core/wasm/litert_wasm_compat_internal.js",
    "core/wasm/litert_wasm_compat_internal.wasm",
)


def install(folder: pathlib.Path) -> None:
    """Writes what `npm install @litertjs/core` does: files of the same names, which hold their names."""
    for name in RUNTIME:
        file = folder / "node_modules" / "@litertjs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
