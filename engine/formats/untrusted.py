"""What every reader asks of a file that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.system.user_warnings import warn

HEAD_BYTES = 1 << 16  # what `check` functions see of a file
LARGEST_COUNT = 20_000_000  # splats of one file
LARGEST_VALUE = 1e18  # squares and sums of more leave the range of float32
PART = 1 << 14  # splats decoded at a time: what comes between bytes and arrays stays small
MOST_EXPANSION = 64  # bytes of splats that a compressed one may become; scenes' become 1.2 to 4
FREE_BYTES = 1 << 24  # that any compressed file may hold


def check_count(count: int, name: str) -> None:
    """Refuse numbers of splats that no object needs, before anything is allocated for them."""
    if count > LARGEST_COUNT:
        raise InputError(
            f"{name} states {count:,} splats; at most {LARGEST_COUNT:,} are read: split the file"
        )


def most_plain(size: int) -> int:
    """Return how many bytes a compressed file, or array of one, of ``size`` bytes may hold."""
    return MOST_EXPANSION * size + FREE_BYTES


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a reader found in a file, in the file's frame."""

    gaussians: GaussianArrays
    left_out: int = 0  # splats that held NaN, infinity or what leads to them


def assemble(name: str, count: int, decode: Callable[[slice], dict[str, NDArray]]) -> Decoded:
    """Decode splats part by part; those that are not finite are left out with a warning.

    Memory is that of the Gaussians and of one part.

    Args:
        name: What the sentences call the file.
        count: N, of the file.
        decode: Decodes a part of M splats to ``means`` [M, 3], ``opacities`` [M] in [0, 1],
            ``scales`` [M, 3], not negative, ``quats`` [M, 4] (wxyz of any length; length zero means
            no rotation), and either ``colors`` [M, 3] of any finite value or ``sh`` [M, K, 3].

    Raises:
        InputError: No splat is finite, or an opacity or scale is out of its range.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    kept, first = 0, ""
    for start in range(0, max(count, 1), PART):
        part = decode(slice(start, min(start + PART, count)))
        if not arrays:
            arrays = {key: np.empty((count, *each.shape[1:]), np.float32)
                      for key, each in part.items()}  # fmt: skip
        if not all(within_reach(array) for array in part.values()):
            part, said = _sound(part, start)
            first = first or said
        end = kept + len(part["means"])
        check_ranges(part["opacities"], part["scales"], name, kept)
        for key, each in part.items():
            arrays[key][kept:end] = unit_quats(each) if key == "quats" else each
        kept = end
    if first:
        _say_left_out(name, count, kept, first)
        arrays = {key: array[:kept] for key, array in arrays.items()}
    return Decoded(GaussianArrays(**arrays), count - kept)


KINDS = {"means": "position", "opacities": "opacity", "scales": "scale", "quats": "rotation",
         "colors": "colour", "sh": "colour"}  # fmt: skip


def _sound(part: dict[str, NDArray], start: int) -> tuple[dict[str, NDArray], str]:
    """Keep the splats that are finite and within reach, and say why the first other one is not."""
    goods = {
        key: (np.abs(part[key]) <= LARGEST_VALUE).reshape(len(part[key]), -1)
        for key in KINDS
        if key in part
    }
    sound = np.logical_and.reduce([good.all(axis=1) for good in goods.values()])
    row = int(np.argmin(sound))
    key = next(key for key, good in goods.items() if not good[row].all())
    value = part[key][row].reshape(-1)[~goods[key][row]][0]
    said = f"splat {start + row} has a {KINDS[key]} of {value:.6g}"
    return {key: array[sound] for key, array in part.items()}, said


def _say_left_out(name: str, count: int, kept: int, first: str) -> None:
    """Warn of what was left out; refuse where nothing else is there."""
    if not kept:
        raise InputError(
            f"{name} has no splat of finite values within {LARGEST_VALUE:g} of 0: {first}; it is "
            "damaged or of another layout"
        )
    warn(
        f"{name}: left out {count - kept:,} of {count:,} splats, which are not "
        f"finite or beyond {LARGEST_VALUE:g}; {first}"
    )


def check_ranges(opacities: NDArray, scales: NDArray, name: str, start: int = 0) -> None:
    """Refuse opacities [N] outside [0, 1] and negative scales [N, 3]; the first is ``start``."""
    if not len(opacities):
        return
    if opacities.min() < 0 or opacities.max() > 1:
        row = int(np.argmin((opacities >= 0) & (opacities <= 1)))
        raise InputError(
            f"{name}: splat {start + row} has opacity {opacities[row]:.6g}; it must be in [0, 1]: "
            "they are damaged or of another layout"
        )
    if scales.min() < 0:
        row = int(np.argmax((scales < 0).any(axis=1)))
        raise InputError(
            f"{name}: splat {start + row} has scale {scales[row].min():.6g}; it must not be "
            "negative: they are damaged or of another layout"
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
