"""Where rounding decides which splat is a pixel's last: by how much an image can differ then."""

import numpy as np
import pytest
from csrc.scenes import Scene, draw, truth
from reference.rasterizer import Parameters

SIDE, STEP, FOCAL = 16, 12, 100.0


def pairs_on_the_limit(alpha_max: float):
    """Pixels behind a splat that leaves 1e-4 / (1 - alpha_max), give or take a few ulp."""
    size = (SIDE * STEP, SIDE * STEP)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    centres = np.stack([x.ravel(), y.ravel()], 1) * STEP + STEP // 2 + 0.5
    count = len(centres)
    first = np.float32(1 - 1e-4 / (1 - alpha_max))
    ulps = np.arange(count) - count // 2
    opacities = (first.view(np.int32) + ulps.astype(np.int32)).view(np.float32)
    near = np.concatenate([(centres - size[0] / 2) / FOCAL, np.ones((count, 1))], 1)
    f = lambda a: np.ascontiguousarray(a, np.float32)  # noqa: E731
    scene = Scene(
        f(np.concatenate([near, near * 2])),
        f(np.concatenate([opacities, np.ones(count)])),
        f(np.full((2 * count, 3), 1e-4)),
        f(np.tile([1, 0, 0, 0], (2 * count, 1))),
        f(np.zeros((2 * count, 3))),
    )
    k = np.array([[FOCAL, 0, size[0] / 2], [0, FOCAL, size[1] / 2], [0, 0, 1]])
    return scene, (np.eye(4), k), size


@pytest.mark.parametrize("alpha_max", [0.99, 0.995, 0.999])
def test_the_largest_difference_at_the_limit(alpha_max):
    scene, cam, size = pairs_on_the_limit(alpha_max)
    p = Parameters(alpha_max=alpha_max)
    image, expected = draw(scene, cam, size, p=p), truth(scene, cam, size, p=p)
    most = 1.001e-4 / (1 - alpha_max)
    assert np.abs(image.alpha[0] - expected["alpha"]).max() <= most
    assert np.abs(image.rgb[0] - expected["rgb"]).max() <= most  # black before white
