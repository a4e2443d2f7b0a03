"""Photographs beside the files of VGGT and Depth Anything 3, cropped, padded, and in any order."""

import re

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import (
    on_white,
    photo_world,
    predicted,
    write_images,
    write_predictions,
)

from geolrm import Cameras, InputError, load_capture
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.predictions import cropped, padded, stretched
from geolrm.engine.geometry.similarity import move_poses


@pytest.mark.parametrize("name", ["predictions.npz", "exports/mini_npz/results.npz"])
def test_the_object_is_fitted_and_upright(tmp_path, photos, cameras, name):
    mini = ("image",) if "mini" in name else ()
    for path in (write_predictions(tmp_path, photos, cameras, name, mini), tmp_path / name):
        capture = load_capture(path)
        assert capture.found == (
            "cameras estimated by VGGT or Depth Anything 3: 12 views, 64 x 64 px, with alpha"
        )
        assert "images in the order of their names: 0.png is view 0" in capture.notes
        assert any("from the points inside all masks" in note for note in capture.notes)
        back = move_poses(capture.cameras.c2w, capture.object_to_world)
        order = sorted(range(12), key=str)
        expected = move_poses(cameras.c2w[order], photo_world())
        if mini:  # nothing tells the order; names are sorted as strings: 0, 1, 10, 11, 2
            assert capture.names == [f"{i}.png" for i in order]
            expected = move_poses(cameras.c2w, photo_world())
        else:
            assert capture.names == [f"{i}.png" for i in range(12)]
            expected = move_poses(cameras.c2w, photo_world())
            np.testing.assert_allclose(capture.cameras.intrinsics, cameras.intrinsics, atol=1e-6)
            assert capture.cameras.c2w[:, 2, 1].min() > 0.5  # z is up
        np.testing.assert_allclose(back, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("photograph", "read", "kind", "expected"),
    [
        ((1000, 1500), (518, 518), cropped, (0, -129.5, 518, 777)),
        ((1500, 1000), (518, 518), padded, (0, 86.3333, 518, 345.3333)),
        ((1000, 1500), (518, 518), padded, (86.3333, 0, 345.3333, 518)),
        ((1600, 1200), (504, 378), stretched, (0, 0, 504, 378)),
    ],
)
def test_where_a_photograph_lies(photograph, read, kind, expected):
    placed = kind(photograph, read)
    np.testing.assert_allclose(
        (placed.left, placed.top, placed.width, placed.height), expected, atol=1e-3
    )


@pytest.mark.parametrize("way", [stretched, cropped, padded])
def test_photographs_of_another_shape_are_laid_over_what_was_read(tmp_path, photos, cameras, way):
    """Intrinsics come out as those of the whole photograph, whatever the network made of it."""
    rng = np.random.default_rng(4)
    wide = np.full((12, 64, 96, 3), 255, np.uint8)
    wide[:, :, 16:80] = on_white(photos)
    wide[:, :, :8] = rng.integers(0, 255, (12, 1, 1, 3))  # else a crop changes nothing
    wide[:, :, 88:] = rng.integers(0, 255, (12, 1, 1, 3))
    placed = way((96, 64), (70, 70))
    inputs = []
    for image in wide:
        scaled = Image.fromarray(image).resize((round(placed.width), round(placed.height)))
        canvas = Image.new("RGB", (70, 70), "white")
        canvas.paste(scaled, (round(placed.left), round(placed.top)))
        inputs.append(np.asarray(canvas))
    normalised = cameras.intrinsics.copy()
    normalised[:, 0, 0] *= 64 / 96
    k = np.tile(np.eye(3), (12, 1, 1))
    k[:, 0, 0], k[:, 1, 1] = normalised[:, 0, 0] * placed.width, normalised[:, 1, 1] * placed.height
    k[:, 0, 2] = placed.left + 0.5 * placed.width
    k[:, 1, 2] = placed.top + 0.5 * placed.height
    folder = write_predictions(
        tmp_path, wide, cameras, "predictions.npz",
        intrinsics=k, image=np.stack(inputs), depth=np.full((12, 70, 70), 6.66, np.float32),
        conf=np.ones((12, 70, 70), np.float32),
    )  # fmt: skip
    capture = read_capture(folder)
    assert capture.images[0].shape == (64, 96, 3)
    np.testing.assert_allclose(capture.cameras.intrinsics, normalised, atol=1e-6)


def test_masks_of_a_folder_are_used(tmp_path, photos, cameras):
    folder = write_predictions(tmp_path, on_white(photos), cameras, "predictions.npz")
    write_images(folder / "masks", photos[..., 3])
    capture = load_capture(folder)
    assert "masks of the folder" in " ".join(capture.notes)
    assert capture.images[0].shape == (64, 64, 4)


def test_without_photographs_those_of_the_file_will_do(tmp_path, photos, cameras):
    folder = write_predictions(tmp_path, photos, cameras, "predictions.npz")
    stored = dict(np.load(folder / "predictions.npz"))
    for image in (folder / "images").iterdir():
        image.unlink()
    capture = load_capture(folder)
    assert any(
        note == "the photographs are not beside the file: its own images are taken, of 64 x 64 px"
        for note in capture.notes
    )
    np.testing.assert_array_equal(capture.images[3], stored["image"][3])
    write_images(folder / "images", 255 - on_white(photos))
    notes = " ".join(read_capture(folder).notes)
    assert "the photographs do not look like what the network read: its own images" in notes


def test_what_cannot_be_placed_is_refused(tmp_path, photos, cameras):
    tall = np.ones((12, 64, 64), np.float32)
    folder = write_predictions(
        tmp_path, photos[:, :40], cameras, "predictions.npz", without=("image",), depth=tall
    )
    said = "the network read 64 x 64 pixels of view 0, whose photograph has 64 x 40, another shape"
    with pytest.raises(InputError, match=said):
        read_capture(folder)
    (folder / "images" / "3.png").unlink()
    said = "has 12 views, and no folder 'images' beside it has as many photographs; put those there"
    with pytest.raises(InputError, match=said):
        read_capture(folder)


def test_intrinsics_of_nothing_are_refused(tmp_path, photos, cameras):
    folder = write_predictions(
        tmp_path, photos, cameras, "predictions.npz", intrinsics=np.zeros((12, 3, 3))
    )
    with pytest.raises(InputError, match=re.escape(f"{folder / 'predictions.npz'}: ")):
        read_capture(folder)


def test_round_trip_through_the_public_cameras(tmp_path, photos, cameras):
    """The same poses by ``Cameras.from_opencv``, which a user of these arrays would call."""
    capture = read_capture(write_predictions(tmp_path, photos, cameras, "predictions.npz"))
    stored = predicted(photos, cameras)
    given = Cameras.from_opencv(
        world_to_camera=stored["extrinsics"], intrinsics=stored["intrinsics"], size=(64, 64)
    )
    back = move_poses(capture.cameras.c2w, capture.object_to_world)
    np.testing.assert_allclose(back, given.c2w, atol=1e-5)
    np.testing.assert_allclose(capture.cameras.intrinsics, given.intrinsics, atol=1e-6)
