import pytest
from absl import flags

from keras_resnet.commands import recipe_flags
from keras_resnet.data.source import Source, Split
from keras_resnet.errors import UserError


def _source(images):
    split = Split("train", images, lambda key, start=0, step=1: None, str)
    return Source("pictures", ("cat", "dog"), (None, None, 3), split, split, mirrored=True)


def _recipe(images, *arguments):
    values = flags.FlagValues()
    recipe_flags.define(values)
    values(["train", *arguments])
    return recipe_flags.recipe(values, _source(images))[1]


@pytest.mark.parametrize(
    ("images", "batch_size"), [(512, 128), (511, 64), (108, 16), (16, 4), (9, 2), (4, 2), (2, 2)]
)
def test_an_epoch_of_few_images_has_four_steps_if_it_can(images, batch_size, capsys):
    made = _recipe(images)
    assert made.batch_size == batch_size
    # In proportion: 0.1 for 128 images (Goyal et al. 2017, section 2.1).
    assert made.learning_rate == pytest.approx(0.1 * batch_size / 128)
    told = f"pictures has {images} training images: batches of {batch_size} take the place of 128"
    assert (told in capsys.readouterr().out) == (batch_size < 128)


def test_what_the_user_says_stays():
    assert _recipe(108, "--batch_size=108").batch_size == 108
    made = _recipe(108, "--learning_rate=0.2")
    assert (made.batch_size, made.learning_rate) == (16, 0.2)


@pytest.mark.parametrize(("images", "arguments"), [(1, []), (108, ["--batch_size=109"])])
def test_no_batch_of_more_images_than_there_are(images, arguments):
    with pytest.raises(UserError, match=f"more than the {images} training images of pictures; give at most"):
        _recipe(images, *arguments)


def test_drops_choose_their_schedule():
    made = _recipe(1000, "--drops=10,20")
    assert (made.schedule, made.drops) == ("drops", (10, 20))
    made = _recipe(1000, "--recipe=cifar", "--schedule=cosine")
    assert (made.schedule, made.drops) == ("cosine", ())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--schedule=cosine", "--drops=10"], "--drops=10 are for schedule=drops"),
        (["--recipe=modern", "--patience=3"], "--patience=3 is for --schedule=plateau, and this is cosine"),
    ],
)
def test_what_a_schedule_does_not_use_is_refused(arguments, says):
    with pytest.raises(UserError, match=says):
        _recipe(1000, *arguments)
