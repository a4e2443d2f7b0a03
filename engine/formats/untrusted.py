"""What every reader asks of a file that nobody vouches for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.system.user_warnings import warn

HEAD_BYTES = 1 << 16  # what `check` functions see of a file
LARGEST_COUNT = 20_000_000  # splats of one file
LARGEST_VALUE = 1e18  # squares and sums of more leave the range of float32


def check_count(count: int, name: str) -> None:
    """Refuse numbers of splats that no object needs, before anything is allocated for them."""
    if count > LARGEST_COUNT:
        raise InputError(
            f"{name} states {count:,} splats; at most {LARGEST_COUNT:,} are read: split the file"
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a reader found in a file, in the file's frame."""

    gaussians: GaussianArrays
    left_out: int = 0  # splats that held NaN, infinity or what leads to them


def assemble(
    name: str,
    *,
    means: NDArray,
    opacities: NDArray,
    scales: NDArray,
    quats: NDArray,
    colors: NDArray | None = None,
    sh: NDArray | None = None,
) -> Decoded:
    """Make Gaussians of decoded arrays; those that are not finite are left out with a warning.

    Args:
        name: What the sentences call the file.
        means: [N, 3].
        opacities: [N], in [0, 1].
        scales: [N, 3], not negative.
        quats: [N, 4], wxyz of any length; length zero means no rotation.
        colors: [N, 3] of any finite value, or
        sh: [N, K, 3].

    Raises:
        InputError: No splat is finite, or an opacity or scale is out of its range.
    """
    assert colors is not None or sh is not None
    kinds = {"position": means, "opacity": opacities, "scale": scales, "rotation": quats}
    kinds["colour"] = colors if sh is None else sh  # pyright: ignore[reportArgumentType]
    left_out = 0
    if not all(within_reach(array) for array in kinds.values()):
        sound = _sound(kinds, name)
        left_out = int(len(sound) - sound.sum())
        means, opacities, scales, quats = (a[sound] for a in (means, opacities, scales, quats))
        colors, sh = (None if a is None else a[sound] for a in (colors, sh))
    check_ranges(opacities, scales, name)
    gaussians = GaussianArrays(means, opacities, scales, unit_quats(quats), colors=colors, sh=sh)
    return Decoded(gaussians, left_out)


def _sound(kinds: dict[str, NDArray], name: str) -> NDArray[np.bool_]:
    """Tell which splats [N] are finite and within reach, and say how many are not, and why."""
    goods = {
        kind: (np.abs(array) <= LARGEST_VALUE).reshape(len(array), -1)
        for kind, array in kinds.items()
    }
    sound = np.logical_and.reduce([good.all(axis=1) for good in goods.values()])
    row = int(np.argmin(sound))
    kind = next(kind for kind, good in goods.items() if not good[row].all())
    value = kinds[kind][row].reshape(-1)[~goods[kind][row]][0]
    first = f"splat {row} has a {kind} of {value:.6g}"
    if not sound.any():
        raise InputError(
            f"{name} has no splat of finite values within {LARGEST_VALUE:g} of 0: {first}; it is "
            "damaged or of another layout"
        )
    warn(
        f"{name}: left out {len(sound) - sound.sum():,} of {len(sound):,} splats, which are not "
        f"finite or beyond {LARGEST_VALUE:g}; {first}"
    )
    return sound


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
