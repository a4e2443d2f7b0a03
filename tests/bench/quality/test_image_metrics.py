"""PSNR and SSIM on small pictures."""

import math

import numpy as np
import pytest
from reference.ssim import ssim as slow_ssim

from geolrm.bench.quality.image_metrics import StructuralSimilarity, pooled_psnr, psnr, ssim


def pictures(height, width, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((height, width, 3), dtype=np.float32)
    truth[: height // 3] = 1  # a flat part, where the constants decide
    noise = 0.2 * rng.standard_normal(truth.shape, dtype=np.float32)
    return (truth + noise).clip(0, 1), truth


def test_psnr_of_known_errors():
    grey = np.full((12, 12, 3), 0.5, np.float32)
    assert pooled_psnr([grey + 0.1], [grey]) == pytest.approx(20, abs=1e-4)
    assert psnr(1.0) == 0
    assert psnr(0.0) == 100  # finite


def test_psnr_is_pooled_over_values_and_not_averaged():
    small, large = np.zeros((11, 11, 3)), np.zeros((22, 22, 3))
    pooled = pooled_psnr([small + 0.2, large + 0.1], [small, large])
    assert pooled == pytest.approx(-10 * math.log10((0.04 * 1 + 0.01 * 4) / 5))
    assert pooled != pytest.approx((pooled_psnr([small + 0.2], [small]) + 20) / 2, abs=0.1)


@pytest.mark.parametrize("size", [(11, 11), (17, 13)])
def test_ssim_equals_the_slow_definition(size):
    picture, truth = pictures(*size)
    expected = slow_ssim(picture, truth)
    assert ssim(picture, truth) == pytest.approx(expected, abs=1e-9)
    assert ssim(truth, picture) == pytest.approx(expected, abs=1e-9)
    assert 0.1 < expected < 0.9


def test_ssim_of_equal_pictures_is_one_and_of_flat_ones_follows_from_the_means():
    _, truth = pictures(20, 15)
    judge = StructuralSimilarity(truth)
    assert judge(truth) == pytest.approx(1, abs=1e-12)
    flat = np.ones((12, 12, 3))
    expected = (2 * 0.5 + 1e-4) / (0.25 + 1 + 1e-4)
    assert ssim(0.5 * flat, flat) == pytest.approx(expected, abs=1e-9)
