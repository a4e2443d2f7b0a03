"""Captures and points that do not follow the protocol are refused, each in one sentence."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from geolrm.bench.quality.dataset import find_subjects, load_subject
from geolrm.engine.captures.arrays import read_points
from geolrm.engine.errors import InputError


@pytest.fixture
def ball(dataset, tmp_path):
    return shutil.copytree(dataset / "ball", tmp_path / "ball")


def test_finds_captures_and_only_those(dataset):
    assert list(find_subjects(dataset)) == ["ball", "box"]
    assert find_subjects(dataset / "box") == {"box": dataset / "box"}
    assert list(find_subjects(dataset, ["box"])) == ["box"]


def test_loads_a_capture_with_its_points(ball):
    subject = load_subject("ball", ball)
    assert len(subject.capture) == 38 and subject.points.dtype == np.float32
    assert np.linalg.norm(subject.points, axis=1) == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize(
    ("path", "only", "message"),
    [
        ("none", None, r"none' is no dataset; give a capture folder"),
        (".", None, r"holds no capture: neither transforms.json nor a folder with one"),
    ],
)
def test_refuses_other_folders(tmp_path, path, only, message):
    with pytest.raises(InputError, match=message):
        find_subjects(tmp_path / path, only)


def test_refuses_unknown_objects(dataset):
    with pytest.raises(InputError, match=r"object 'cup' was asked for, but .* holds ball, box"):
        find_subjects(dataset, ["box", "cup"])


def test_a_folder_that_lost_its_transforms_is_not_passed_over(ball):
    (ball / "transforms.json").unlink()
    with pytest.raises(InputError, match="is no capture"):
        load_subject("ball", find_subjects(ball.parent)["ball"])


@pytest.mark.parametrize("name", ["points.npz", "rgb", "transforms.json/", ".json"])
def test_the_file_of_poses_is_json(dataset, name):
    with pytest.raises(InputError, match="it must be the name of a .json file in every capture"):
        find_subjects(dataset, None, name)


def test_linked_images_are_refused_with_a_remedy_that_there_is(ball, tmp_path):
    file = ball / "rgb" / "007.png"
    file.rename(tmp_path / "elsewhere.png")
    file.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(InputError) as caught:
        load_subject("ball", ball)
    assert str(caught.value) == (
        f"{str(file)!r} lies outside the capture in {str(ball)!r}; a capture of a data set holds "
        "all its files: put the file itself there (cp -L copies what a link leads to)"
    )


def edit(folder, change):
    content = json.loads((folder / "transforms.json").read_text())
    change(content["frames"])
    (folder / "transforms.json").write_text(json.dumps(content))


def drop_last(frames):
    frames.pop()


def exchange(frames):
    frames[3], frames[30] = frames[30], frames[3]


def no_group(frames):
    del frames[36]["group"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_last, r"ball' has 37 frames; the protocol needs 38: .* Render the missing ones"),
        (exchange, r"frame 3 has group 'orbit_level'; the protocol needs 'orbit_up' there"),
        (no_group, r"frame 36 has group 'None'; the protocol needs 'top' there"),
    ],
)
def test_refuses_other_layouts(ball, change, message):
    edit(ball, change)
    with pytest.raises(InputError, match=message):
        load_subject("ball", ball)


def test_refuses_pictures_that_are_not_on_white_or_too_small(ball):
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save(ball / "rgb" / "007.png")
    with pytest.raises(InputError, match=r"ball': image 7 has no alpha and its border is neither"):
        load_subject("ball", ball)
    Image.new("RGBA", (10, 10)).save(ball / "rgb" / "037.png")
    with pytest.raises(InputError, match="frame 37 has 10 x 10 pixels; SSIM needs at least 11"):
        load_subject("ball", ball)


def test_refuses_damaged_points(ball):
    file = ball / "points.npz"
    content = file.read_bytes()
    for damaged in (content[:400], b"nothing", b""):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read"):
            read_points(file)
    middle = bytearray(content)
    middle[300:340] = bytes(40)
    file.write_bytes(middle)
    with pytest.raises(InputError, match="cannot be read"):
        read_points(file)
    file.unlink()
    with pytest.raises(InputError, match=r"points.npz' is missing; give samples of"):
        load_subject("ball", ball)
