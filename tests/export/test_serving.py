import base64
import json
import subprocess
import sys
import urllib.request

import keras
import numpy as np
import pytest
import rest_server
import tensorflow as tf
from nets import NETS, trained
from pictures import PHOTOS, encoded, small

from keras_resnet import export
from keras_resnet.data import digits
from keras_resnet.data.picture import seen_picture
from keras_resnet.evaluation.opened import open_model

NAMES = tuple(f"class {number}" for number in range(10))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model")
    model = trained(NETS["A"], size=32, channels=3)
    export.saved_model(model, folder / "centre", class_names=NAMES, whole=False)
    export.saved_model(model, folder / "nan", class_names=NAMES, whole=False, undecodable="nan")
    return model, folder


def _served(folder, name, **inputs):
    # The signature lives only as long as what it was loaded with.
    loaded = tf.saved_model.load(str(folder))
    return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}


def _files():
    return [encoded(small(0)), encoded(small(1), "PNG"), encoded(PHOTOS[0])]


def test_pixels_of_the_nets_size_are_taken_as_they_are(exported):
    model, folder = exported
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), "uint8")
    wanted = model.predict(images, verbose=0)
    for count in (1, 7):
        given = _served(folder / "centre", "serving_default", images=tf.constant(images[:count], tf.float32))
        np.testing.assert_allclose(given["probabilities"], wanted[:count], atol=1e-5)
    best = np.argsort(-wanted, axis=1)[:, :5]
    np.testing.assert_allclose(given["scores"], np.take_along_axis(wanted, best, 1), atol=1e-5)
    assert [[name.decode() for name in row] for row in given["classes"]] == [
        [NAMES[index] for index in row] for row in best
    ]


def test_fractions_of_pixels_count(exported):
    _, folder = exported
    image = np.random.default_rng(3).integers(0, 255, (1, 32, 32, 3)).astype("float32")
    images = np.concatenate([image, image + 0.75])
    given = _served(folder / "centre", "serving_default", images=tf.constant(images))["probabilities"]
    assert np.abs(given[0] - given[1]).max() > 1e-5


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("serving_default", {"images": tf.zeros((0, 32, 32, 3))}),
        ("serve_bytes", {"image_bytes": tf.zeros((0,), tf.string)}),
    ],
)
def test_batch_of_none_is_refused(exported, name, inputs):
    with pytest.raises(tf.errors.InvalidArgumentError, match="is empty; a batch needs at least one"):
        _served(exported[1] / "centre", name, **inputs)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixels_of_any_size_are_seen_as_in_tests(exported, dtype):
    model, folder = exported
    loaded = tf.saved_model.load(str(folder / "centre"))
    given = loaded.serve(tf.constant(PHOTOS[0][None], dtype))["probabilities"].numpy()
    seen = seen_picture(encoded(PHOTOS[0], "PNG"), 32, 3, whole=False, name="photo")
    np.testing.assert_allclose(given, model.predict(seen[None], verbose=0), atol=2e-2)


def test_files_are_seen_as_in_tests(exported):
    model, folder = exported
    given = _served(folder / "centre", "serve_bytes", image_bytes=tf.constant(_files()))
    seen = [seen_picture(file, 32, 3, whole=False, name="photo") for file in _files()]
    wanted = model.predict(np.stack(seen), verbose=0)
    np.testing.assert_allclose(given["probabilities"], wanted, atol=2e-2)
    assert given["classes"].shape == given["scores"].shape == (3, 5)


def test_damaged_file_fails_with_its_index(exported):
    files = _files()
    files.insert(2, b"no picture")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[.*2.*cannot be decoded"):
        _served(exported[1] / "centre", "serve_bytes", image_bytes=tf.constant(files))


def test_damaged_file_gives_nan_by_choice(exported):
    _, folder = exported
    files = _files()
    wanted = _served(folder / "centre", "serve_bytes", image_bytes=tf.constant(files))
    files.insert(1, encoded(small(0))[:300])
    given = _served(folder / "nan", "serve_bytes", image_bytes=tf.constant(files))
    good = [0, 2, 3]
    for name in ("probabilities", "scores"):
        assert np.isnan(given[name][1]).all()
        np.testing.assert_allclose(given[name][good], wanted[name], atol=1e-6)
    assert set(given["classes"][1]) == {b""}
    assert (given["classes"][good] == wanted["classes"]).all()


def test_opened_again_it_gives_the_models_answers(exported):
    model, folder = exported
    opened = open_model(folder / "centre")
    assert (opened.size, opened.channels, opened.whole) == (32, 3, False)
    assert opened.class_names == NAMES
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), "uint8")
    np.testing.assert_allclose(opened.probabilities(images), model.predict(images, verbose=0), atol=1e-5)


def test_net_of_few_classes_and_grey_images(tmp_path):
    image = keras.Input((8, 8, 1), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(pooled), name="few")
    names = ("eins", "zwei\u2028", "drei")
    export.saved_model(model, tmp_path / "net", class_names=names)
    images, _ = digits.load("test")
    given = _served(tmp_path / "net", "serving_default", images=tf.constant(images[:3], tf.float32))
    np.testing.assert_allclose(given["probabilities"], model.predict(images[:3], verbose=0), atol=1e-5)
    assert given["classes"].shape == given["scores"].shape == (3, 3)
    assert open_model(tmp_path / "net").class_names == names
    # Kinds of files whose decoders know no grey.
    files = [encoded(small(0), kind) for kind in ("GIF", "BMP", "WEBP", "PNG")]
    served = _served(tmp_path / "net", "serve_bytes", image_bytes=tf.constant(files))["probabilities"]
    np.testing.assert_allclose(served, served[3:].repeat(4, axis=0), atol=2e-2)


def test_wrong_choice_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="undecodable must be one of error, nan; got 'skip'"):
        export.saved_model(exported[0], tmp_path / "net", undecodable="skip")
    assert not list(tmp_path.iterdir())


def test_tensorflows_own_tool_reads_and_runs_it(exported, tmp_path):
    folder = exported[1] / "centre"
    tool = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    shown = subprocess.run(
        [*tool, "show", "--dir", folder, "--all"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    for text in ("serving_default", "serve_bytes", "image_bytes", "DT_STRING", "probabilities", "classes"):
        assert text in shown, text
    np.save(tmp_path / "images.npy", np.zeros((2, 40, 50, 3), "float32"))
    command = ["run", "--dir", folder, "--tag_set=serve", "--signature_def=serving_default"]
    command += ["--inputs=images=images.npy", f"--outdir={tmp_path}"]
    subprocess.run([*tool, *command], capture_output=True, check=True, cwd=tmp_path)
    assert np.load(tmp_path / "probabilities.npy").shape == (2, 10)


@pytest.fixture(scope="module")
def server(exported):
    with rest_server.serving(exported[1] / "centre") as url:
        yield f"{url}/v1/models/net:predict"


def _post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_served_over_http_without_this_package(exported, server):
    model, _ = exported
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3)).tolist()
    (of_pixels,) = _post(server, {"instances": [image]})["predictions"]
    wanted = model.predict(np.array([image], "uint8"), verbose=0)[0]
    np.testing.assert_allclose(of_pixels["probabilities"], wanted, atol=1e-5)
    picture = base64.b64encode(encoded(np.array(image, "uint8"), "PNG")).decode()
    body = {"signature_name": "serve_bytes", "instances": [{"image_bytes": {"b64": picture}}] * 2}
    of_files = _post(server, body)["predictions"]
    assert len(of_files) == 2
    assert of_files[0]["classes"][0] in NAMES
    assert of_files[0]["scores"] == sorted(of_files[0]["scores"], reverse=True)


def test_served_damaged_file_is_a_bad_request(server):
    nothing = base64.b64encode(b"nothing").decode()
    body = {"signature_name": "serve_bytes", "instances": [{"image_bytes": {"b64": nothing}}]}
    with pytest.raises(urllib.error.HTTPError) as refused:
        _post(server, body)
    assert refused.value.code == 400
    assert "cannot be decoded" in json.loads(refused.value.read())["error"]
    refused.value.close()
