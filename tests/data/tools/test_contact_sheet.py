import numpy as np
import PIL.Image

from keras_resnet.data.tools.contact_sheet import contact_sheet


def test_pictures_stand_in_rows_with_captions_below(tmp_path):
    red, grey = np.zeros((4, 4, 3), "uint8"), np.full((4, 4, 1), 90, "uint8")
    red[..., 0] = 255
    path = tmp_path / "new" / "sheet.png"
    captions = ["red\n255", "grey\n90", "a caption too long for its picture\n255"]
    contact_sheet([red, grey, red], captions, path, columns=2)
    with PIL.Image.open(path) as picture:
        sheet = np.asarray(picture)
    height = 64 + 2 + 2 * 12  # of a picture, and two lines
    assert sheet.shape == (2 * height, 2 * 64, 3)
    for row, column, color in ((0, 0, (255, 0, 0)), (0, 1, (90, 90, 90)), (1, 0, (255, 0, 0))):
        cell = sheet[row * height : row * height + 64, column * 64 : (column + 1) * 64]
        assert (cell == color).all()
    below = sheet[height + 64 :]
    assert below[:, :64].min() < 128  # a caption
    assert below[:, 62:].min() == 255  # cut off before the next picture, of which there is none


def test_pictures_larger_than_their_place_keep_their_size(tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, (80, 80, 3)).astype("uint8")
    contact_sheet([picture], ["one"], tmp_path / "sheet.png", columns=1)
    with PIL.Image.open(tmp_path / "sheet.png") as sheet:
        np.testing.assert_array_equal(np.asarray(sheet)[:80, :80], picture)
