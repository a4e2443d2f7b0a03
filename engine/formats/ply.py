"""PLY: the layout of the original 3DGS code, and the one of GeoLRM's own script.

Both are binary little-endian and hold a row of floats for every splat, under the same names.

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
from geolrm.engine.formats.orientation import Up
from geolrm.engine.formats.untrusted import (
    HEAD_BYTES,
    assemble,
    check_count,
    check_finite,
    within_reach,
)
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics

SMALLEST_SCALE = 1e-10  # a zero scale has no logarithm
LEAST_OPACITY = 1e-7  # nor have 0 and 1 a finite logit
MOST_PROPERTIES = 100  # 62 are the most that the standard layout has
LARGEST_EXPONENT = 80.0  # exp stays finite in float32

POSITION = ("x", "y", "z")
NORMAL = ("nx", "ny", "nz")
DC = ("f_dc_0", "f_dc_1", "f_dc_2")
SHAPE = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
END = b"end_header\n"
UP_COMMENT = b"\ncomment geolrm up y\n"


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
    header += [UP_COMMENT.decode().strip()] if up == "y" else []
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
    names, count, start = _read_header(head, name)
    check_count(count, name)
    expected = start + count * len(names) * 4
    if size != expected:
        raise InputError(
            f"{name} has {size} bytes; {count} splats of {len(names)} properties need {expected}: "
            "the file is truncated or damaged"
        )


def stated_up(head: bytes) -> Up | None:
    """Find the axis that a comment of ours names; z goes without saying."""
    return "y" if UP_COMMENT in head[: max(head.find(END), 0)] else None


def decode(content: bytes, name: str, *, raw: bool | None) -> GaussianArrays:
    """Read a whole file, in the file's frame.

    Args:
        content: The bytes.
        name: What errors call the file.
        raw: Whether the values are activated; None decides by :func:`looks_raw`.
    """
    check(content[:HEAD_BYTES], len(content), name)
    names, count, start = _read_header(content[:HEAD_BYTES], name)
    table = np.frombuffer(content, "<f4", offset=start).reshape(count, len(names))
    column = {key: table[:, index] for index, key in enumerate(names)}
    wanted = (*POSITION, *DC, *SHAPE)
    for key in wanted:
        if key not in column:
            raise InputError(f"{name} has no property {key!r}; it is no Gaussian splatting PLY")
    rest = _higher_names(names, name)
    if not within_reach(table):  # the whole table first: columns are slow to walk
        for key in (*wanted, *rest):
            check_finite(key, column[key], name)
    if raw is None:
        raw = looks_raw(column)
    elif raw and rest:
        raise InputError(f"{name} has f_rest properties, and so it is no raw PLY; read it as it is")
    values = {
        "means": _columns(column, POSITION),
        "quats": _columns(column, SHAPE[4:]),
    }
    dc, scales = _columns(column, DC), _columns(column, SHAPE[1:4])
    if raw:
        return assemble(name, **values, opacities=column["opacity"], scales=scales, colors=dc)
    sh = None
    if rest:
        higher = _columns(column, rest).reshape(count, 3, len(rest) // 3)
        sh = np.concatenate([dc[:, None], higher.transpose(0, 2, 1)], axis=1)
    bound = LARGEST_EXPONENT
    logits = column["opacity"].astype(np.float64).clip(-bound, bound)
    return assemble(
        name,
        **values,
        opacities=(1 / (1 + np.exp(-logits))).astype(np.float32),
        scales=np.exp(scales.clip(-bound, bound)),
        colors=None if rest else harmonics.colors_of_dc(dc),
        sh=sh,
    )


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


def _columns(column: dict[str, NDArray], names: tuple[str, ...] | list[str]) -> NDArray[np.float32]:
    return np.stack([column[name] for name in names], axis=-1)


def _read_header(head: bytes, name: str) -> tuple[list[str], int, int]:
    """Read the property names, the number of splats, and where the rows start."""
    end = head.find(END)
    lines = head[: max(end, 0)].decode("ascii", "replace").split("\n")
    if end < 0 or lines[0] != "ply" or "format binary_little_endian 1.0" not in lines:
        raise InputError(f"{name} is no binary little-endian PLY file")
    names: list[str] = []
    count = None
    for line in lines[1:]:
        words = line.split()
        shown = line[:80]
        if words[:1] == ["element"]:
            if len(words) != 3 or words[1] != "vertex" or count is not None:
                raise InputError(f"{name} has elements other than vertices: {shown!r}")
            if not words[2].isdecimal() or len(words[2]) > 12:
                raise InputError(f"{name} states {words[2][:80]!r} vertices; it is damaged")
            count = int(words[2])
        elif words[:1] == ["property"]:
            if len(words) != 3 or words[1] not in ("float", "float32"):
                raise InputError(f"{name} has {shown!r}; all properties must be float")
            names.append(words[2])
    if len(names) > MOST_PROPERTIES:
        raise InputError(
            f"{name} has {len(names)} properties; at most {MOST_PROPERTIES} are read: leave out "
            "those that are no part of a splat"
        )
    if count is None or len(set(names)) != len(names):
        raise InputError(f"{name} states no vertices, or a property twice")
    return names, count, end + len(END)
