"""LPIPS as a loss: with torchmetrics where it is installed, else with a double of its network."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from doubles.lpips import LpipsDouble  # noqa: E402
from samples.training import run, tiny_recipe  # noqa: E402

from geolrm.engine.errors import GeoLRMError, InputError  # noqa: E402
from geolrm.training.perceptual import load_lpips  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def lpips(monkeypatch):
    """torchmetrics, or its double."""
    try:
        import torchvision  # noqa: F401
        from torchmetrics.functional.image.lpips import _LPIPS
    except Exception:
        names = ["", ".functional", ".functional.image", ".functional.image.lpips"]
        modules = {f"torchmetrics{name}": ModuleType(f"torchmetrics{name}") for name in names}
        modules["torchmetrics.functional.image.lpips"]._LPIPS = LpipsDouble  # pyright: ignore
        modules["torchvision"] = ModuleType("torchvision")
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        return LpipsDouble
    return _LPIPS


@pytest.fixture
def weights(lpips, tmp_path):
    torch.manual_seed(0)
    state = lpips(pretrained=False, net="vgg", pnet_rand=True).state_dict()
    state = {f"lpips.net.{name}": tensor.abs() for name, tensor in state.items()}
    torch.save({"state_dict": {**state, "serializer.other": torch.zeros(2)}}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_it_measures_and_has_gradients(weights):
    dissimilarity = load_lpips(weights, CPU)
    truth = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert dissimilarity(truth, truth).item() == 0
    drawn = (0.5 * truth).requires_grad_()
    far = dissimilarity(drawn, truth)
    far.backward()
    assert far.item() > 0 and drawn.grad.abs().max() > 0
    with pytest.raises(InputError, match="targets have 12 px; LPIPS needs 16 or more"):
        dissimilarity(truth[..., :12, :12], truth[..., :12, :12])


def test_a_recipe_with_weights_trains_with_it(weights, tmp_path):
    recipe = tiny_recipe(steps=1)
    losses = replace(recipe.losses, lpips_weights=str(weights))
    _, with_lpips = run(tmp_path / "lpips", replace(recipe, losses=losses))
    _, with_ssim = run(tmp_path / "ssim", recipe)
    assert with_lpips[0]["dissimilarity"] != with_ssim[0]["dissimilarity"]
    assert with_lpips[0]["mse"] == with_ssim[0]["mse"]


def test_it_is_refused_in_one_sentence(lpips, weights, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no LPIPS weights at .* or leave losses.lpips_weights"):
        load_lpips(tmp_path / "none.pth", CPU)
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.pth' cannot be read as a plain state dict"):
        load_lpips(tmp_path / "bad.pth", CPU)
    torch.save({"net.slice1.0.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"holds no LPIPS with VGG-16: 31 of its 31 tensors"):
        load_lpips(tmp_path / "other.pth", CPU)
    state = torch.load(weights, weights_only=True)["state_dict"]
    name = next(name for name in state if name.endswith("bias"))
    torch.save({**state, name: state[name] * float("nan")}, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"nan.pth': tensor 'net.*bias' holds NaN or infinity"):
        load_lpips(tmp_path / "nan.pth", CPU)
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image.lpips", None)
    with pytest.raises(GeoLRMError, match="pip install torchmetrics torchvision, or leave it out"):
        load_lpips(weights, CPU)
