"""Folders on disk become the same record as the meshes they were rendered from."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from harness.data import full_data, needs_full_data
from PIL import Image
from samples.stored_objects import UNIT, change_json, write_capture, write_gobjaverse

from geolrm.engine.errors import InputError
from geolrm.training.data.captures import load_posed_capture
from geolrm.training.data.gobjaverse import (
    DISTINCT_VIEWS,
    clean_depth,
    load_gobjaverse,
    read_depth,
)
from geolrm.training.data.meshes import Mesh, render_object
from geolrm.training.data.shapes import revolve
from geolrm.training.data.views import back_project, points_of_depth

RADIUS = 0.5


def sphere() -> Mesh:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 49)
    texture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    return revolve(np.stack([RADIUS * np.cos(angle), RADIUS * np.sin(angle)], -1), texture)


@pytest.fixture(scope="module")
def posed():
    return render_object(sphere(), np.random.default_rng(0), 48, points=3000)


@pytest.fixture(scope="module")
def capture_folder(posed, tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("captures") / "ball", posed)


@pytest.fixture
def capture(capture_folder, tmp_path):
    return Path(shutil.copytree(capture_folder, tmp_path / "ball"))


@pytest.fixture(scope="module")
def gobjaverse_folder(posed, tmp_path_factory):
    pytest.importorskip("OpenEXR")
    folder = tmp_path_factory.mktemp("gobjaverse") / "0" / "10010"
    return write_gobjaverse(folder, posed, DISTINCT_VIEWS)


@pytest.fixture
def gobjaverse(gobjaverse_folder, tmp_path):
    return Path(shutil.copytree(gobjaverse_folder, tmp_path / "10010"))


def assert_on_the_sphere(points):
    distance = np.linalg.norm(points, axis=1)
    assert distance.min() > RADIUS * 0.993 and distance.max() < RADIUS * 1.001


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


def test_back_projection_and_its_sampling(posed):
    points = back_project(posed.depth, posed.cameras)
    assert len(points) == np.count_nonzero(posed.depth)
    assert_on_the_sphere(points)
    few = points_of_depth(posed.depth, posed.cameras, 100, "here")
    assert len(few) == 100 and len(np.unique(few, axis=0)) == 100
    with pytest.raises(InputError, match="here: no depth map shows anything"):
        points_of_depth(0 * posed.depth, posed.cameras, 100, "here")


def test_gobjaverse_comes_back(gobjaverse, posed):
    loaded = load_gobjaverse(gobjaverse)
    np.testing.assert_array_equal(loaded.rgba, posed.rgba)
    np.testing.assert_allclose(loaded.cameras.c2w, posed.cameras.c2w, atol=1e-12)
    np.testing.assert_allclose(loaded.cameras.intrinsics, posed.cameras.intrinsics, atol=1e-12)
    kept = loaded.depth > 0
    np.testing.assert_array_equal(loaded.depth[kept], posed.depth[kept])
    assert not kept[posed.depth == 0].any()
    assert 0.8 < kept.sum() / (posed.depth > 0).sum() < 0.97  # a rim of one pixel is gone
    assert len(loaded.points) == min(20000, kept.sum())
    assert_on_the_sphere(loaded.points)
    some = load_gobjaverse(gobjaverse, [3, 25])
    np.testing.assert_array_equal(some.rgba, posed.rgba[[3, 36]])


def test_the_level_of_the_download_may_stand_in_between(gobjaverse, tmp_path):
    outer = tmp_path / "object"
    outer.mkdir()
    gobjaverse.rename(outer / "campos_512_v4")
    assert len(load_gobjaverse(outer, [0, 1])) == 2


def test_half_precision_depth_is_read(posed, tmp_path):
    pytest.importorskip("OpenEXR")
    folder = write_gobjaverse(tmp_path / "half", posed, range(2), dtype=np.float16)
    depth = read_depth(folder / "00001" / "00001_nd.exr", 48)
    np.testing.assert_allclose(depth, posed.depth[1], rtol=5e-4)
    assert depth.dtype == np.float32


def test_depth_is_cleaned():
    depth = np.full((7, 9), 1.8, np.float32)
    depth[1, 1] = 0  # background
    depth[5, 5] = 0.9  # nearer than 1.8 - 0.867
    depth[1, 6] = np.nan
    depth[6, 0] = 2.7  # behind the cube
    depth[3, 3] = 0.94  # just inside
    cleaned = clean_depth(depth, 1.8)
    expected = depth.copy()
    expected[0:3, 0:3] = expected[4:7, 4:7] = expected[0:3, 5:8] = expected[5:7, 0:2] = 0
    np.testing.assert_array_equal(cleaned, expected)


def test_what_gobjaverse_lacks_is_named(gobjaverse):
    camera = gobjaverse / "00002" / "00002.json"
    text = camera.read_text()
    camera.write_text(text.replace('"x_fov"', '"fov"'))
    with pytest.raises(InputError, match=r"00002\.json' is no camera of GObjaverse .*'x_fov'"):
        load_gobjaverse(gobjaverse)
    camera.write_text(text)
    change_json(camera, x_fov=50)
    with pytest.raises(InputError, match="x_fov is 50; it must be in radians"):
        load_gobjaverse(gobjaverse)
    camera.write_text(text)
    change_json(camera, x=[1, 0])
    with pytest.raises(InputError, match="must be lists of 3 numbers"):
        load_gobjaverse(gobjaverse)
    camera.write_text(text)
    change_json(camera, y=[2, 0, 0])
    with pytest.raises(InputError, match="pose 2 is no rigid motion"):
        load_gobjaverse(gobjaverse)
    camera.write_text(text)

    exr = gobjaverse / "00004" / "00004_nd.exr"
    content = exr.read_bytes()
    exr.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"00004_nd\.exr' is no EXR file that can be read"):
        load_gobjaverse(gobjaverse)
    exr.unlink()
    with pytest.raises(InputError, match=r"00004_nd\.exr' is missing"):
        load_gobjaverse(gobjaverse)
    exr.write_bytes(content)
    with pytest.raises(InputError, match=r"has 48 x 48 px, its image 24 x 24; they must agree"):
        read_depth(exr, 24)

    image = gobjaverse / "00005" / "00005.png"
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(image)
    with pytest.raises(InputError, match=r"00005\.png' is RGB with 48 x 48 px; it must be RGBA"):
        load_gobjaverse(gobjaverse)
    with pytest.raises(InputError, match="is no folder"):
        load_gobjaverse(gobjaverse / "nowhere")
    with pytest.raises(InputError, match="no views were asked for"):
        load_gobjaverse(gobjaverse, [])


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
