"""The autograd function: gradients arrive, and a picture can be fitted with them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from csrc.scenes import camera, cloud, draw  # noqa: E402

from geolrm.training.rasterize import rasterize  # noqa: E402

SIZE = (48, 40)


def tensors(scene):
    return {n: torch.from_numpy(a).requires_grad_() for n, a in scene.arrays().items()}


def cameras(count=1):
    pairs = [camera(SIZE, azimuth=0.4 + v) for v in range(count)]
    stack = lambda i: torch.from_numpy(np.stack([p[i] for p in pairs]))  # noqa: E731
    return {"w2c": stack(0), "intrinsics": stack(1), "size": SIZE}


@pytest.mark.parametrize("sh_count", [0, 4])
def test_forward_and_gradients(sh_count):
    scene = cloud(100, 1, sh_count=sh_count)
    splats = tensors(scene)
    image = rasterize(**splats, **cameras())
    np.testing.assert_array_equal(image.rgb.detach().numpy(), draw(scene, camera(SIZE), SIZE).rgb)
    (image.rgb.square().sum() + image.alpha.sum() + image.depth.sum()).backward()
    for name, tensor in splats.items():
        assert tensor.grad.shape == tensor.shape, name
        assert tensor.grad.abs().max() > 0, name


def test_a_picture_is_fitted():
    target = rasterize(**tensors(cloud(60, 1, low=0.05)), **cameras(3))
    goal = target.rgb.detach()
    scene = cloud(60, 1, low=0.05)
    scene.colors[:] = 0.5
    scene.means += np.random.default_rng(0).normal(size=scene.means.shape).astype("f4") * 0.01
    splats = tensors(scene)
    optimizer = torch.optim.Adam([splats["colors"], splats["means"]], lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (rasterize(**splats, **cameras(3)).rgb - goal).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_unused_images_and_frozen_splats():
    splats = {n: t.detach() for n, t in tensors(cloud(20, 2, low=0.1)).items()}
    splats["opacities"].requires_grad_()
    rasterize(**splats, **cameras()).alpha.sum().backward()
    assert splats["opacities"].grad.abs().sum() > 0


def test_either_colors_or_sh():
    splats = tensors(cloud(5, 0))
    with pytest.raises(ValueError, match="either colors or sh must be given"):
        rasterize(**splats, sh=torch.zeros(5, 4, 3), **cameras())
