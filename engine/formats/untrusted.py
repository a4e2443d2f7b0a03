"""What every reader asks of a file that nobody vouches for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussian_arrays import GaussianArrays

HEAD_BYTES = 1 << 16  # what `check` functions see of a file
LARGEST_COUNT = 20_000_000  # splats of one file
LARGEST_VALUE = 1e18  # squares and sums of more leave the range of float32


def check_count(count: int, name: str) -> None:
    """Refuse numbers of splats that no object needs, before anything is allocated for them."""
    if count > LARGEST_COUNT:
        raise InputError(
            f"{name} states {count:,} splats; at most {LARGEST_COUNT:,} are read: split the file"
        )


def assemble(
    name: str,
    *,
    means: NDArray,
    opacities: NDArray,
    scales: NDArray,
    quats: NDArray,
    colors: NDArray | None = None,
    sh: NDArray | None = None,
) -> GaussianArrays:
    """Make Gaussians of decoded arrays, or raise one sentence about the first value that is none.

    Args:
        name: What the sentence calls the file.
        means: [N, 3].
        opacities: [N], in [0, 1].
        scales: [N, 3], not negative.
        quats: [N, 4], wxyz of any length; length zero means no rotation.
        colors: [N, 3] of any finite value, or
        sh: [N, K, 3].
    """
    assert colors is not None or sh is not None
    check_finite("position", means, name)
    check_finite("opacity", opacities, name)
    check_finite("scale", scales, name)
    check_finite("rotation", quats, name)
    check_finite("colour", colors if sh is None else sh, name)  # pyright: ignore
    check_ranges(opacities, scales, name)
    return GaussianArrays(means, opacities, scales, unit_quats(quats), colors=colors, sh=sh)


def check_ranges(opacities: NDArray, scales: NDArray, name: str) -> None:
    """Refuse opacities [N] outside [0, 1] and negative scales [N, 3]."""
    if not len(opacities):
        return
    if opacities.min() < 0 or opacities.max() > 1:
        row = int(np.argmin((opacities >= 0) & (opacities <= 1)))
        raise InputError(
            f"{name}: splat {row} has opacity {opacities[row]:.6g}; it must be in [0, 1]: they "
            "are damaged or of another layout"
        )
    if scales.min() < 0:
        row = int(np.argmax((scales < 0).any(axis=1)))
        raise InputError(
            f"{name}: splat {row} has scale {scales[row].min():.6g}; it must not be negative: they "
            "are damaged or of another layout"
        )


def check_finite(kind: str, array: NDArray, name: str) -> None:
    """Refuse NaN, infinity and what leads to them, naming the first splat that has one."""
    if within_reach(array):
        return
    good = np.abs(array) <= LARGEST_VALUE
    row = int(np.argmin(good.reshape(len(array), -1).all(axis=1)))
    value = array[row][~good[row]].flat[0]
    raise InputError(
        f"{name}: splat {row} has a {kind} of {value:.6g}; every value must be finite and within "
        f"{LARGEST_VALUE:g} of 0: leave that splat out"
    )


def within_reach(array: NDArray) -> bool:
    """Tell whether there is neither NaN nor anything too large; NaN passes min and max."""
    return not array.size or bool(array.min() >= -LARGEST_VALUE and array.max() <= LARGEST_VALUE)


def unit_quats(quats: NDArray) -> NDArray[np.float32]:
    """Scale quaternions [N, 4] to unit length; one of length zero turns into no rotation."""
    wide = quats.astype(np.float64)
    norms = np.sqrt(np.einsum("nk,nk->n", wide, wide))[:, None]
    units = (wide / np.where(norms > 0, norms, 1)).astype(np.float32)
    units[norms[:, 0] == 0] = (1, 0, 0, 0)
    return units
