import numpy as np
import pytest
from helpers.errors import refused
from helpers.pictures import animation, encoded, kinds, small, write_files, write_folder

from keras_resnet.data.load import load_dataset
from keras_resnet.data.tools.validate import find_issues, validate_folder, validate_table


@pytest.mark.parametrize("name", kinds())
def test_each_kind_is_found(tmp_path, name):
    kind, unusable, content = kinds()[name]
    path = tmp_path / name
    path.write_bytes(content)
    found = find_issues(path)
    assert [(finding.kind, finding.unusable) for finding in found] == ([(kind, unusable)] if kind else [])
    assert all(finding.path == path and finding.detail for finding in found)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp"])
def test_no_content_makes_it_fail(tmp_path, suffix):
    """Noise behind each format's signature is found, and nothing else than a finding comes of it."""
    signatures = {"jpg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF89a", "bmp": b"BM"}
    for seed in range(50):
        noise = np.random.default_rng(seed).integers(0, 256, 200, "uint8").tobytes()
        path = tmp_path / f"{seed}.{suffix}"
        path.write_bytes(signatures[suffix] + noise)
        assert any(finding.unusable for finding in find_issues(path))


def test_a_picture_without_pixels_is_found(tmp_path):
    path = tmp_path / "flat.gif"
    path.write_bytes(b"GIF89a" + bytes(4) + b"\x80\0\0" + bytes(6) + b"," + bytes(9) + b"\x02\0;")
    assert [finding.unusable for finding in find_issues(path)] == [True]


def test_an_animation_that_is_cut_off_behind_its_first_picture_is_usable(tmp_path):
    path, content = tmp_path / "cut.gif", animation()
    kinds = set()
    for length in range(0, len(content), 8):
        path.write_bytes(content[:length])
        kinds |= {
            (finding.kind, finding.unusable, finding.detail.split()[0]) for finding in find_issues(path)
        }
    assert ("animated", False, "damaged") in kinds
    assert {unusable for kind, unusable, _ in kinds if kind != "animated"} == {True}


@pytest.mark.parametrize("threads", [1, 4])
def test_a_folder_is_validated_from_python(tmp_path, threads):
    for name, (_, _, content) in kinds().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").touch()
    issues = []
    report = validate_folder(tmp_path, threads, issues.append)
    assert report.num_files == len(kinds())
    assert report.num_unusable == sum(unusable for _, unusable, _ in kinds().values())
    assert report.other_files == {".txt": 1}
    assert list(report.issues) == issues
    assert {(issue.path.name, issue.kind, issue.unusable) for issue in issues} == {
        (name, kind, unusable) for name, (kind, unusable, _) in kinds().items() if kind
    }


def test_a_folder_is_validated_as_training_reads_it(tmp_path):
    folder = write_folder(tmp_path / "folder", split=False)
    elsewhere = write_folder(tmp_path / "elsewhere", images=3, split=False)
    (folder / "linked").symlink_to(elsewhere / "church")
    (folder / "church" / "more").symlink_to(elsewhere / "flower")
    write_files(folder, "lost.jpg", "church/a.heic", "__MACOSX/church/._00.jpg")
    (folder / "_background").mkdir()
    (folder / "_background" / "scan.JFIF").write_bytes(encoded(small(0)))
    (folder / "_background" / "other.jpe").write_bytes(encoded(small(1)))
    report = validate_folder(folder)
    dataset = load_dataset(str(folder))
    assert report.refusal is None
    assert report.num_files == dataset.train.size + dataset.validation.size == 28
    assert report.other_files == {"in no class folder": 1, ".heic": 1}
    assert not report.issues


def test_why_a_folder_cannot_be_trained_on_is_in_the_report(tmp_path):
    """The reason is that of a training, and its images are validated all the same."""
    folder = write_folder(tmp_path, split=False)
    (folder / "empty").mkdir()
    write_files(folder, "flower/bad.jpg")
    report = validate_folder(folder)
    with refused("dataset", str(folder)) as caught:
        load_dataset(str(folder))
    assert report.refusal == caught.value.reason
    assert "'empty'" in report.refusal
    assert (report.num_files, report.num_unusable) == (21, 1)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_images_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with refused(None, tmp_path / name):
        validate_folder(tmp_path / name)


def test_a_table_of_contradictions_alone_is_validated(tmp_path):
    write_files(tmp_path, "0.jpg")
    (tmp_path / "labels.csv").write_text("path,label\n0.jpg,a\n0.jpg,b\n")
    report = validate_table(tmp_path / "labels.csv")
    assert (report.num_files, report.num_unusable) == (2, 2)
    assert [issue.kind for issue in report.issues] == ["contradictory"]
    assert "no images to train on" in report.refusal
