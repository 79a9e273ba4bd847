import pytest

from keras_resnet.files import atomic


def test_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic(target) as written:
        written.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"

    def fail_half_way():
        with atomic(target) as written:
            written.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic(target) as written:
            written.mkdir()
            (written / content).touch()
    assert [path.name for path in target.iterdir()] == ["second"]

    def fail_half_way():
        with atomic(target) as written:
            written.mkdir()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert [path.name for path in target.iterdir()] == ["second"]
