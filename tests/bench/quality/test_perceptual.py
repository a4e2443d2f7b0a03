"""LPIPS from a file of weights."""

import numpy as np
import pytest

from geolrm.bench.quality.perceptual import CHANNELS, STAGES, Lpips
from geolrm.engine.errors import GeoLRMError, InputError


def pictures(height, width, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((height, width, 3), dtype=np.float32)
    truth[: height // 3] = 1  # a flat part, where the constants decide
    noise = 0.2 * rng.standard_normal(truth.shape, dtype=np.float32)
    return (truth + noise).clip(0, 1), truth


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
    for name, value in (("lin2.model.1.weight", np.nan), ("slice1.0.bias", np.inf)):
        name = next(one for one in lpips_tensors if one.endswith(name))
        broken = lpips_tensors[name].clone()
        broken.view(-1)[-1] = value
        torch.save({**lpips_tensors, name: broken}, tmp_path / "nan.pth")
        with pytest.raises(InputError, match=r"nan.pth': tensor '.*' holds NaN or infinity"):
            Lpips(tmp_path / "nan.pth")
    torch.save(lpips_tensors, tmp_path / "a.pth")
    with pytest.raises(InputError, match="LPIPS needs at least 16 x 16"):
        Lpips(tmp_path / "a.pth")([np.ones((12, 12, 3))], [np.ones((12, 12, 3))])

    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(GeoLRMError, match=r"LPIPS needs torch, .* pip install 'geolrm\[lpips\]'"):
        Lpips(tmp_path / "a.pth")
