"""What every reader asks of a file that nobody vouches for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussians import Gaussians

HEAD_BYTES = 1 << 16  # what `check` functions see of a file
LARGEST_COUNT = 20_000_000  # splats of one file


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
) -> Gaussians:
    """Gaussians of decoded arrays, or one sentence about the first value that is none.

    Args:
        name: What the sentence calls the file.
        means: [N, 3].
        opacities: [N], in [0, 1].
        scales: [N, 3], not negative.
        quats: [N, 4], wxyz of any length; length zero means no rotation.
        colors: [N, 3] of any finite value, or
        sh: [N, K, 3].
    """
    arrays = {
        "position": means,
        "opacity": opacities,
        "scale": scales,
        "rotation": quats,
        "colour": colors if sh is None else sh,
    }
    for kind, array in arrays.items():
        assert array is not None
        check_finite(kind, array, name)
    if not ((opacities >= 0) & (opacities <= 1)).all():
        row = int(np.argmin((opacities >= 0) & (opacities <= 1)))
        raise InputError(
            f"{name}: splat {row} has opacity {opacities[row]:.6g}; it must be in [0, 1]: the file "
            "is damaged or of another layout"
        )
    if (scales < 0).any():
        row = int(np.argmax((scales < 0).any(axis=1)))
        raise InputError(
            f"{name}: splat {row} has scale {scales[row].min():.6g}; it must not be negative: the "
            "file is damaged or of another layout"
        )
    return Gaussians(means, opacities, scales, unit_quats(quats), colors=colors, sh=sh)


def check_finite(kind: str, array: NDArray, name: str) -> None:
    """Refuse NaN and infinity, naming the first splat that has one."""
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        value = array[row][~finite[row]].flat[0]
        raise InputError(
            f"{name}: splat {row} has a {kind} of {value}; every value must be finite: leave that "
            "splat out"
        )


def unit_quats(quats: NDArray) -> NDArray[np.float32]:
    """[N, 4] of unit length; a quaternion of length zero turns into no rotation."""
    wide = quats.astype(np.float64)
    norms = np.sqrt(np.einsum("nk,nk->n", wide, wide))[:, None]
    units = (wide / np.where(norms > 0, norms, 1)).astype(np.float32)
    units[norms[:, 0] == 0] = (1, 0, 0, 0)
    return units
