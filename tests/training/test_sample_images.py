from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from geolrm.training.sample_images import LEAST_SIDE, projections, save_curves, save_sample


def test_occupancy_is_projected_along_each_axis():
    grid = np.zeros((8, 8, 8), np.float32)
    grid[1, 2, 7] = 1  # x, y, z
    images = projections(grid)
    side, cell = LEAST_SIDE, LEAST_SIDE // 8
    assert images.shape == (3, side, side, 3) and images.sum() == 3 * 3 * cell**2
    top = images[0, :cell, 2 * cell : 3 * cell]  # along x: y to the right, z up
    assert top.min() == 1 and images[1, :cell, cell : 2 * cell].min() == 1


def test_truth_stands_above_what_was_made(tmp_path):
    shade = torch.full((2, 5, 5, 4), 0.25)
    shade[..., 3] = 1
    rendered = SimpleNamespace(rgb=torch.full((2, 5, 5, 3), 0.75))
    save_sample(
        tmp_path / "a.png", SimpleNamespace(target_rgba=shade), SimpleNamespace(rendered=rendered)
    )
    image = np.asarray(Image.open(tmp_path / "a.png"))
    assert image.shape == (10, 10, 3)
    assert (image[:5] == 64).all() and (image[5:] == 191).all()


def test_without_renders_the_occupancy_is_shown(tmp_path):
    occupancy = torch.zeros(8, 8, 8)
    outcome = SimpleNamespace(rendered=None, logits=torch.full((8, 8, 8), -50.0))
    save_sample(tmp_path / "a.png", SimpleNamespace(occupancy=occupancy), outcome)
    assert np.asarray(Image.open(tmp_path / "a.png")).max() == 0


def test_curves_of_the_terms_that_there_are(tmp_path):
    records = [{"step": n, "total": 1 / (n + 1), "iou": n / 9} for n in range(9)]
    save_curves(tmp_path / "a.png", records)
    assert Image.open(tmp_path / "a.png").size == (1200, 600)
    plain = np.asarray(Image.open(tmp_path / "a.png"))
    save_curves(tmp_path / "b.png", [{**r, "gain": r["step"] - 4} for r in records])
    assert (np.asarray(Image.open(tmp_path / "b.png")) != plain).any()


@pytest.mark.filterwarnings("error")
def test_losses_below_zero_have_curves_too(tmp_path):
    """As sums of logarithms are; matplotlib warns where a logarithm of them is asked for."""
    save_curves(tmp_path / "a.png", [{"step": n, "total": -3.0 - n, "mse": 0.1} for n in range(9)])
    dark = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).min(-1) < 200
    assert dark[:300, :400].sum() > 1000  # the first panel has its curve
