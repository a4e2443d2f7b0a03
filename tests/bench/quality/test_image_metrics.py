"""PSNR, SSIM and LPIPS on small pictures."""

import math

import numpy as np
import pytest
from reference.ssim import ssim as slow_ssim

from geolrm.bench.quality.image_metrics import StructuralSimilarity, pooled_psnr, psnr, ssim
from geolrm.bench.quality.perceptual import CHANNELS, STAGES, Lpips
from geolrm.engine.errors import GeoLRMError, InputError


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


@pytest.fixture(scope="module")
def lpips_tensors():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    tensors, inputs = {}, 3
    for stage, (layers, outputs) in enumerate(zip(STAGES, CHANNELS, strict=True)):
        for layer in layers:
            name = f"lpips.net.net.slice{stage + 1}.{layer}"
            spread = (2 / (9 * inputs)) ** 0.5
            tensors[f"{name}.weight"] = spread * torch.randn(
                outputs, inputs, 3, 3, generator=generator
            )
            tensors[f"{name}.bias"] = torch.zeros(outputs)
            inputs = outputs
        mixture = torch.rand(1, outputs, 1, 1, generator=generator) / outputs
        tensors[f"lpips.net.lin{stage}.model.1.weight"] = mixture
    return tensors


def test_lpips_reads_weights_under_any_prefix_and_orders_pictures(lpips_tensors, tmp_path):
    import torch

    tensors = {**lpips_tensors, "lrm_generator.other": torch.zeros(3)}
    torch.save({"state_dict": tensors}, tmp_path / "a.ckpt")
    perceive = Lpips(tmp_path / "a.ckpt")
    picture, truth = pictures(24, 32)
    assert perceive([truth], [truth]) == 0
    near, far = perceive([0.9 * truth + 0.1 * picture], [truth]), perceive([picture], [truth])
    assert 0 < near < far
    assert perceive([truth, picture], [truth, truth]) == pytest.approx(far / 2, rel=1e-5)


def test_lpips_refuses_in_one_sentence(lpips_tensors, tmp_path, monkeypatch):
    import torch

    with pytest.raises(InputError, match="no LPIPS weights at"):
        Lpips(tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as a plain state dict"):
        Lpips(tmp_path / "bad.pth")
    torch.save({"net.slice1.0.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"tensor 'lin0' is missing, it must have shape"):
        Lpips(tmp_path / "other.pth")
    torch.save(lpips_tensors, tmp_path / "a.pth")
    with pytest.raises(InputError, match="LPIPS needs at least 16 x 16"):
        Lpips(tmp_path / "a.pth")([np.ones((12, 12, 3))], [np.ones((12, 12, 3))])

    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(GeoLRMError, match=r"LPIPS needs torch, .* pip install 'geolrm\[lpips\]'"):
        Lpips(tmp_path / "a.pth")
