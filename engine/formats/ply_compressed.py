"""The compressed PLY of SuperSplat: four words a splat, quantised within chunks of 256 splats.

``chunk`` holds the ranges of positions, logarithms of scales and, in newer files, colours;
``vertex`` a packed position (11, 10, 11 bits), rotation (place of the largest component, then three
of 10 bits), scale (11, 10, 11) and colour with opacity (bytes); ``sh`` the higher harmonics, a byte
each, channel by channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats.ply_header import Header
from geolrm.engine.formats.untrusted import Decoded, assemble
from geolrm.engine.geometry import harmonics

CHUNK = 256  # splats
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
RANGES = [f"{end}_{key}" for key in ("x", "y", "z", "scale_x", "scale_y", "scale_z")
          for end in ("min", "max")]  # fmt: skip
COLOR_RANGES = [f"{end}_{key}" for key in "rgb" for end in ("min", "max")]
SH_SPAN = 8.0  # a byte of a harmonic spans -4 to 4
LARGEST_EXPONENT = 80.0  # exp stays finite in float32


def is_compressed(header: Header) -> bool:
    """Tell whether vertices are packed words."""
    vertices = header.find("vertex")
    return vertices is not None and "packed_position" in vertices.names()


def check(header: Header, name: str) -> None:
    """Refuse a header whose elements do not belong together."""
    vertices, chunks, higher = (header.find(key) for key in ("vertex", "chunk", "sh"))
    assert vertices is not None
    kinds = {found.name: found.kind[1:] for found in vertices.properties}
    lacking = [key for key in PACKED if kinds.get(key) not in ("u4", "i4")]
    if chunks is None or chunks.has_lists():
        lacking = ["chunk"]
    else:
        lacking += [key for key in RANGES if key not in chunks.names()]
    if lacking:
        raise InputError(f"{name} is a compressed PLY without {lacking[0]!r}; it is damaged")
    if chunks is not None and chunks.count != -(-vertices.count // CHUNK):
        raise InputError(
            f"{name} has {chunks.count} chunks; its {vertices.count} splats need "
            f"{-(-vertices.count // CHUNK)}: it is damaged"
        )
    if higher is None:
        return
    number = len(higher.properties)
    names = [f"f_rest_{index}" for index in range(number)]
    if (
        number not in (9, 24, 45)
        or sorted(higher.names()) != sorted(names)
        or any(found.counted or found.kind[1:] != "u1" for found in higher.properties)
        or higher.count != vertices.count
    ):
        raise InputError(
            f"{name} has {higher.count} rows of {number} harmonics; it must be 9, 24 or 45 bytes "
            f"f_rest for each of its {vertices.count} splats"
        )


def decode(header: Header, content: bytes, name: str) -> Decoded:
    """Read the splats of a checked header, in the file's frame."""
    vertices, chunks, higher = (header.find(key) for key in ("vertex", "chunk", "sh"))
    assert vertices is not None and chunks is not None
    rows = header.rows(vertices, content, name)
    ranges = header.rows(chunks, content, name)
    table = None if higher is None else header.rows(higher, content, name)
    names = [] if higher is None else [f"f_rest_{k}" for k in range(len(higher.properties))]
    value_of = _harmonics()

    def part(chosen: slice) -> dict[str, NDArray]:
        position, rotation, scale, color = (rows[key][chosen].astype("<u4") for key in PACKED)
        chunk = np.arange(chosen.start, chosen.stop) // CHUNK
        rgba = np.stack([color >> shift & 255 for shift in (24, 16, 8, 0)], axis=1)
        rgba = rgba.astype(np.float32) / np.float32(255)
        colors = rgba[:, :3]
        if set(COLOR_RANGES) <= set(chunks.names()):
            colors = _within(colors, ranges, COLOR_RANGES, chunk)
        logarithms = _within(_three(scale), ranges, RANGES[6:], chunk)
        with np.errstate(invalid="ignore"):
            scales = np.exp(logarithms.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT))
        found = {
            "means": _within(_three(position), ranges, RANGES[:6], chunk),
            "opacities": rgba[:, 3],
            "scales": scales,
            "quats": _quats(rotation),
        }
        if table is None:
            return found | {"colors": colors}
        steps = np.stack([table[key][chosen] for key in names], axis=1)
        rest = value_of[steps].reshape(len(colors), 3, len(names) // 3).transpose(0, 2, 1)
        return found | {
            "sh": np.concatenate([harmonics.dc_of_colors(colors)[:, None], rest], axis=1)
        }

    return assemble(name, len(rows), part)


def _three(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Unpack 11, 10 and 11 bits into [N, 3] of [0, 1]."""
    parts = [words >> 21, words >> 11 & 1023, words & 2047]
    steps = np.array([2047, 1023, 2047], np.float32)
    return np.stack(parts, axis=1).astype(np.float32) / steps


def _within(
    fractions: NDArray[np.float32], ranges: NDArray, names: list[str], chunk: NDArray
) -> NDArray[np.float32]:
    """Spread [N, 3] of [0, 1] over the range of each splat's chunk."""
    with np.errstate(over="ignore", invalid="ignore"):  # such splats are left out
        low, high = (
            np.stack([ranges[key].astype(np.float32) for key in names[end::2]], axis=1)[chunk]
            for end in (0, 1)
        )
        return (low * (1 - fractions) + high * fractions).astype(np.float32)


def _quats(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Unpack rotations [N] into wxyz [N, 4]; two bits name the component that is not stored."""
    tens = np.stack([words >> 20 & 1023, words >> 10 & 1023, words & 1023], axis=1)
    three = (tens.astype(np.float32) / np.float32(1023) - np.float32(0.5)) * np.float32(np.sqrt(2))
    largest = np.sqrt((1 - (three**2).sum(axis=1)).clip(0))
    quats = np.empty((len(words), 4), np.float32)
    for place in range(4):
        here = words >> 30 == place
        quats[here, place] = largest[here]
        quats[np.ix_(here, [k for k in range(4) if k != place])] = three[here]
    return quats


def _harmonics() -> NDArray[np.float32]:
    """List the value of each byte: the middle of its step, but the ends are exact."""
    fractions = (np.arange(256) + 0.5) / 256
    fractions[0], fractions[255] = 0, 1
    return ((fractions - 0.5) * SH_SPAN).astype(np.float32)
