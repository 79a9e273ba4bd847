import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused
from helpers.nets import ARCHITECTURES, trained_model
from helpers.pictures import PHOTOS, encoded, small

from keras_resnet import export
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.sources import digits
from keras_resnet.inference import Classifier, Predictor, load_predictor
from keras_resnet.inference.sidecars import write_sidecars

DIGITS = digits.load("test")[0][:5]


@pytest.fixture(scope="module")
def model():
    return trained_model(ARCHITECTURES["A"])


@pytest.fixture(scope="module")
def rgb():
    """For 32x32 pixels of color."""
    return trained_model(ARCHITECTURES["A"], size=32, channels=3)


def test_a_keras_file_alone_has_numbers_for_names(model, tmp_path):
    model.save(tmp_path / "net.keras")
    predictor = load_predictor(tmp_path / "net.keras")
    np.testing.assert_allclose(predictor.predict(DIGITS), model.predict(DIGITS, verbose=0), atol=1e-5)
    assert predictor.class_names == tuple(map(str, range(10)))
    assert predictor.spec == InputSpec(8, 1)
    assert predictor.model is not None


def test_a_keras_file_has_the_files_beside_it(model, tmp_path):
    model.save(tmp_path / "model.keras")
    (tmp_path / "run.json").write_text("{}")
    spec = InputSpec(8, 1, "center", resize_size=12, interpolation="bicubic")
    write_sidecars(tmp_path, [f"name {n}" for n in range(10)], spec)
    assert json.loads((tmp_path / "preprocessing.json").read_text()) == spec.as_dict()
    predictor = load_predictor(tmp_path)
    assert predictor.path == tmp_path / "model.keras"
    assert predictor.class_names[3] == "name 3"
    assert predictor.spec == spec
    (tmp_path / "labels.txt").write_text("one\n")
    with refused(None, tmp_path / "model.keras"):
        load_predictor(tmp_path)


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"size": 8}', b'{"size": 9, "channels": 1}', b"\xff"])
def test_a_damaged_description_beside_a_keras_file_is_refused(model, tmp_path, damaged):
    model.save(tmp_path / "model.keras")
    (tmp_path / "preprocessing.json").write_bytes(damaged)
    if damaged == b'{"size": 8}':  # which is for three channels
        value = tmp_path / "model.keras"
    else:
        value = tmp_path / ("model.keras" if b"9" in damaged else "preprocessing.json")
    with refused(None, value):
        load_predictor(tmp_path / "model.keras")


def test_a_size_chooses_the_crop_where_nothing_says_it():
    for size, crop_mode in ((64, "squash"), (65, "center")):
        pooled = keras.layers.GlobalAveragePooling2D()(image := keras.Input((size, size, 3)))
        predictor = Predictor.from_model(keras.Model(image, keras.layers.Dense(2, "softmax")(pooled)))
        assert predictor.spec == InputSpec(size, 3, crop_mode, "published")


def test_gray_images_go_into_a_file_that_takes_rgb(model, tmp_path):
    export.export_tflite(model, tmp_path / "net.tflite")
    predictor = load_predictor(tmp_path / "net.tflite")
    assert predictor.spec == InputSpec(8, 3)
    np.testing.assert_array_equal(predictor.predict(DIGITS), predictor.predict(np.repeat(DIGITS, 3, axis=-1)))


@pytest.fixture(scope="module", params=["keras", "tflite", "saved_model"])
def predictor(request, rgb, tmp_path_factory):
    """One model in each format, for centers of photographs."""
    folder, spec = tmp_path_factory.mktemp("net"), InputSpec(32, 3, "center")
    names = [f"class {number}" for number in range(10)]
    if request.param == "keras":
        return Predictor.from_model(rgb, names, spec=spec)
    write = {"tflite": export.export_tflite, "saved_model": export.export_saved_model}[request.param]
    path = folder / ("net.tflite" if request.param == "tflite" else "net")
    write(rgb, path, class_names=names, spec=spec)
    return load_predictor(path)


def test_one_image_is_a_batch_of_one(predictor, rgb):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    expected = rgb.predict(images, verbose=0)
    for pixels in (images, images.astype("float32"), images.astype("int64"), list(images)):
        probabilities = predictor.predict(pixels)
        assert probabilities.shape == (4, 10)
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(predictor.predict(images[2]), expected[2:3], atol=1e-4)
    assert predictor.predict(images[:0]).shape == (0, 10)
    assert predictor.predict([]).shape == (0, 10)


def test_files_and_images_of_other_sizes_are_prepared_as_in_evaluation(predictor, rgb, tmp_path):
    files = [encoded(small(0, 90, 60), "PNG"), encoded(small(1, 60, 80), "PNG")]
    prepared = np.stack([preprocess_image(contents, predictor.spec) for contents in files])
    expected = rgb.predict(prepared, verbose=0)
    (tmp_path / "a.png").write_bytes(files[0])
    np.testing.assert_allclose(predictor.predict(tmp_path / "a.png"), expected[:1], atol=1e-4)
    np.testing.assert_allclose(predictor.predict(str(tmp_path / "a.png")), expected[:1], atol=1e-4)
    np.testing.assert_allclose(predictor.predict(files[1]), expected[1:], atol=1e-4)
    np.testing.assert_allclose(predictor.predict([tmp_path / "a.png", files[1]]), expected, atol=1e-4)
    np.testing.assert_allclose(predictor.predict(small(0, 90, 60)), expected[:1], atol=1e-4)
    mixed = [small(0, 90, 60), prepared[1]]
    np.testing.assert_allclose(predictor.predict(mixed), expected, atol=1e-4)


def test_the_likeliest_classes_come_first(predictor):
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), "uint8")
    probabilities = predictor.predict(images)
    top = predictor.top(images, k=3)
    assert [len(row) for row in top] == [3, 3, 3]
    for row, classes in zip(probabilities, top, strict=True):
        assert classes == [(f"class {index}", row[index]) for index in (-row).argsort(kind="stable")[:3]]
    assert len(predictor.top(images[0], k=99)[0]) == 10
    with refused("k", 0):
        predictor.top(images, k=0)


def test_rgb_pixels_of_a_gray_models_size_are_not_cropped(model):
    predictor = Predictor.from_model(model, spec=InputSpec(8, 1, "center"))
    colors = np.random.default_rng(2).integers(0, 256, (2, 8, 8, 3), "uint8")
    gray = [np.asarray(PIL.Image.fromarray(image).convert("L"))[..., None] for image in colors]
    np.testing.assert_array_equal(predictor.predict(colors), predictor.predict(np.stack(gray)))


@pytest.mark.parametrize(
    ("images", "value"),
    [
        (np.zeros((2, 2)), "(2, 2)"),
        (np.zeros((2, 8, 8)), "(2, 8, 8)"),
        (np.zeros((2, 8, 8, 4), "uint8"), "(2, 8, 8, 4)"),
        (np.zeros((9, 9, 1), "float32"), "(9, 9, 1)"),
        ([np.zeros((2, 8, 8, 1), "uint8")], "(2, 8, 8, 1)"),
        (np.full((8, 8, 1), 256), "int64"),
        (np.full((8, 8, 1), -1), "int64"),
        (np.zeros((8, 8, 1), "complex64"), "complex64"),
    ],
    ids=str,
)
def test_arrays_that_are_no_images_are_refused(model, images, value):
    with refused("images", value):
        Predictor.from_model(model).predict(images)


def test_a_file_that_is_no_image_is_refused(model, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with refused(None, str(tmp_path / "notes.txt")):
        Predictor.from_model(model).predict(tmp_path / "notes.txt")


_WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "keras"):
    sys.modules[name] = None  # an import of it fails
from keras_resnet.inference import load_predictor
predictor = load_predictor(sys.argv[1])
print(predictor.spec.crop_mode, predictor.top(sys.argv[2], k=1)[0][0][0])
"""


def test_a_tflite_file_predicts_without_tensorflow(model, tmp_path):
    names = [f"digit {number}" for number in range(10)]
    export.export_tflite(model, tmp_path / "net.tflite", class_names=names)
    PIL.Image.fromarray(PHOTOS[0]).save(tmp_path / "photo.jpg")
    command = [sys.executable, "-c", _WITHOUT_TENSORFLOW, tmp_path / "net.tflite", tmp_path / "photo.jpg"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    ((name, _),) = Predictor.from_model(model, names).top(tmp_path / "photo.jpg", k=1)[0]
    assert result.stdout.split("\n")[0] == f"squash {name}"


def test_a_larger_batch_size_of_a_file_is_filled(model, tmp_path):
    export.export_tflite(model, tmp_path / "net.tflite", batch_size=4)
    predictor = load_predictor(tmp_path / "net.tflite")
    np.testing.assert_allclose(predictor.predict(DIGITS), model.predict(DIGITS, verbose=0), atol=1e-5)


def _flat(shape, classes=10):
    image = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, keras.layers.Dense(classes, "softmax")(pooled), name="net")


_CONVOLUTION = keras.Model(image := keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)(image), name="net")


@pytest.mark.parametrize(
    ("model", "names", "parameter", "value"),
    [
        (_flat((None, None, 3)), [], "model", "net"),
        (_flat((8, 9, 3)), [], "model", "net"),
        (_flat((8, 8, 2)), [], "model", "net"),
        (_CONVOLUTION, [], "model", "net"),
        (_flat((8, 8, 3)), ["cat", "dog"], "class_names", None),
        (_flat((8, 8, 3), 2), ["cat", "do\ng"], "class_names", r"'do\ng'"),
        (_flat((8, 8, 3), 2), ["cat", " "], "class_names", "' '"),
    ],
    ids=["any size", "no square", "channels", "no vector", "too few names", "two lines", "empty name"],
)
def test_models_that_no_file_is_made_of_are_refused(model, names, parameter, value):
    with refused(parameter, value):
        Predictor.from_model(model, names)


def test_a_spec_of_another_model_is_refused(model):
    for spec in (InputSpec(9, 1), InputSpec(8, 3)):
        with refused("spec", f"{spec.size}x{spec.size}x{spec.channels}"):
            Classifier(model, spec=spec)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no net")
    (tmp_path / "net.keras").write_bytes(b"no net")
    (tmp_path / "labels.txt").write_text("one\n")
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"no net")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    reasons = set()
    for name in ("net.tflite", "net.keras", "labels.txt", "saved_model", "run", "none"):
        with refused(None, tmp_path / name) as caught:
            load_predictor(tmp_path / name)
        reasons.add(caught.value.reason)
    assert len(reasons) == 6


def _archive_start(path):
    with zipfile.ZipFile(path) as archive:
        return min(member.header_offset for member in archive.infolist())


def test_files_of_others_are_refused(model, tmp_path):
    export.export_tflite(model, tmp_path / "net.tflite")
    content = (tmp_path / "net.tflite").read_bytes()
    (tmp_path / "bare.tflite").write_bytes(content[: _archive_start(tmp_path / "net.tflite")])
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(tmp_path / "any.keras")
    for name in ("bare.tflite", "any.keras"):
        with refused(None, tmp_path / name):
            load_predictor(tmp_path / name)


def test_a_tflite_file_with_the_description_of_another_is_refused(model, tmp_path):
    path = tmp_path / "net.tflite"
    export.export_tflite(model, path)
    path.write_bytes(path.read_bytes()[: _archive_start(path)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "".join(f"{number}\n" for number in range(10)))
        archive.writestr("preprocessing.json", json.dumps(InputSpec(9, 3).as_dict()))
    with refused(None, path):
        load_predictor(path)


def test_a_damaged_keras_file_is_refused(model, tmp_path):
    model.save(tmp_path / "net.keras")
    content = bytearray((tmp_path / "net.keras").read_bytes())
    content[len(content) // 2] ^= 1  # a weight, whose checksum is another then
    (tmp_path / "net.keras").write_bytes(content)
    with refused(None, tmp_path / "net.keras") as caught:
        load_predictor(tmp_path / "net.keras")
    assert "Bad CRC-32" in caught.value.reason


def test_labels_that_are_not_utf8_are_refused(model, tmp_path):
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_bytes(b"caf\xe9\n" * 10)
    with refused(None, tmp_path / "labels.txt"):
        load_predictor(tmp_path / "model.keras")


@pytest.mark.parametrize("fields", [{"size": 10**9}, {"size": 0}, {"channels": 2}, {"size": 8.0}], ids=str)
def test_a_saved_model_of_impossible_images_is_refused(tmp_path, fields):
    extra = tmp_path / "net" / "assets.extra"
    extra.mkdir(parents=True)
    (tmp_path / "net" / "saved_model.pb").touch()
    (extra / "preprocessing.json").write_text(json.dumps({"size": 8, "channels": 1, **fields}))
    (extra / "labels.txt").write_text("one\n")
    with refused(None, tmp_path / "net") as caught:
        load_predictor(tmp_path / "net")
    cause = caught.value.__cause__
    assert cause.parameter in fields or cause.value == "preprocessing.json"
