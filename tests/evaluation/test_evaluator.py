"""Views and ensembles against plain loops over single images."""

import dataclasses
import io
import pathlib

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from nets import NETS, trained
from pictures import PHOTOS, encoded, small

from keras_resnet import export
from keras_resnet.data import digits, sources
from keras_resnet.data.source import Split
from keras_resnet.errors import UserError
from keras_resnet.evaluation import dense_answers, evaluate, evaluator, open_model, opened_net
from keras_resnet.evaluation.results import write_results
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.checkpoint import Checkpoints

DIGITS = sources.find("digits")
IMAGES, LABELS = digits.load("test")


def _unsure(net, **shape):
    """A net none of whose probabilities is so small that its loss is cut off."""
    model = trained(net, **shape)
    classifier = model.get_layer("predictions")
    classifier.set_weights([0.05 * weight for weight in classifier.get_weights()])
    return model


@pytest.fixture(scope="module")
def nets():
    return {name: _unsure(NETS[name]) for name in ("A", "plain")}


@pytest.fixture(scope="module")
def photo_net():
    """For 32x32 pixels of colour, with the stem of ImageNet nets."""
    return _unsure(Architecture("small", (1, 1), (8, 16)), size=32, channels=3)


def _photographs():
    """Files of three shapes, labelled by their number."""
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
    """Loss of each image that was taken for another, by its number."""
    return {mistake.number: mistake.loss for mistake in result.scores.worst}


def test_ten_crops_are_those_of_a_plain_loop(photo_net):
    files, split = _photographs()
    result = evaluate({"net": opened_net(photo_net)}, split, views="ten_crop")["net"]
    expected = {}
    for number, contents in enumerate(files):
        scaled = _pillow(contents, 37)  # 256/224 of 32
        down, across = scaled.shape[0] - 32, scaled.shape[1] - 32
        answers = []
        for top, left in ((0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)):
            crop = scaled[top : top + 32, left : left + 32]
            answers += [photo_net.predict(view[None], verbose=0)[0] for view in (crop, crop[:, ::-1])]
        mean = np.mean(answers, axis=0)
        expected[number] = -np.log(mean[number])
    assert len(_losses(result)) >= 2
    for number, loss in _losses(result).items():
        assert loss == pytest.approx(expected[number], rel=5e-3)  # Pillow's grey levels differ by one at most
    assert result.scores.loss == pytest.approx(np.mean(list(expected.values())), rel=5e-3)


def test_multi_scale_averages_positions_mirror_images_and_scales(photo_net):
    files, split = _photographs()
    result = evaluate({"net": opened_net(photo_net)}, split, views="multi_scale", sides=(32, 48))["net"]
    one_side = dense_answers(photo_net, mirrored=False)
    expected = []
    for number, contents in enumerate(files):
        scales = [_pillow(contents, side) for side in (32, 48)]
        views = [view for scaled in scales for view in (scaled, scaled[:, ::-1])]
        expected.append(-np.log(np.mean([one_side(view[None])[0] for view in views], axis=0)[number]))
    assert result.scores.loss == pytest.approx(np.mean(expected), rel=5e-3)


def test_the_dense_answer_at_the_nets_own_size_is_that_of_the_centre(photo_net):
    images = np.stack([small(0, 32, 32), small(1, 32, 32)])
    np.testing.assert_allclose(
        dense_answers(photo_net, mirrored=False)(images), photo_net.predict(images, verbose=0), atol=1e-5
    )


def test_an_ensemble_averages_probabilities_in_one_pass(nets, tmp_path):
    """Of other depths, formats and sizes; each image once."""
    export.tflite(nets["plain"], tmp_path / "plain.tflite")
    larger = _unsure(NETS["A"], size=12)
    models = {
        "A": opened_net(nets["A"]),
        "plain": open_model(tmp_path / "plain.tflite"),
        "larger": opened_net(larger),
    }
    results = evaluate(models, DIGITS.test, weights=[2, 1, 1])
    assert list(results) == ["A", "plain", "larger", "ensemble"]
    enlarged = np.stack(
        [
            PIL.Image.fromarray(image[..., 0]).resize((12, 12), PIL.Image.Resampling.BILINEAR)
            for image in IMAGES
        ]
    )[..., None]
    given = [nets["A"].predict(IMAGES, verbose=0), nets["plain"].predict(IMAGES, verbose=0)]
    given.append(larger.predict(enlarged, verbose=0))
    for name, probabilities in zip(
        results, [*given, 0.5 * given[0] + 0.25 * given[1] + 0.25 * given[2]], strict=True
    ):
        scores = results[name].scores
        assert scores.images == len(LABELS)
        assert scores.top1_error == pytest.approx(np.mean(probabilities.argmax(axis=1) != LABELS), abs=1e-3)
        own = probabilities[np.arange(len(LABELS)), LABELS]
        assert scores.loss == pytest.approx(-np.log(own).mean(), rel=0.01)
        assert results[name].images_per_second > 0


def test_a_dataset_of_single_images_will_do(nets):
    images = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS.astype("int32")))
    given = evaluate({"net": opened_net(nets["A"])}, images)["net"].scores
    wanted = np.mean(nets["A"].predict(IMAGES, verbose=0).argmax(axis=1) != LABELS)
    assert given.top1_error == pytest.approx(wanted)


def test_a_test_that_was_stopped_goes_on(nets, tmp_path, monkeypatch):
    """Every image once, though the first attempt saw some of them."""
    monkeypatch.setattr(evaluator, "_MOST_IMAGES", 100)
    models = {"A": opened_net(nets["A"]), "plain": opened_net(nets["plain"])}
    wanted = evaluate(models, DIGITS.test)
    checkpoints = Checkpoints(tmp_path / "unfinished", minutes=0.0)
    calls = []

    def stopping(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return models["A"].probabilities(images)

    broken = {**models, "A": dataclasses.replace(models["A"], probabilities=stopping)}
    with pytest.raises(KeyboardInterrupt):
        evaluate(broken, DIGITS.test, checkpoints=checkpoints)
    assert checkpoints
    given = evaluate(broken, DIGITS.test, checkpoints=checkpoints)
    assert calls == [100, 100, 100, 100, 55]
    checkpoints.clear()
    for name, result in wanted.items():
        np.testing.assert_array_equal(given[name].scores.confusion, result.scores.confusion)
        assert given[name].scores.loss == pytest.approx(result.scores.loss)
        assert _losses(given[name]) == pytest.approx(_losses(result))


def test_what_does_not_fit_is_refused(nets, photo_net, tmp_path):
    net = opened_net(nets["A"])
    export.tflite(nets["A"], tmp_path / "net.tflite")
    lite = open_model(tmp_path / "net.tflite")
    others = opened_net(nets["A"], [f"name {number}" for number in range(10)])
    for models, options, message in (
        ({"one": net, "two": others}, {}, "two and one have other classes: number 0 is name 0 and 0"),
        ({"one": net, "two": net}, {"weights": [1]}, "--weights must be one for each of the 2 models; got 1"),
        ({"one": net, "two": net}, {"weights": [1, 0]}, "--weights must be greater than 0; got 1,0"),
        (
            {"lite": lite},
            {"views": "multi_scale"},
            r"needs a net that takes images of any size, and .*net\.tflite is made",
        ),
        ({"net": net}, {"views": "multi_scale", "sides": [4]}, "--sides=4: 4 is less than 8"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(models, DIGITS.test, **options)
    colours = tf.data.Dataset.from_tensor_slices((np.stack([small(0, 8, 8)]), [0]))
    with pytest.raises(
        UserError, match=r"net takes images of 1 channel\(s\), and those of the dataset have 3; give"
    ):
        evaluate({"net": net}, colours)
    with pytest.raises(ValueError, match="views of center, ten_crop, multi_scale; got 'all'"):
        evaluate({"net": net}, DIGITS.test, views="all")
    with pytest.raises(ValueError, match="must know how many they are"):
        evaluate({"net": net}, colours.filter(lambda image, label: True))


def _grey(labels):
    images = np.zeros((len(labels), 8, 8, 1), "uint8")
    return tf.data.Dataset.from_tensor_slices((images, np.array(labels, "int64")))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 10, 3], r"an image of label 10; give images of the 10 classes .* from 0 to 9\."),
        ([-1], r"an image of label -1; give images"),
        ([], "has no image to test on; give a split that has some"),
    ],
    ids=str,
)
def test_images_that_cannot_be_counted_are_refused(labels, says, nets):
    with pytest.raises(UserError, match=says):
        evaluate({"net": opened_net(nets["A"])}, _grey(labels))


def test_models_that_cannot_be_counted_are_refused_by_name(nets):
    net = opened_net(nets["A"])
    broken = dataclasses.replace(net, probabilities=lambda images: np.full((len(images), 10), np.nan))
    fewer = dataclasses.replace(net, class_names=net.class_names[:9])
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(inputs))
    dense = dataclasses.replace(opened_net(keras.Model(inputs, outputs)), path=pathlib.Path("dense.keras"))
    for models, options, says in (
        ({"broken": broken}, {}, "broken gives no probabilities for an image: a probability is NaN"),
        ({"ensemble": net}, {}, "A model cannot be called ensemble, which is all of them together"),
        ({"one": net, "two": fewer}, {}, "two has 9 classes and one 10; an ensemble needs the same ones"),
        ({"dense": dense}, {"views": "multi_scale"}, r"multi_scale cannot be had of dense\.keras: "),
    ):
        with pytest.raises(UserError, match=says):
            evaluate(models, _grey([0]), **options)
    with pytest.raises(ValueError, match="batches must give at least one image; they gave none"):
        evaluator.error(nets["A"], [])


def test_a_test_without_mistakes_leaves_no_picture_of_them(nets, tmp_path):
    images = IMAGES[:20]
    right = nets["A"].predict(images, verbose=0).argmax(axis=1)
    dataset = tf.data.Dataset.from_tensor_slices((images, right.astype("int64")))
    scores = evaluate({"net": opened_net(nets["A"])}, dataset)["net"].scores
    (tmp_path / "net-worst.png").write_bytes(b"of an earlier test")
    write_results(scores, list(map(str, range(10))), tmp_path / "net", "20 digits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-classes.csv", "net-confusion.png"]


def test_photographs_of_a_size_are_seen_as_they_are(photo_net):
    """Grey images in a net of colours are seen three times the grey."""
    grey = np.asarray(PIL.Image.fromarray(PHOTOS[0]).convert("L").resize((32, 32)))[None, ..., None]
    images = tf.data.Dataset.from_tensor_slices((grey, [3]))
    scores = evaluate({"net": opened_net(photo_net, whole=True)}, images)["net"].scores
    own = photo_net.predict(np.repeat(grey, 3, axis=-1), verbose=0)[0, 3]
    assert scores.loss == pytest.approx(-np.log(own), rel=1e-4)
