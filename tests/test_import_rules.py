"""The walls: what may import what, what an import costs, what the wheel holds."""

import ast
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import packaging.requirements
import packaging.utils
import pytest
from helpers.marks import slow

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_resnet"
# Each subpackage and those it may import, from the bottom up.
ALLOWED = {
    "_utils": set(),
    "weights": {"_utils"},
    "models": {"_utils", "weights"},
    "data": {"_utils", "weights"},
    "training": {"_utils", "weights", "models", "data"},
    "inference": {"_utils", "weights", "models", "data", "training"},
}
ALLOWED["evaluation"] = {*ALLOWED["inference"], "inference"}
ALLOWED["export"] = {*ALLOWED["evaluation"], "evaluation"}
ALLOWED["runs"] = {*ALLOWED["export"], "export"}
ALLOWED["experiments"] = {*ALLOWED["runs"], "runs"}
ALLOWED["cli"] = {*ALLOWED["experiments"], "experiments"}
# What every subpackage may import.
COMMON = {"errors", "_lazy"}


def _imports(path, whole=True):
    module = ast.parse(path.read_text())
    for node in ast.walk(module) if whole else module.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*/*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_one_way(path):
    subpackage = path.relative_to(PACKAGE).parts[0]
    used = {name.split(".")[1] for name in _imports(path) if name.startswith("keras_resnet.")} - {
        "__version__"
    }
    if path.parent.name == "weights" and path.name == "__init__.py":
        used -= {"models"}  # `weights.convert` is public there, and builds a model: its name alone is known
    assert used <= ALLOWED[subpackage] | {subpackage} | COMMON


def test_models_need_keras_alone():
    """TensorFlow only inside a function, where that is the backend."""
    used = {
        name.split(".")[0]
        for path in (PACKAGE / "models").glob("*.py")
        for name in _imports(path, whole=False)
    }
    assert used - set(sys.stdlib_module_names) <= {"keras", "keras_resnet", "numpy"}


def test_weights_are_known_without_what_reads_files_and_pictures():
    script = (
        "import sys; from keras_resnet.weights import conventions, get_weights, normalization, read;"
        "print(sorted({'PIL', 'h5py', 'keras', 'ml_dtypes', 'safetensors'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_import_is_free():
    script = (
        "import sys, keras_resnet; print(sorted({'keras', 'tensorflow', 'numpy', 'absl'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "imports",
    [
        "import keras; import keras_resnet",
        "import keras_resnet; import keras",
        slow(
            "import keras_resnet, importlib.util; importlib.util.find_spec('keras'); from keras import layers"
        ),
        slow("from keras_resnet.models import layers"),
    ],
)
def test_keras_knows_the_layers_of_saved_models(imports):
    """In whichever order they are imported; on the backend that imports fastest."""
    script = (
        f"{imports}\nimport keras, sys; keras.saving.load_model\n"
        "print(keras.saving.get_registered_object('keras_resnet>MeanSubtraction') is not None,"
        " sum(type(finder).__name__ == '_AfterKeras' for finder in sys.meta_path))"
    )
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.split() == ["True", "0"]


def test_public_names_are_all_there():
    import keras_resnet

    assert dir(keras_resnet) == sorted(keras_resnet.__all__)
    for name in keras_resnet.__all__:
        public = getattr(keras_resnet, name)
        assert callable(public) or dir(public) == sorted(public.__all__)
    with pytest.raises(AttributeError, match="no attribute 'ResNet51'"):
        _ = keras_resnet.ResNet51


def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    source = tmp_path / "source"  # building in place would leave files that a later wheel picks up
    shutil.copytree(PACKAGE, source / "keras_resnet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "tests", source / "tests")
    for name in ("pyproject.toml", "README.md", "LICENSE", "train.py"):
        shutil.copy(PACKAGE.parent / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("keras_resnet_applications-*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = [name for name in files.namelist() if ".dist-info/" not in name]
        metadata = next(files.read(name).decode() for name in files.namelist() if name.endswith("METADATA"))
    shipped = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    data = {"py.typed", "data/sources/digits.npz", "export/page/index.html", "export/page/app.js"}
    assert set(names) == shipped | {f"keras_resnet/{name}" for name in data}
    assert "Name: keras-resnet-applications" in metadata


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "train --help",
        "train --dpeth=20",
        "evaluate --view=ten_crop",
        "export RUN --tflight",
        "nonsense",
    ],
)
def test_help_and_wrong_flags_wait_for_nothing(arguments):
    """NumPy takes a tenth of a second, TensorFlow seconds."""
    script = (
        "import sys; from keras_resnet.cli.main import main; main(sys.argv[1:]); "
        "print(sorted({'keras', 'tensorflow', 'numpy', 'PIL', 'h5py'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, *arguments.split()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_nothing_that_a_file_says_is_run():
    """No pickle, no eval, no shell; those are only ways to run what somebody else wrote."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        found += [
            (path.name, name)
            for name in _imports(path)
            if name.split(".")[0] in ("pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib")
        ]
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call):
                continue
            called = ast.unparse(call.func)
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if (
                called in ("eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "torch.load")
                or given.get("shell", "False") != "False"
                or given.get("allow_pickle", "False") != "False"
                or given.get("safe_mode", "True") != "True"
                or (called.endswith("np.load") and given.get("allow_pickle") != "False")
            ):
                found.append((path.name, ast.unparse(call)))
    assert found == []


def _requirements():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = about["project"]["optional-dependencies"].values()
    for line in (
        *about["build-system"]["requires"],
        *about["project"]["dependencies"],
        *itertools.chain(*extras),
    ):
        yield packaging.requirements.Requirement(line)


def test_what_is_installed_is_pinned():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.!+]+", line) for line in lines)
    pins = dict(line.split("==") for line in lines)
    canonical = {packaging.utils.canonicalize_name(name): version for name, version in pins.items()}
    assert len(canonical) == len(lines)
    for requirement in _requirements():
        version = canonical.get(packaging.utils.canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned"
        assert requirement.specifier.contains(version), f"{requirement} is not pinned to what is needed"


def test_commits_are_looked_at_by_the_same_ruff():
    pinned = re.search(r"^ruff==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert f"rev: v{pinned}\n" in (ROOT / ".pre-commit-config.yaml").read_text()
