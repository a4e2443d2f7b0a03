"""Where rounding decides which splat is a pixel's last: by how much an image can differ then."""

import numpy as np
import pytest
from csrc.scenes import Scene, draw, truth
from reference.rasterizer import Parameters

SIDE, STEP, FOCAL = 16, 12, 100.0
PIXELS = np.arange(SIDE) * STEP + STEP // 2


def in_front_of_the_grid(centres, z):
    """Means [N, 3] seen at pixel coordinates [N, 2]."""
    across = (centres - SIDE * STEP / 2) / FOCAL * z
    return np.concatenate([across, np.full((len(centres), 1), z)], 1)


def two_a_pixel(first, second, shift=0.0) -> tuple[Scene, tuple, tuple[int, int]]:
    """At every 12th pixel a splat in its middle and, behind, one `shift` px beside the middle."""
    x, y = np.meshgrid(PIXELS, PIXELS)
    centres = np.stack([x.ravel(), y.ravel()], 1) + 0.5
    count = len(centres)
    f = lambda a: np.ascontiguousarray(a, np.float32)  # noqa: E731
    means = [in_front_of_the_grid(centres, 1.0), in_front_of_the_grid(centres + shift, 2.0)]
    scene = Scene(
        f(np.concatenate(means)),
        f(np.concatenate([first, second])),
        f(np.full((2 * count, 3), 1e-4)),
        f(np.tile([1, 0, 0, 0], (2 * count, 1))),
        f(np.zeros((2 * count, 3))),
    )
    size = (SIDE * STEP, SIDE * STEP)
    k = np.array([[FOCAL, 0, size[0] / 2], [0, FOCAL, size[1] / 2], [0, 0, 1]])
    return scene, (np.eye(4), k), size


def pairs_on_the_limit(alpha_max: float):
    """Pixels behind a splat that leaves 1e-4 / (1 - alpha_max), give or take a few ulp."""
    count = SIDE * SIDE
    first = np.float32(1 - 1e-4 / (1 - alpha_max))
    ulps = np.arange(count) - count // 2
    opacities = (first.view(np.int32) + ulps.astype(np.int32)).view(np.float32)
    return two_a_pixel(opacities, np.ones(count))


@pytest.mark.parametrize("alpha_max", [0.992, 0.995, 0.999])
def test_the_largest_difference_at_the_limit(alpha_max):
    scene, cam, size = pairs_on_the_limit(alpha_max)
    p = Parameters(alpha_max=alpha_max)
    image, expected = draw(scene, cam, size, p=p), truth(scene, cam, size, p=p)
    most = 1.001e-4 / (1 - alpha_max)
    assert np.abs(image.alpha[0] - expected["alpha"]).max() <= most
    assert np.abs(image.rgb[0] - expected["rgb"]).max() <= most  # black before white
    for alpha in (image.alpha[0], expected["alpha"]):
        added = alpha[np.ix_(PIXELS, PIXELS)] > 1 - 0.5 * most
        assert 0.1 < added.mean() < 0.9  # both fates: the second splat is added, or it is not
