"""LPIPS as a loss: with torchmetrics where it is installed, else with a stand-in of its network."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from samples.training import run, tiny_recipe  # noqa: E402

from geolrm.engine.errors import GeoLRMError, InputError  # noqa: E402
from geolrm.training.perceptual import load_lpips  # noqa: E402

CPU = torch.device("cpu")
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
CHANNELS = (64, 128, 256, 512, 512)


class StandIn(torch.nn.Module):
    """Tensors named and shaped like those of torchmetrics, five stages."""

    def __init__(self, pretrained, net, pnet_rand):
        super().__init__()
        assert not pretrained and net == "vgg" and pnet_rand
        self.net = torch.nn.Module()
        inputs = 3
        for stage, (layers, outputs) in enumerate(zip(STAGES, CHANNELS, strict=True)):
            convolutions = torch.nn.Module()
            for layer in layers:
                convolutions.add_module(str(layer), torch.nn.Conv2d(inputs, outputs, 3, padding=1))
                inputs = outputs
            setattr(self.net, f"slice{stage + 1}", convolutions)
            mixture = torch.nn.Module()
            mixture.model = torch.nn.Sequential(
                torch.nn.Dropout(), torch.nn.Conv2d(outputs, 1, 1, bias=False)
            )
            setattr(self, f"lin{stage}", mixture)

    def forward(self, first, second, normalize):
        assert normalize and not self.training
        seen = [self.net.slice1.get_submodule("0")(2 * image - 1) for image in (first, second)]
        return self.lin0.model((seen[0] - seen[1]) ** 2).mean((2, 3), keepdim=True)


@pytest.fixture
def lpips(monkeypatch):
    """torchmetrics, or what stands for it."""
    try:
        import torchvision  # noqa: F401
        from torchmetrics.functional.image.lpips import _LPIPS
    except Exception:
        names = ["", ".functional", ".functional.image", ".functional.image.lpips"]
        modules = {f"torchmetrics{name}": ModuleType(f"torchmetrics{name}") for name in names}
        modules["torchmetrics.functional.image.lpips"]._LPIPS = StandIn  # pyright: ignore
        modules["torchvision"] = ModuleType("torchvision")
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        return StandIn
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
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image.lpips", None)
    with pytest.raises(GeoLRMError, match="pip install torchmetrics torchvision, or leave it out"):
        load_lpips(weights, CPU)
