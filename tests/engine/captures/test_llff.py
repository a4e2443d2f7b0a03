"""LLFF's poses_bounds.npy, held against how its own writer makes rows."""

import numpy as np
import pytest
from samples.capture_files import SIZE, photo_world, write_images, write_llff

from geolrm import InputError, load_capture
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.llff import opengl_poses
from geolrm.engine.geometry.similarity import move_poses


def test_the_object_is_fitted_and_upright(tmp_path, photos, cameras):
    capture = load_capture(write_llff(tmp_path, photos, cameras))
    assert capture.found == "images with poses_bounds.npy (LLFF): 12 views, 64 x 64 px, with alpha"
    np.testing.assert_allclose(capture.cameras.intrinsics, cameras.intrinsics, atol=1e-9)
    back = move_poses(capture.cameras.c2w, capture.object_to_world)
    np.testing.assert_allclose(back, move_poses(cameras.c2w, photo_world()), atol=1e-9)
    assert capture.cameras.c2w[:, 2, 1].min() > 0.5  # z is up


def test_the_file_itself_and_axes(tmp_path, photos, cameras):
    folder = write_llff(tmp_path, photos, cameras, np.eye(4))
    assert len(load_capture(folder / "poses_bounds.npy")) == 12
    row = np.load(folder / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
    np.testing.assert_allclose(opengl_poses(row), cameras.c2w, atol=1e-12)


def test_smaller_images_will_do(tmp_path, photos, cameras):
    folder = write_llff(tmp_path, photos, cameras)
    (folder / "images").rename(folder / "other")
    write_images(folder / "images_4", photos[:, ::4, ::4])
    assert read_capture(folder).images[0].shape == (16, 16, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"has 12 images but poses_bounds.npy 11 rows; there must be one"),
        (lambda rows: rows[:, :16], r"holds float64 \[12, 16\]; it must be numbers \[V, 17\]"),
        (lambda rows: rows * np.nan, "row 0 holds numbers that are not finite, or a height"),
        (lambda rows: rows - 1e6 * (np.arange(17) == 4), "or focal length that is not positive"),
        (lambda rows: rows + 64 * (np.arange(17) == 4),
         "row 0 is of 64 x 128 pixels, but 0.png has 64 x 64, another shape"),
        (lambda rows: rows + 2 * (np.arange(17) == 0), "pose 0 is no rigid motion"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, photos, cameras, change, message):
    folder = write_llff(tmp_path, photos, cameras)
    np.save(folder / "poses_bounds.npy", change(np.load(folder / "poses_bounds.npy")))
    with pytest.raises(InputError, match=message):
        load_capture(folder)


def test_without_masks_it_cannot_be_fitted(tmp_path, cameras):
    noise = np.random.default_rng(0).integers(0, 255, (12, SIZE, SIZE, 3), np.uint8)
    with pytest.raises(InputError, match="has no points, and its masks do not tell where"):
        load_capture(write_llff(tmp_path, noise, cameras))
