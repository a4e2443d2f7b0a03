"""Photographs held out, and their score after a gain for each colour."""

from pathlib import Path

import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos
from samples.known_shapes import box_splats

from geolrm import InputError
from geolrm.bench.photos.real_photographs import halved, rows, score, split
from geolrm.engine.captures.capture import Capture
from geolrm.engine.gaussians.gaussians import Gaussians


@pytest.fixture(scope="module")
def capture():
    cameras = box_cameras(11)
    names = [f"{index:02}.png" for index in reversed(range(11))]
    return Capture(Path("box"), names, list(box_photos(cameras)), cameras)


def test_every_fifth_by_name_is_held_out_and_photographs_without_masks_are_left(capture):
    images = list(capture.images)
    images[10] = images[10][..., :3]  # 00.png
    from dataclasses import replace

    inputs, held = split(replace(capture, images=images))
    assert held.names == ["01.png", "06.png"]
    assert inputs.names == [f"{index:02}.png" for index in (2, 3, 4, 5, 7, 8, 9, 10)]


def test_too_few_photographs_with_masks_are_refused(capture):
    with pytest.raises(InputError, match=r"^'box' has 5 photographs with masks; give more than 5"):
        split(capture.subset(range(5)))


def test_a_gain_for_each_colour_costs_nothing_and_another_object_does(capture):
    truth = box_splats()
    warm = Gaussians(
        truth.means, truth.opacities, truth.scales, truth.quats, truth.colors * [0.9, 0.6, 0.3]
    )
    black = Gaussians(truth.means, truth.opacities, truth.scales, truth.quats, 1 - truth.colors)
    right, photograph, drawn = score(truth, capture, 3)
    assert right > 22 and photograph.shape == drawn.shape == (32, 32, 3)
    assert score(warm, capture, 3)[0] == pytest.approx(right, abs=0.5)
    assert score(black, capture, 3)[0] < right - 8


def test_halved_is_the_mean_of_four_and_drops_an_odd_row():
    image = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)
    assert halved(image).shape == (2, 2, 4)
    assert halved(image)[0, 0, 0] == pytest.approx(np.mean([0, 4, 16, 20]) / 255)


def test_a_row_for_each_photograph_held_out(tmp_path, capture):
    from samples.capture_files import write_poses

    photos, cameras = box_photos(box_cameras(7)), box_cameras(7)
    seen = []
    made = rows(write_poses(tmp_path, photos, cameras), threads=2, advance=seen.append)
    assert made == seen and [row.name for row in made] == ["0.png", "5.png"]
    assert all(row.plain > 15 and row.shipped > 15 for row in made)
