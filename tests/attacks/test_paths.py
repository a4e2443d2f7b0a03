"""Paths in captures stay inside them, however they lead out, unless that is allowed."""

import json
import os
import shutil

import numpy as np
import pytest
from harness.processes import call_here
from PIL import Image
from samples.capture_files import box_cameras, write_gobjaverse_views

from geolrm import InputError
from geolrm.engine.captures import load_complete_capture, load_every_view, read_capture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links")

POSE = [[1, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]]
OUTSIDE = "lies outside the capture in .*; copy it there, or allow it: --allow-outside"


def picture(path, value=90, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", size, (value, 0, 0, 255)).save(path)
    return path


def grey_mask():
    """Levels of grey, which are taken as they are; 124 is one."""
    return Image.fromarray(np.arange(0, 256, 4, np.uint8).reshape(8, 8))


@pytest.fixture
def secret(tmp_path):
    return picture(tmp_path / "private" / "secret.png", 200)


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "capture"
    found.mkdir()
    return found


def transforms(folder, name, **frame):
    content = {"camera_angle_x": 0.8,
               "frames": [{"file_path": name, "transform_matrix": POSE} | frame]}  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def assert_refused_unless_allowed(folder, value=200):
    with pytest.raises(InputError, match=OUTSIDE):
        read_capture(folder)
    found = read_capture(folder, allow_outside=True)
    assert value in found.images[0]


@pytest.mark.parametrize("way", ["up", "absolute", "suffix", "windows", "through itself"])
def test_paths_of_transforms(folder, secret, way):
    name = {
        "up": "../private/secret.png",
        "absolute": str(secret),
        "suffix": "../private/secret",
        "windows": "..\\private\\secret.png",
        "through itself": "../capture/../private/secret.png",
    }[way]
    assert_refused_unless_allowed(transforms(folder, name))


@pytest.mark.parametrize("linked", ["file", "folder", "in a folder"])
def test_links_of_transforms(folder, secret, linked):
    if linked == "file":
        (folder / "a.png").symlink_to(secret)
        transforms(folder, "a.png")
    elif linked == "folder":
        (folder / "images").symlink_to(secret.parent)
        transforms(folder, "images/secret.png")
    else:
        (folder / "images").symlink_to(secret.parent)
        transforms(folder, "elsewhere/SECRET.png")  # found by its last component
    assert_refused_unless_allowed(folder)


@pytest.mark.parametrize("linked", [True, False])
def test_masks_of_transforms(folder, tmp_path, linked):
    picture(folder / "a.png")
    mask = tmp_path / "private" / "m.png"
    mask.parent.mkdir()
    grey_mask().save(mask)
    if linked:
        (folder / "m.png").symlink_to(mask)
    name = "m.png" if linked else "../private/m.png"
    assert_refused_unless_allowed(transforms(folder, "a.png", mask_path=name), 124)


def test_a_folder_of_masks_that_is_a_link(folder, tmp_path):
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    (tmp_path / "private").mkdir()
    grey_mask().save(tmp_path / "private" / "a.png")
    (folder / "masks").symlink_to(tmp_path / "private")
    assert_refused_unless_allowed(transforms(folder, "a.png"), 124)


def colmap(folder, name):
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 8 8 8 8 4 4\n")
    (model / "images.txt").write_text(f"1 1 0 0 0 0 0 2 1 {name}\n\n")
    (model / "points3D.txt").write_text("1 0 0 0 0 0 0 0\n2 0.1 0 0 0 0 0 0\n3 0 0.1 0 0 0 0 0\n")


@pytest.mark.parametrize("way", ["up", "absolute", "link", "linked folder"])
def test_colmap(folder, secret, way):
    (folder / "images").mkdir()
    if way == "linked folder":
        (folder / "images").rmdir()
        (folder / "images").symlink_to(secret.parent)
        colmap(folder, "secret.png")
    elif way == "link":
        (folder / "images" / "a.png").symlink_to(secret)
        colmap(folder, "a.png")
    else:
        colmap(folder, "../../private/secret.png" if way == "up" else str(secret))
    with pytest.raises(InputError, match=OUTSIDE):
        read_capture(folder)
    from geolrm.engine.captures.colmap import read_colmap

    found = read_colmap(folder / "sparse" / "0", folder, allow_outside=True)
    assert 200 in found.images[0]


@pytest.mark.parametrize("kind", ["poses", "llff", "sv3d"])
def test_links_among_images_without_names(folder, secret, kind):
    count = 21 if kind == "sv3d" else 2
    for index in range(count):
        picture(folder / f"{index}.png")
    (folder / "0.png").unlink()
    (folder / "0.png").symlink_to(secret)
    if kind == "poses":
        np.save(folder / "poses.npy", np.stack([POSE] * 2))
    if kind == "llff":
        row = np.concatenate([np.column_stack([np.eye(3), [0, 0, 2], [8, 8, 8]]).ravel(), [1, 2]])
        np.save(folder / "poses_bounds.npy", np.stack([row] * 2))
    with pytest.raises(InputError, match=OUTSIDE):
        read_capture(folder)
    if kind != "llff":  # which is fitted by what such images do not show
        assert 200 in read_capture(folder, allow_outside=True).images[0]


@pytest.mark.parametrize("suffix", [".png", ".json"])
def test_links_of_gobjaverse(folder, tmp_path, suffix):
    images = np.full((2, 7, 7, 4), 200, np.uint8)
    place = write_gobjaverse_views(folder / "object", images, box_cameras(2))
    file = (place / "00001" / "00001").with_suffix(suffix)
    moved = tmp_path / "private" / file.name
    moved.parent.mkdir()
    shutil.move(file, moved)
    file.symlink_to(moved)
    assert_refused_unless_allowed(place)


def test_what_stays_inside_is_read_however_it_is_written(tmp_path, folder):
    """Names with detours, links within the capture, and a capture that is a link itself."""
    picture(folder / "images" / "a.png", 70)
    (folder / "b.png").symlink_to(folder / "images" / "a.png")
    (tmp_path / "link").symlink_to(folder)
    for name in ("images/a.png", "./images/../images/a.png", "images\\a.png", "b.png",
                 str(folder / "images" / "a.png"), "/home/other/images/a.png",
                 "../capture/images/a.png"):  # fmt: skip
        for path in (folder, tmp_path / "link"):
            assert 70 in read_capture(transforms(path, name)).images[0], name


def test_every_function_and_command_asks(folder, secret, tmp_path):
    transforms(folder, "../private/secret.png")
    for load, match in (
        (load_every_view, OUTSIDE),
        (load_complete_capture, "lies outside the capture"),
    ):
        with pytest.raises(InputError, match=match):
            load(folder)
        assert len(load(folder, allow_outside=True)) == 1
    output = tmp_path / "c.png"
    done = call_here("geolrm", "check", folder, "-o", output)
    assert done.returncode == 2 and "allow it: --allow-outside" in done.stderr
    assert call_here("geolrm", "check", folder, "-o", output, "--allow-outside").returncode == 0
