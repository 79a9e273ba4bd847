"""Views and ensembles against plain loops over single images."""

import csv
import dataclasses
import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.nets import ARCHITECTURES, trained_model
from helpers.pictures import PHOTOS, encoded, small

from keras_resnet import export
from keras_resnet.data.dataset import Split
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.load import load_dataset
from keras_resnet.data.sources import digits
from keras_resnet.evaluation import dense_predict_fn, evaluate, evaluator
from keras_resnet.evaluation.results import write_confusion, write_results
from keras_resnet.inference import Predictor, load_predictor
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.checkpoint import Checkpoints

DIGITS = load_dataset("digits")
IMAGES, LABELS = digits.load("test")


def _unsure(architecture, **shape):
    """Returns a model none of whose probabilities is so small that its loss is cut off."""
    model = trained_model(architecture, **shape)
    head = model.get_layer("predictions")
    head.set_weights([0.05 * weight for weight in head.get_weights()])
    return model


@pytest.fixture(scope="module")
def keras_models():
    return {name: _unsure(ARCHITECTURES[name]) for name in ("A", "plain")}


@pytest.fixture(scope="module")
def photo_model():
    """For 32x32 pixels of color, with the stem of ImageNet architectures."""
    return _unsure(Architecture("small", (1, 1), (8, 16)), size=32, channels=3)


def _photographs():
    """Returns files of three shapes, labeled by their index."""
    files = [
        encoded(small(number % 2, *size), "PNG")
        for number, size in enumerate([(90, 60), (60, 80), (90, 60), (64, 64)])
    ]
    contents = tf.constant(files)

    def read(key, start=0, step=1):
        return tf.data.Dataset.range(start, 4, step).map(lambda index: (index, contents[index], index))

    return files, Split("photographs", 4, read, str)


def _pillow(contents, shorter):
    picture = PIL.Image.open(io.BytesIO(contents))
    scale = shorter / min(picture.size)
    return np.asarray(
        picture.resize(
            [max(shorter, round(side * scale)) for side in picture.size], PIL.Image.Resampling.BILINEAR
        )
    )


def _losses(result):
    """Returns the loss of each misclassified image by its index."""
    return {mistake.index: mistake.loss for mistake in result.scores.worst}


def test_ten_crops_are_those_of_a_plain_loop(photo_model):
    files, split = _photographs()
    result = evaluate({"net": Predictor.from_model(photo_model)}, split, views="ten_crop")["net"]
    expected = {}
    for number, contents in enumerate(files):
        scaled = _pillow(contents, 37)  # 256/224 of 32
        down, across = scaled.shape[0] - 32, scaled.shape[1] - 32
        probabilities = []
        for top, left in ((0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)):
            crop = scaled[top : top + 32, left : left + 32]
            probabilities += [photo_model.predict(view[None], verbose=0)[0] for view in (crop, crop[:, ::-1])]
        mean = np.mean(probabilities, axis=0)
        expected[number] = -np.log(mean[number])
    assert len(_losses(result)) >= 2
    for number, loss in _losses(result).items():
        assert loss == pytest.approx(expected[number], rel=5e-3)  # Pillow's gray levels differ by one at most
    assert result.scores.loss == pytest.approx(np.mean(list(expected.values())), rel=5e-3)


def test_multi_scale_averages_positions_flips_and_scales(photo_model):
    files, split = _photographs()
    result = evaluate(
        {"net": Predictor.from_model(photo_model)}, split, views="multi_scale", scales=(32, 48)
    )["net"]
    one_side = dense_predict_fn(photo_model, hflip=False)
    expected = []
    for number, contents in enumerate(files):
        scales = [_pillow(contents, side) for side in (32, 48)]
        views = [view for scaled in scales for view in (scaled, scaled[:, ::-1])]
        expected.append(-np.log(np.mean([one_side(view[None])[0] for view in views], axis=0)[number]))
    assert result.scores.loss == pytest.approx(np.mean(expected), rel=5e-3)


def test_the_dense_prediction_at_the_models_size_is_that_of_the_center(photo_model):
    images = np.stack([small(0, 32, 32), small(1, 32, 32)])
    np.testing.assert_allclose(
        dense_predict_fn(photo_model, hflip=False)(images), photo_model.predict(images, verbose=0), atol=1e-5
    )


@pytest.mark.slow
def test_an_ensemble_averages_probabilities_in_one_pass(keras_models, tmp_path):
    """Of several depths, formats and sizes; each image once."""
    export.export_tflite(keras_models["plain"], tmp_path / "plain.tflite")
    larger = _unsure(ARCHITECTURES["A"], size=12)
    models = {
        "A": Predictor.from_model(keras_models["A"]),
        "plain": load_predictor(tmp_path / "plain.tflite"),
        "larger": Predictor.from_model(larger),
    }
    results = evaluate(models, DIGITS.validation, ensemble_weights=[2, 1, 1])
    assert list(results) == ["A", "plain", "larger", "ensemble"]
    enlarged = np.stack(
        [
            PIL.Image.fromarray(image[..., 0]).resize((12, 12), PIL.Image.Resampling.BILINEAR)
            for image in IMAGES
        ]
    )[..., None]
    single = [keras_models["A"].predict(IMAGES, verbose=0), keras_models["plain"].predict(IMAGES, verbose=0)]
    single.append(larger.predict(enlarged, verbose=0))
    for name, probabilities in zip(
        results, [*single, 0.5 * single[0] + 0.25 * single[1] + 0.25 * single[2]], strict=True
    ):
        scores, result = results[name].scores, results[name]
        assert scores.images == len(LABELS)
        assert scores.top1_error == pytest.approx(np.mean(probabilities.argmax(axis=1) != LABELS), abs=1e-3)
        own = probabilities[np.arange(len(LABELS)), LABELS]
        assert scores.loss == pytest.approx(-np.log(own).mean(), rel=0.01)
        assert result.images_per_second > 0
        assert (result.error, result.accuracy) == (scores.top1_error, 1 - scores.top1_error)
        assert (result.loss, result.top5_error) == (scores.loss, scores.top5_error)
        assert result.calibration_error == scores.calibration_error


def test_a_tf_dataset_of_single_images_can_be_evaluated(keras_models):
    images = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS.astype("int32")))
    scores = evaluate({"net": Predictor.from_model(keras_models["A"])}, images)["net"].scores
    expected = np.mean(keras_models["A"].predict(IMAGES, verbose=0).argmax(axis=1) != LABELS)
    assert scores.top1_error == pytest.approx(expected)


def test_an_evaluation_that_was_stopped_resumes(keras_models, tmp_path, monkeypatch):
    """Every image counts once, though the first attempt counted some of them."""
    monkeypatch.setattr(evaluator, "_MAX_BATCH", 100)
    models = {
        "A": Predictor.from_model(keras_models["A"]),
        "plain": Predictor.from_model(keras_models["plain"]),
    }
    expected = evaluate(models, DIGITS.validation)
    checkpoints = Checkpoints(tmp_path / "unfinished", minutes=0.0)
    calls = []

    def stopping(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return models["A"].predict_fn(images)

    broken = {**models, "A": dataclasses.replace(models["A"], predict_fn=stopping)}
    with pytest.raises(KeyboardInterrupt):
        evaluate(broken, DIGITS.validation, checkpoints=checkpoints)
    assert checkpoints
    resumed = evaluate(broken, DIGITS.validation, checkpoints=checkpoints)
    assert calls == [100, 100, 100, 100, 55]
    checkpoints.clear()
    for name, result in expected.items():
        np.testing.assert_array_equal(resumed[name].scores.confusion, result.scores.confusion)
        assert resumed[name].scores.loss == pytest.approx(result.scores.loss)
        assert _losses(resumed[name]) == pytest.approx(_losses(result))


def test_models_that_do_not_fit_each_other_are_refused(keras_models, tmp_path):
    predictor = Predictor.from_model(keras_models["A"])
    export.export_tflite(keras_models["A"], tmp_path / "net.tflite")
    lite = load_predictor(tmp_path / "net.tflite")
    renamed = Predictor.from_model(keras_models["A"], [f"name {number}" for number in range(10)])
    fewer = dataclasses.replace(predictor, class_names=predictor.class_names[:9])
    nan = dataclasses.replace(predictor, predict_fn=lambda images: np.full((len(images), 10), np.nan))
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(inputs))
    flat = Predictor.from_model(keras.Model(inputs, outputs), path="flat.keras")
    pair, several = {"one": predictor, "two": predictor}, {"views": "multi_scale"}
    for models, options, parameter, value in (
        ({}, {}, "models", None),
        ({"ensemble": predictor}, {}, "models", "ensemble"),
        ({"one": predictor, "two": renamed}, {}, "models", "two"),
        ({"one": predictor, "two": fewer}, {}, "models", "two"),
        ({"one": predictor, "nan": nan}, {}, "models", "nan"),
        (pair, {"ensemble_weights": [1]}, "ensemble_weights", [1]),
        (pair, {"ensemble_weights": [1, 0]}, "ensemble_weights", [1, 0]),
        (pair, {"ensemble_weights": [1, np.inf]}, "ensemble_weights", [1, np.inf]),
        ({"net": predictor}, {"views": "all"}, "views", "all"),
        ({"lite": lite}, several, "views", "multi_scale"),
        ({"flat": flat}, several, "views", "multi_scale"),
        ({"net": predictor}, {**several, "scales": [4]}, "scales", (4,)),
    ):
        with refused(parameter, value):
            evaluate(models, _gray([0]), **options)


def _gray(labels):
    images = np.zeros((len(labels), 8, 8, 1), "uint8")
    return tf.data.Dataset.from_tensor_slices((images, np.array(labels, "int64")))


@pytest.mark.parametrize("labels", [[0, 10, 3], [-1], []], ids=str)
def test_images_that_do_not_fit_the_classes_are_refused(labels, keras_models):
    with refused("images", "the dataset"):
        evaluate({"net": Predictor.from_model(keras_models["A"])}, _gray(labels))
    with refused("batches"):
        evaluator.top1_error(keras_models["A"], [])


def test_images_of_other_channels_or_of_unknown_number_are_refused(keras_models):
    models = {"net": Predictor.from_model(keras_models["A"])}
    colors = tf.data.Dataset.from_tensor_slices((np.stack([small(0, 8, 8)]), [0]))
    with refused("models", "net"):
        evaluate(models, colors)
    with refused("images"):
        evaluate(models, colors.filter(lambda image, label: True))


def test_top1_error_is_that_of_the_model(keras_models):
    expected = np.mean(keras_models["A"].predict(IMAGES, verbose=0).argmax(axis=1) != LABELS)
    halves = [(IMAGES[:200], LABELS[:200]), (IMAGES[200:], LABELS[200:])]
    assert evaluator.top1_error(keras_models["A"], halves) == pytest.approx(expected)


def _torchvision(picture, size, shorter, interpolation):
    """Resizes and crops as torchvision.transforms.functional does: it truncates sizes and rounds corners."""
    width, height = picture.size
    if width <= height:
        resized = (shorter, int(shorter * height / width))
    else:
        resized = (int(shorter * width / height), shorter)
    picture = picture.resize(resized, getattr(PIL.Image.Resampling, interpolation.upper()))
    left, top = (round((side - size) / 2.0) for side in resized)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize(("resize_size", "interpolation"), [(41, "bilinear"), (32, "bicubic")])
def test_published_weights_get_their_publishers_pixels(photo_model, resize_size, interpolation):
    """To the same pixels as torchvision's and timm's transforms, of files and of arrays."""
    spec = InputSpec(32, 3, "center", "published", resize_size, interpolation)
    predictor = Predictor.from_model(photo_model, spec=spec)
    files, split = _photographs()
    pictures = [PIL.Image.open(io.BytesIO(contents)) for contents in files]
    pixels = np.stack([_torchvision(picture, 32, resize_size, interpolation) for picture in pictures])
    expected = photo_model.predict(pixels, verbose=0)
    scores = evaluate({"net": predictor}, split)["net"].scores
    assert scores.loss == pytest.approx(-np.log(expected[range(4), range(4)]).mean(), rel=1e-5)
    for mistake in scores.worst:
        np.testing.assert_array_equal(mistake.image, pixels[mistake.index])
    np.testing.assert_allclose(predictor.predict(files), expected, atol=1e-5)
    arrays = [np.asarray(picture) for picture in pictures]
    np.testing.assert_allclose(predictor.predict(arrays), expected, atol=1e-5)


def test_models_that_differ_in_normalization_share_their_views(keras_models, monkeypatch):
    views = []
    original = evaluator.iterate_views
    monkeypatch.setattr(
        evaluator,
        "iterate_views",
        lambda split, kinds, *rest: views.append(kinds) or original(split, kinds, *rest),
    )
    models = {
        kind: Predictor.from_model(keras_models["A"], spec=InputSpec(8, 1, normalization=kind))
        for kind in ("per_pixel_mean", "published")
    }
    evaluate(models, _gray([0, 1]))
    ((shared,),) = views
    assert shared.kind == "center"


def test_a_confusion_matrix_is_written_as_counts_and_shares(tmp_path):
    write_confusion(
        np.array([[3, 1, 0], [0, 0, 0], [0, 2, 0]]), ("a,b", "é", "c"), tmp_path / "confusion.csv"
    )
    with open(tmp_path / "confusion.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [tuple(row.values()) for row in rows] == [
        ("a,b", "a,b", "3", "0.7500"),
        ("a,b", "é", "1", "0.2500"),
        ("c", "é", "2", "1.0000"),
    ]


def test_no_picture_of_mistakes_is_left_without_any(keras_models, tmp_path):
    images = IMAGES[:20]
    right = keras_models["A"].predict(images, verbose=0).argmax(axis=1)
    dataset = tf.data.Dataset.from_tensor_slices((images, right.astype("int64")))
    scores = evaluate({"net": Predictor.from_model(keras_models["A"])}, dataset)["net"].scores
    (tmp_path / "net-worst.png").write_bytes(b"of an earlier test")
    write_results(scores, list(map(str, range(10))), tmp_path / "net", "20 digits")
    names = ["net-classes.csv", "net-confusion.csv", "net-confusion.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_gray_photographs_of_the_models_size_are_taken_as_they_are(photo_model):
    """An RGB model gets their gray three times."""
    gray = np.asarray(PIL.Image.fromarray(PHOTOS[0]).convert("L").resize((32, 32)))[None, ..., None]
    images = tf.data.Dataset.from_tensor_slices((gray, [3]))
    scores = evaluate({"net": Predictor.from_model(photo_model, spec=InputSpec(32, 3, "squash"))}, images)[
        "net"
    ].scores
    own = photo_model.predict(np.repeat(gray, 3, axis=-1), verbose=0)[0, 3]
    assert scores.loss == pytest.approx(-np.log(own), rel=1e-4)
