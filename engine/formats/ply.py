"""PLY: the layout of the original 3DGS code, and the one of GeoLRM's own script.

Both are written binary little-endian and hold a row of floats for every splat, under the same
names. Other byte orders, types, properties and elements are read; for the compressed layout, see
:mod:`ply_compressed`.

* **standard**: ``x y z nx ny nz f_dc_* f_rest_* opacity scale_* rot_*``. ``opacity`` is a logit,
  ``scale_*`` are natural logarithms, ``rot_*`` is wxyz, ``f_dc_*`` and ``f_rest_*`` are spherical
  harmonics, the latter channel by channel.
* **raw**: ``x y z f_dc_* opacity scale_* rot_*`` with activated values: colours in [0, 1] under the
  names ``f_dc_*``, opacities in [0, 1], scales that are standard deviations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import ply_compressed, ply_kinds
from geolrm.engine.formats.orientation import Up
from geolrm.engine.formats.ply_header import Header, read_header
from geolrm.engine.formats.ply_kinds import DC, POSITION, RGB, SHAPE
from geolrm.engine.formats.untrusted import HEAD_BYTES, Decoded, assemble, check_count
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics

SMALLEST_SCALE = 1e-10  # a zero scale has no logarithm
LEAST_OPACITY = 1e-7  # nor have 0 and 1 a finite logit
LARGEST_EXPONENT = 80.0  # exp stays finite in float32

NORMAL = ("nx", "ny", "nz")
UP_COMMENT = "comment geolrm up y"


def encode(gaussians: GaussianArrays, *, raw: bool, up: Up) -> bytes:
    """Write a whole file; a comment says when y is up, and :func:`stated_up` finds it again."""
    count = len(gaussians)
    rest = np.empty((count, 0), np.float32)
    dc = gaussians.colors
    if not raw:
        if gaussians.sh is None:
            dc = harmonics.dc_of_colors(gaussians.colors)  # pyright: ignore[reportArgumentType]
        else:
            dc = gaussians.sh[:, 0]
            rest = gaussians.sh[:, 1:].transpose(0, 2, 1)
            rest = rest.reshape(count, 3 * rest.shape[2])
    higher = tuple(f"f_rest_{index}" for index in range(rest.shape[1]))
    names = (*POSITION, *(() if raw else NORMAL), *DC, *higher, *SHAPE)
    table = np.empty((count, len(names)), dtype="<f4")
    table[:, :3] = gaussians.means
    table[:, 3 : names.index("f_dc_0")] = 0
    table[:, names.index("f_dc_0") : -8] = (
        np.hstack([dc, rest]) if len(higher) else dc  # pyright: ignore
    )
    table[:, -8] = gaussians.opacities if raw else _logits(gaussians.opacities)
    table[:, -7:-4] = gaussians.scales if raw else _logarithms(gaussians.scales)
    table[:, -4:] = gaussians.quats
    header = ["ply", "format binary_little_endian 1.0"]
    header += [UP_COMMENT] if up == "y" else []
    header += [f"element vertex {count}"]
    header += [f"property float {name}" for name in names] + ["end_header", ""]
    rows = table.tobytes()
    return "\n".join(header).encode() + rows


def _logits(opacities: NDArray) -> NDArray[np.float64]:
    inner = np.clip(opacities.astype(np.float64), LEAST_OPACITY, 1 - LEAST_OPACITY)
    return np.log(inner / (1 - inner))


def _logarithms(scales: NDArray) -> NDArray[np.float32]:
    return np.log(np.maximum(scales, np.float32(SMALLEST_SCALE)))


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes, from its first ``HEAD_BYTES``."""
    _check(read_header(head, name), size, name)


def _check(header: Header, size: int, name: str) -> None:
    vertices = header.find("vertex")
    assert vertices is not None
    check_count(vertices.count, name)
    header.check_size(size, name)
    if ply_compressed.is_compressed(header):
        return ply_compressed.check(header, name)
    return ply_kinds.check(header, name)


def stated_up(head: bytes) -> Up | None:
    """Find the axis that a comment of ours names; z goes without saying."""
    try:
        return "y" if UP_COMMENT in read_header(head, "it").comments else None
    except InputError:  # which reading says again, with the name
        return None


def decode(content: bytes, name: str, *, raw: bool | None) -> Decoded:
    """Read a whole file, in the file's frame.

    Args:
        content: The bytes.
        name: What errors call the file.
        raw: Whether the values are activated; None decides by :func:`looks_raw`.
    """
    header = read_header(content[:HEAD_BYTES], name)
    _check(header, len(content), name)
    if ply_compressed.is_compressed(header):
        if raw:
            raise InputError(f"{name} is a compressed PLY, which has no raw layout: leave that out")
        return ply_compressed.decode(header, content, name)
    vertices = header.find("vertex")
    assert vertices is not None
    rows = header.rows(vertices, content, name)
    column = {key: rows[key] for key in vertices.names()}
    if all(found.kind == "<f4" for found in vertices.properties):  # views of one table are fast
        table = rows.view("<f4").reshape(len(rows), len(vertices.properties))
        column = {key: table[:, index] for index, key in enumerate(vertices.names())}
    dc_names = DC if DC[0] in column else RGB  # nerfstudio can write colours in place of f_dc
    rest = _higher_names(list(column), name)
    if raw is None:
        raw = dc_names == DC and looks_raw(column)
    elif raw and rest:
        raise InputError(f"{name} has f_rest properties, and so it is no raw PLY; read it as it is")
    bound = LARGEST_EXPONENT

    def part(chosen: slice) -> dict[str, NDArray]:
        def columns(*names: str) -> NDArray[np.float32]:
            with np.errstate(over="ignore"):  # becomes infinity, and such splats are left out
                return np.stack([column[key][chosen].astype(np.float32) for key in names], axis=-1)

        dc, scales = columns(*dc_names), columns(*SHAPE[1:4])
        if dc_names == RGB:
            dc = dc / np.float32(255)
        found = {"means": columns(*POSITION), "quats": columns(*SHAPE[4:])}
        opacities = columns(SHAPE[0])[:, 0]
        if raw:
            return found | {"opacities": opacities, "scales": scales, "colors": dc}
        # Infinite logits are opacities of 0 and 1, and the logarithm of a scale of 0 is -infinity.
        logits = opacities.astype(np.float64).clip(-bound, bound)
        found["opacities"] = (1 / (1 + np.exp(-logits))).astype(np.float32)
        found["scales"] = np.exp(scales.clip(-bound, bound))
        if not rest:
            return found | {"colors": dc if dc_names == RGB else harmonics.colors_of_dc(dc)}
        higher = columns(*rest).reshape(len(dc), 3, len(rest) // 3)
        first = dc if dc_names == DC else harmonics.dc_of_colors(dc)
        return found | {"sh": np.concatenate([first[:, None], higher.transpose(0, 2, 1)], axis=1)}

    return assemble(name, len(rows), part)


def looks_raw(column: dict[str, NDArray]) -> bool:
    """Tell whether values under the names of a PLY are activated ones.

    They are when there are splats, no normals, no higher harmonics, and every opacity and colour
    lies in [0, 1] and every scale in (0, 1]. As logits and logarithms such values would mean that
    every splat is at least half opaque and at least a unit wide: larger than any object here.
    """
    if "nx" in column or "f_rest_0" in column or not len(column["x"]):
        return False
    bounded = all(((column[key] >= 0) & (column[key] <= 1)).all() for key in (*DC, "opacity"))
    return bounded and all(((column[k] > 0) & (column[k] <= 1)).all() for k in SHAPE[1:4])


def _higher_names(names: list[str], name: str) -> list[str]:
    """List the f_rest properties in their order."""
    number = sum(key.startswith("f_rest_") for key in names)
    if number not in (0, 9, 24, 45):
        raise InputError(f"{name} has {number} f_rest properties; it must be 9, 24 or 45")
    rest = [f"f_rest_{index}" for index in range(number)]
    missing = [key for key in rest if key not in names]
    if missing:
        raise InputError(f"{name} has no property {missing[0]!r}; it is no Gaussian splatting PLY")
    return rest
