import base64
import json
import subprocess
import sys
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import rest_server
from helpers.errors import refused
from helpers.nets import ARCHITECTURES, trained_model
from helpers.pictures import PHOTOS, encoded, small

from keras_resnet import export
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.sources import digits
from keras_resnet.inference import load_predictor

CENTER = InputSpec(32, 3, "center")
NAMES = tuple(f"class {number}" for number in range(10))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model")
    model = trained_model(ARCHITECTURES["A"], size=32, channels=3)
    export.export_saved_model(model, folder / "center", class_names=NAMES, spec=CENTER)
    export.export_saved_model(model, folder / "nan", class_names=NAMES, spec=CENTER, on_decode_error="nan")
    return model, folder


def _served(folder, name, **inputs):
    # The signature lives only as long as what it was loaded with.
    loaded = tf.saved_model.load(str(folder))
    return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}


def _files():
    return [encoded(small(0)), encoded(small(1), "PNG"), encoded(PHOTOS[0])]


def test_pixels_of_the_models_size_are_taken_as_they_are(exported):
    model, folder = exported
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), "uint8")
    expected = model.predict(images, verbose=0)
    for count in (1, 7):
        outputs = _served(
            folder / "center", "serving_default", images=tf.constant(images[:count], tf.float32)
        )
        np.testing.assert_allclose(outputs["probabilities"], expected[:count], atol=1e-5)
    best = np.argsort(-expected, axis=1)[:, :5]
    np.testing.assert_allclose(outputs["scores"], np.take_along_axis(expected, best, 1), atol=1e-5)
    assert [[name.decode() for name in row] for row in outputs["classes"]] == [
        [NAMES[index] for index in row] for row in best
    ]


def test_fractions_of_pixels_count(exported):
    _, folder = exported
    image = np.random.default_rng(3).integers(0, 255, (1, 32, 32, 3)).astype("float32")
    images = np.concatenate([image, image + 0.75])
    outputs = _served(folder / "center", "serving_default", images=tf.constant(images))["probabilities"]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-5


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("serving_default", {"images": tf.zeros((0, 32, 32, 3))}),
        ("serve_bytes", {"image_bytes": tf.zeros((0,), tf.string)}),
    ],
)
def test_an_empty_batch_is_refused(exported, name, inputs):
    with pytest.raises(tf.errors.InvalidArgumentError, match="is empty; a batch needs at least one"):
        _served(exported[1] / "center", name, **inputs)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixels_of_any_size_are_prepared_as_in_evaluation(exported, dtype):
    model, folder = exported
    loaded = tf.saved_model.load(str(folder / "center"))
    outputs = loaded.serve(tf.constant(PHOTOS[0][None], dtype))["probabilities"].numpy()
    prepared = preprocess_image(encoded(PHOTOS[0], "PNG"), CENTER)
    np.testing.assert_allclose(outputs, model.predict(prepared[None], verbose=0), atol=2e-2)


def test_files_are_prepared_as_in_evaluation(exported):
    model, folder = exported
    outputs = _served(folder / "center", "serve_bytes", image_bytes=tf.constant(_files()))
    prepared = [preprocess_image(file, CENTER) for file in _files()]
    expected = model.predict(np.stack(prepared), verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-2)
    assert outputs["classes"].shape == outputs["scores"].shape == (3, 5)


@pytest.mark.slow
@pytest.mark.parametrize(("resize_size", "interpolation"), [(41, "bilinear"), (32, "bicubic")])
def test_images_for_published_weights_are_prepared_as_their_publisher_does(
    exported, tmp_path, resize_size, interpolation
):
    spec = InputSpec(32, 3, "center", "published", resize_size, interpolation)
    export.export_saved_model(exported[0], tmp_path / "net", spec=spec)
    assert load_predictor(tmp_path / "net").spec == spec
    server = tf.saved_model.load(str(tmp_path / "net"))
    prepared = np.stack([preprocess_image(file, spec) for file in _files()])
    expected = exported[0].predict(prepared, verbose=0)
    outputs = server.serve_bytes(tf.constant(_files()))["probabilities"].numpy()
    np.testing.assert_allclose(outputs, expected, atol=2e-2)
    outputs = server.serve(tf.constant(PHOTOS[0][None]))["probabilities"].numpy()
    expected = exported[0].predict(preprocess_image(PHOTOS[0], spec)[None], verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=2e-2)
    line = encoded(np.zeros((1, 60_000, 3), "uint8"), "PNG")  # 32 times as many columns when resized
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be decoded"):
        server.serve_bytes(tf.constant([encoded(np.zeros((1, 10**6, 3), "uint8"), "PNG")]))
    assert server.serve_bytes(tf.constant([line]))["probabilities"].shape == (1, 10)


def test_a_damaged_file_fails_with_its_index(exported):
    files = _files()
    files.insert(2, b"no picture")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[.*2.*cannot be decoded"):
        _served(exported[1] / "center", "serve_bytes", image_bytes=tf.constant(files))


@pytest.mark.slow
def test_a_damaged_file_gives_nan_by_choice(exported):
    _, folder = exported
    files = _files()
    expected = _served(folder / "center", "serve_bytes", image_bytes=tf.constant(files))
    files.insert(1, encoded(small(0))[:300])
    outputs = _served(folder / "nan", "serve_bytes", image_bytes=tf.constant(files))
    good = [0, 2, 3]
    for name in ("probabilities", "scores"):
        assert np.isnan(outputs[name][1]).all()
        np.testing.assert_allclose(outputs[name][good], expected[name], atol=1e-5)
    assert set(outputs["classes"][1]) == {b""}
    assert (outputs["classes"][good] == expected["classes"]).all()


def test_it_is_loaded_as_a_predictor(exported):
    model, folder = exported
    predictor = load_predictor(folder / "center")
    assert predictor.spec == CENTER
    assert predictor.class_names == NAMES
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), "uint8")
    np.testing.assert_allclose(predictor.predict(images), model.predict(images, verbose=0), atol=1e-5)


@pytest.mark.slow
def test_few_classes_and_gray_images(tmp_path):
    image = keras.Input((8, 8, 1), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(pooled), name="few")
    names = ("eins", "zwei\u2028", "drei")
    export.export_saved_model(model, tmp_path / "net", class_names=names)
    images, _ = digits.load("test")
    outputs = _served(tmp_path / "net", "serving_default", images=tf.constant(images[:3], tf.float32))
    np.testing.assert_allclose(outputs["probabilities"], model.predict(images[:3], verbose=0), atol=1e-5)
    assert outputs["classes"].shape == outputs["scores"].shape == (3, 3)
    assert load_predictor(tmp_path / "net").class_names == names
    # Formats whose decoders have no gray.
    files = [encoded(small(0), kind) for kind in ("GIF", "BMP", "WEBP", "PNG")]
    served = _served(tmp_path / "net", "serve_bytes", image_bytes=tf.constant(files))["probabilities"]
    np.testing.assert_allclose(served, served[3:].repeat(4, axis=0), atol=2e-2)


def test_an_unknown_choice_is_refused(exported, tmp_path):
    with refused("on_decode_error", "skip"):
        export.export_saved_model(exported[0], tmp_path / "net", on_decode_error="skip")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorflows_own_tool_reads_and_runs_it(exported, tmp_path):
    folder = exported[1] / "center"
    tool = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    listing = subprocess.run(
        [*tool, "show", "--dir", folder, "--all"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    for text in ("serving_default", "serve_bytes", "image_bytes", "DT_STRING", "probabilities", "classes"):
        assert text in listing, text
    np.save(tmp_path / "images.npy", np.zeros((2, 40, 50, 3), "float32"))
    command = ["run", "--dir", folder, "--tag_set=serve", "--signature_def=serving_default"]
    command += ["--inputs=images=images.npy", f"--outdir={tmp_path}"]
    subprocess.run([*tool, *command], capture_output=True, check=True, cwd=tmp_path)
    assert np.load(tmp_path / "probabilities.npy").shape == (2, 10)


@pytest.fixture(scope="module")
def server(exported):
    with rest_server.serving(exported[1] / "center") as url:
        yield f"{url}/v1/models/net:predict"


def _post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_served_over_http_without_this_package(exported, server):
    model, _ = exported
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3)).tolist()
    (of_pixels,) = _post(server, {"instances": [image]})["predictions"]
    expected = model.predict(np.array([image], "uint8"), verbose=0)[0]
    np.testing.assert_allclose(of_pixels["probabilities"], expected, atol=1e-5)
    picture = base64.b64encode(encoded(np.array(image, "uint8"), "PNG")).decode()
    body = {"signature_name": "serve_bytes", "instances": [{"image_bytes": {"b64": picture}}] * 2}
    of_files = _post(server, body)["predictions"]
    assert len(of_files) == 2
    assert of_files[0]["classes"][0] in NAMES
    assert of_files[0]["scores"] == sorted(of_files[0]["scores"], reverse=True)


@pytest.mark.slow
def test_a_damaged_file_is_a_bad_request(server):
    nothing = base64.b64encode(b"nothing").decode()
    body = {"signature_name": "serve_bytes", "instances": [{"image_bytes": {"b64": nothing}}]}
    with pytest.raises(urllib.error.HTTPError) as error:
        _post(server, body)
    assert error.value.code == 400
    assert "cannot be decoded" in json.loads(error.value.read())["error"]
    error.value.close()
