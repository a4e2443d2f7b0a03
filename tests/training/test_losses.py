"""Losses, schedule and true occupancy against recorded numbers and by hand."""

import numpy as np
import pytest
import torch
from harness.data import DATA

from geolrm.engine.geometry.cameras import Cameras
from geolrm.training import losses
from geolrm.training.config import OptimizerConfig
from geolrm.training.data.views import back_project
from geolrm.training.occupancy import occupancy_from_points
from geolrm.training.optimizer import learning_rate

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")


def vector(name):
    return torch.from_numpy(VECTORS[name])


def test_depth_losses_agree_with_the_vectors():
    names = ("loss_pred", "loss_gt", "loss_rgb", "loss_mask")
    predicted, depth, rgb, mask = (vector(name) for name in names)
    edge = losses.edge_log_depth(predicted, depth, rgb, mask)
    assert edge.item() == pytest.approx(float(VECTORS["loss_edge_log_l1_scalar"]), abs=1e-6)
    variation = losses.total_variation(predicted)
    assert variation.item() == pytest.approx(float(VECTORS["loss_tv"]), abs=1e-6)
    nowhere = torch.zeros_like(mask)
    assert losses.edge_log_depth(predicted, depth, rgb, nowhere).item() == 0


def test_occupancy_losses_agree_with_the_vectors():
    logits, target = vector("geo_logits"), vector("geo_target")
    affinity = losses.scene_class_affinity(logits, target)
    assert affinity.item() == pytest.approx(float(VECTORS["geo_scal_loss"]), abs=1e-5)
    entropy = losses.occupancy_loss(logits, target, affinity=0)
    assert entropy.item() == pytest.approx(float(VECTORS["bce"]), abs=1e-6)
    both = losses.occupancy_loss(logits, target)
    assert both.item() == pytest.approx(float(VECTORS["bce"] + VECTORS["geo_scal_loss"]), abs=1e-5)


def test_true_occupancy_agrees_with_the_vectors():
    depths, c2ws, ks = (VECTORS[f"occ_{name}"][0] for name in ("depths", "c2ws", "Ks"))
    points = back_project(depths[:, 0], Cameras(c2ws.astype(float), ks.astype(float)))
    grid = occupancy_from_points(points, 32, "released")
    expected = np.unpackbits(VECTORS["occ_grid32"])[: 32**3].reshape(32, 32, 32)
    assert grid.sum() == VECTORS["occ_grid32_count"]
    np.testing.assert_array_equal(grid, expected)


def test_points_fall_into_the_voxel_with_the_nearest_centre():
    points = np.array([[-0.5, 0.5, 0.02], [0.034, -0.1, 0.9]], np.float32)
    grid = occupancy_from_points(points, 16)
    assert grid.sum() == 2
    assert grid[0, 15, 8] == 1  # 0.52 * 15 = 7.8
    assert grid[8, 6, 15] == 1  # 0.534 * 15 = 8.01, 0.4 * 15 = 6, clipped


@pytest.mark.parametrize(
    ("step", "warmup", "steps", "rate"),
    [
        (0, 12_000, 100_000, 1e-7),
        (3_000, 12_000, 100_000, 1.473002e-5),  # a quarter of the way up
        (6_000, 12_000, 100_000, 5.005e-5),
        (34_000, 12_000, 100_000, 8.536998e-5),  # a quarter of the way down
        (56_000, 12_000, 100_000, 5.005e-5),
        (125, 500, 50_000, 1.473002e-5),
        (25_250, 500, 50_000, 5.005e-5),
        (37_625, 500, 50_000, 1.473002e-5),
        (60_000, 500, 50_000, 1e-7),  # beyond the end
    ],
)
def test_schedule(step, warmup, steps, rate):
    config = OptimizerConfig(1e-4, final_share=0.001, warmup=warmup)
    assert learning_rate(step, steps, config) == pytest.approx(rate, rel=1e-6)
    assert learning_rate(warmup, steps, config) == pytest.approx(1e-4)
    assert learning_rate(steps, steps, config) == pytest.approx(1e-7)


def convolved(a, b):
    """SSIM by the convolutions of its definition, in float64."""
    a, b = a.double(), b.double()
    taps = torch.arange(11, dtype=torch.float64) - 5
    kernel = (-taps.square() / (2 * 1.5**2)).exp()
    window = torch.outer(kernel, kernel)[None, None] / kernel.sum() ** 2
    blur = lambda x: torch.nn.functional.conv2d(x.flatten(0, 1)[:, None], window)  # noqa: E731
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = (
        blur(x * y) - mx * my
        for x, y, mx, my in (
            (a, a, mean_a, mean_a), (b, b, mean_b, mean_b), (a, b, mean_a, mean_b),
        )
    )  # fmt: skip
    top = (2 * mean_a * mean_b + 1e-4) * (2 * cov + 9e-4)
    return (top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))).mean()


@pytest.mark.parametrize("shape", [(1, 3, 11, 11), (2, 3, 16, 20), (4, 3, 192, 192)])
def test_ssim_is_that_of_its_window(shape):
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(shape, generator=generator)
    b = (a + 0.2 * torch.randn(shape, generator=generator)).clamp(0, 1)
    gradients = []
    for measure in (losses.ssim, convolved):
        image = a.clone().requires_grad_()
        value = measure(image, b)
        value.backward()
        gradients.append((value.item(), image.grad))
    (ours, to_ours), (exact, to_exact) = gradients
    assert ours == pytest.approx(exact, abs=1e-6)
    assert float((to_ours - to_exact).abs().max()) < 1e-4 * float(to_exact.abs().max())


def test_ssim():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 16, 20, generator=generator)
    assert losses.ssim(image, image).item() == pytest.approx(1, abs=1e-5)
    flat = torch.ones(1, 3, 12, 12)
    expected = (2 * 0.5 + 1e-4) / (0.25 + 1 + 1e-4)
    assert losses.ssim(0.5 * flat, flat).item() == pytest.approx(expected, abs=1e-4)


def cloud(count, seed):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_the_distance_to_a_surface_weighs_centres_by_opacity_and_the_surface_by_solid_ones():
    means, surface = cloud(30, 0), cloud(50, 1)
    opacities = torch.linspace(0.05, 0.9, 30)
    apart = torch.cdist(means, surface)
    to_surface = (opacities * apart.min(1).values).sum() / opacities.sum()
    from_surface = apart[opacities >= losses.SOLID].min(0).values.mean()
    found = losses.surface_distance(means, opacities, surface)
    torch.testing.assert_close(found, to_surface + from_surface)
    faint = losses.surface_distance(means, 0.2 * opacities, surface)
    torch.testing.assert_close(faint, to_surface)
    assert losses.surface_distance(surface, torch.ones(50), surface) < 1e-5


def test_the_distance_to_a_surface_draws_centres_to_it_and_hides_those_far_off():
    means = torch.tensor([[0.0, 0, 0.1], [0.3, 0, -0.3]], requires_grad=True)
    opacities = torch.tensor([0.8, 0.2], requires_grad=True)
    losses.surface_distance(means, opacities, torch.zeros(1, 3)).backward()
    torch.testing.assert_close(means.grad[0], torch.tensor([0.0, 0, 0.8 + 1]))  # both directions
    torch.testing.assert_close(means.grad[1], 0.2 * torch.tensor([1.0, 0, -1]) / 2**0.5)
    assert opacities.grad[1] > 0 > opacities.grad[0]
