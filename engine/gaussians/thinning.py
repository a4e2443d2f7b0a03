"""Fewer splats: leave out the faint ones, or keep those that show most."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussian_arrays import GaussianArrays

Splats = TypeVar("Splats", bound=GaussianArrays)


def check_opacity(opacity: float) -> None:
    """Refuse what :func:`prune` does not take."""
    if not 0 <= opacity <= 1:
        raise InputError(f"the least opacity is {opacity}; it must be in [0, 1]")


def check_count(count: int) -> None:
    """Refuse what :func:`keep_largest` does not take."""
    if count < 1:
        raise InputError(f"the largest number of splats is {count}; it must be 1 or more")


def prune(gaussians: Splats, opacity: float) -> Splats:
    """Keep the splats of at least this opacity, in their order.

    Args:
        gaussians: Any splats.
        opacity: In [0, 1].
    """
    check_opacity(opacity)
    return gaussians.select(gaussians.opacities >= np.float32(opacity))


def keep_largest(gaussians: Splats, count: int) -> Splats:
    """Keep the ``count`` splats of the greatest :func:`importance`, in their order.

    Of equals, those that come first are kept, so that the choice is the same everywhere.
    """
    check_count(count)
    if len(gaussians) <= count:
        return gaussians
    ranked = np.argsort(-importance(gaussians), kind="stable")
    return gaussians.select(np.sort(ranked[:count]))


def importance(gaussians: GaussianArrays) -> NDArray[np.float64]:
    """Rate how much splats show, [N]: opacity times ``s0 s1 + s1 s2 + s2 s0``.

    The sum is, up to a factor, the area that an ellipsoid of these half axes shows on average over
    all directions, had it the shape of a box; hidden splats count like visible ones.
    """
    first, second, third = gaussians.scales.astype(np.float64).T
    area = first * second + second * third + third * first
    return gaussians.opacities.astype(np.float64) * area
