"""Captures with depth become the same record as the mesh they were rendered from."""

import numpy as np
import pytest
from harness.data import full_data, needs_full_data
from PIL import Image
from samples.stored_objects import UNIT, change_json
from samples.training import BALL_RADIUS

from geolrm.engine.errors import InputError
from geolrm.training.data.captures import load_posed_capture
from geolrm.training.data.views import back_project


def assert_on_the_sphere(points):
    distance = np.linalg.norm(points, axis=1)
    assert distance.min() > BALL_RADIUS * 0.993 and distance.max() < BALL_RADIUS * 1.001


def test_captures_come_back(capture, posed):
    loaded = load_posed_capture(capture)
    np.testing.assert_array_equal(loaded.rgba, posed.rgba)
    np.testing.assert_allclose(loaded.depth, posed.depth, atol=UNIT / 2 + 1e-6)
    np.testing.assert_allclose(loaded.cameras.c2w, posed.cameras.c2w, atol=1e-12)
    np.testing.assert_allclose(loaded.cameras.intrinsics, posed.cameras.intrinsics, atol=1e-12)
    np.testing.assert_allclose(loaded.points, posed.points, atol=3e-4)
    assert loaded.points.dtype == np.float32
    (capture / "points.npz").unlink()
    derived = load_posed_capture(capture / "transforms.json").points
    assert 15000 < len(derived) <= 20000
    assert_on_the_sphere(derived)


@pytest.mark.parametrize("name", ["transforms_train.json", "transforms_all.json"])
def test_depth_is_read_of_the_file_that_the_capture_is_from(capture, posed, name):
    (capture / "transforms.json").rename(capture / name)
    loaded = load_posed_capture(capture)
    np.testing.assert_allclose(loaded.depth, posed.depth, atol=UNIT / 2 + 1e-6)
    np.testing.assert_allclose(loaded.points, posed.points, atol=3e-4)


def test_damaged_points(capture):
    file = capture / "points.npz"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"points\.npz' cannot be read"):
        load_posed_capture(capture)


@pytest.mark.parametrize("unit", [None, 0, -1e-4, 1, "1e-4", True])
def test_the_unit_of_depth_must_be_told(capture, unit):
    change_json(capture / "transforms.json", depth_unit_scale_factor=unit)
    with pytest.raises(InputError, match="depth_unit_scale_factor is .*; it must be a number betw"):
        load_posed_capture(capture)


def test_depth_of_another_scale_is_noticed(capture):
    change_json(capture / "transforms.json", depth_unit_scale_factor=2e-4)
    with pytest.raises(InputError, match=r"of the depth lies outside the cube .* more than 2%"):
        load_posed_capture(capture)


def test_depth_that_cannot_be_read(capture):
    depth = capture / "depth" / "003.png"
    content = depth.read_bytes()
    depth.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"003\.png' cannot be read"):
        load_posed_capture(capture)
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(depth)
    with pytest.raises(InputError, match=r"has mode I;16 and 8 x 8 px; it must be a 16-bit grey"):
        load_posed_capture(capture)
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(depth)
    with pytest.raises(InputError, match=r"has mode L and 48 x 48 px"):
        load_posed_capture(capture)
    depth.unlink()
    with pytest.raises(InputError, match=r"003\.png' cannot be read: .*restore it"):
        load_posed_capture(capture)


def test_frames_must_be_alike(capture):
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(capture / "rgb" / "001.png")
    with pytest.raises(InputError, match=r"'rgb/001.png' has 48 x 48 px and 3 channels; all fra"):
        load_posed_capture(capture)


def test_frames_need_depth(capture):
    file = capture / "transforms.json"
    file.write_text(file.read_text().replace("depth_file_path", "depth_path"))
    with pytest.raises(InputError, match="frame 0 has no depth_file_path; training needs a depth"):
        load_posed_capture(capture)


@needs_full_data
def test_scanned_captures_agree_with_their_points():
    folder = sorted(entry for entry in full_data("data/dev").iterdir() if entry.is_dir())[0]
    posed = load_posed_capture(folder)
    assert posed.rgba.shape == (38, 256, 256, 4)
    share = ((posed.rgba[..., 3] >= 128) == (posed.depth > 0)).mean()
    assert share > 0.999
    derived = back_project(posed.depth, posed.cameras)
    box = [np.concatenate([p.min(0), p.max(0)]) for p in (derived, posed.points)]
    np.testing.assert_allclose(box[0], box[1], atol=0.01)
