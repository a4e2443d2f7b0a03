"""GObjaverse with depth becomes the same record as the mesh it was rendered from."""

import numpy as np
import pytest
from PIL import Image
from samples.stored_objects import change_json, write_gobjaverse
from samples.training import BALL_RADIUS

from geolrm.engine.errors import InputError
from geolrm.training.data.gobjaverse import (
    clean_depth,
    load_gobjaverse,
    read_depth,
)


def assert_on_the_sphere(points):
    distance = np.linalg.norm(points, axis=1)
    assert distance.min() > BALL_RADIUS * 0.993 and distance.max() < BALL_RADIUS * 1.001


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
