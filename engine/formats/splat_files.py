"""Splat files by the suffix of their names: read, written, and as bytes in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.errors import InputError
from geolrm.engine.formats import glb_splats, ply, splat, spz
from geolrm.engine.formats.orientation import (
    Up,
    check_up,
    from_object_frame,
    to_object_frame,
)
from geolrm.engine.formats.untrusted import (
    HEAD_BYTES,
    Decoded,
    check_finite,
    check_ranges,
    unit_quats,
)
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics
from geolrm.engine.system.atomic import atomic_file, error_text, existing_path
from geolrm.engine.system.user_warnings import warn

QUAT_TOLERANCE = 1e-3  # of the squared length


@dataclass(frozen=True, slots=True)
class Format:
    """What is done with the files of a suffix."""

    encode: Callable[..., bytes]
    decode: Callable[..., Decoded]
    check: Callable[[bytes, int, str], None]
    up: Up  # of its files, unless they or the caller say otherwise
    fixed_up: bool = False  # by the format's definition
    harmonics: bool = True  # whether it holds colours that depend on the view


FORMATS = {
    ".ply": Format(ply.encode, ply.decode, ply.check, up="z"),
    ".spz": Format(spz.encode, spz.decode, spz.check, up="y"),
    ".splat": Format(splat.encode, splat.decode, splat.check, up="z", harmonics=False),
    ".glb": Format(glb_splats.encode, glb_splats.decode, glb_splats.check, up="y", fixed_up=True),
}
SUFFIXES = ", ".join(FORMATS)


def suffix_of(path: str | Path) -> str:
    """Return the suffix of a splat file, or raise one sentence with those that are known."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{str(path)!r} names no splat format; the file name must end in {SUFFIXES}"
        )
    return suffix


def resolve(suffix: str, up: str | None, name: str = "up") -> tuple[Format, Up]:
    """Return the format of a suffix, and the axis that is up in its file.

    Args:
        suffix: ".ply", ".spz", ".splat" or ".glb".
        up: "y" or "z"; None takes the format's own.
        name: What an error calls ``up``.

    Raises:
        InputError: There is no such format or axis, or the format fixes another axis.
    """
    if suffix not in FORMATS:
        raise InputError(f"{suffix!r} is no splat format; it must be one of {SUFFIXES}")
    kind = FORMATS[suffix]
    if up is None:
        return kind, kind.up
    if kind.fixed_up and check_up(up, name) != kind.up:
        raise InputError(f"{name} is {up!r}, but a {suffix} file is {kind.up} up: leave it out")
    return kind, check_up(up, name)


def encode(
    gaussians: GaussianArrays, suffix: str, *, up: str | None = None, raw: bool = False
) -> bytes:
    """Write the bytes of a file.

    Args:
        gaussians: In the object frame (z up); every value must be finite.
        suffix: ".ply", ".spz", ".splat" or ".glb".
        up: "y" or "z": the axis that is up in the file; None takes the format's own.
        raw: The layout of GeoLRM's own script, of .ply only.

    Raises:
        InputError: The format cannot hold that.
    """
    kind, up = resolve(suffix, up)
    if raw and suffix != ".ply":
        raise InputError(f"the raw layout is one of PLY; a {suffix} file has none: name a .ply")
    for name in ("means", "opacities", "scales", "quats", "colors", "sh"):
        values = getattr(gaussians, name)
        if values is not None:
            check_finite(f"value of {name}", values, "the Gaussians")
    check_ranges(gaussians.opacities, gaussians.scales, "the Gaussians")
    gaussians = _with_unit_quats(gaussians)
    if gaussians.sh is not None and (raw or not kind.harmonics):
        gaussians = _without_harmonics(gaussians, "a raw PLY" if raw else f"a {suffix} file")
    options: dict[str, Any] = {"raw": raw, "up": up} if suffix == ".ply" else {}
    return kind.encode(from_object_frame(gaussians, up), **options)


def decode(
    content: bytes,
    suffix: str,
    *,
    up: str | None = None,
    raw: bool | None = None,
    name: str = "the data",
) -> GaussianArrays:
    """Read the Gaussians of a file's bytes, in the object frame (z up).

    Splats with NaN or infinity are left out with a warning.

    Args:
        content: The bytes; they are not trusted.
        suffix: ".ply", ".spz", ".splat" or ".glb".
        up: "y" or "z": the axis that is up in the file; None takes what a PLY of this project
            says, or else the format's own.
        raw: Whether a .ply holds activated values; None finds out (:func:`ply.looks_raw`).
        name: What errors call the data.

    Raises:
        InputError: The bytes are no such file.
    """
    return _decode(content, suffix, up, raw, name).gaussians


def _decode(content: bytes, suffix: str, up: str | None, raw: bool | None, name: str) -> Decoded:
    if up is None and suffix == ".ply":
        up = ply.stated_up(content[:HEAD_BYTES])
    kind, up = resolve(suffix, up)
    if raw is not None and suffix != ".ply":
        raise InputError(f"{name} is no PLY, which alone has a raw layout: leave that choice out")
    options: dict[str, Any] = {"raw": raw} if suffix == ".ply" else {}
    found = kind.decode(content, name, **options)
    return replace(found, gaussians=to_object_frame(found.gaussians, up))


def save(
    gaussians: GaussianArrays, path: str | Path, *, up: str | None = None, raw: bool = False
) -> None:
    """Write a file whole or not at all; arguments as :func:`encode`."""
    content = encode(gaussians, suffix_of(path), up=up, raw=raw)
    with atomic_file(path) as file:
        file.write(content)


def load(path: str | Path, *, up: str | None = None, raw: bool | None = None) -> GaussianArrays:
    """Read a file; arguments as :func:`decode`."""
    return load_counted(path, up=up, raw=raw).gaussians


def load_counted(path: str | Path, *, up: str | None = None, raw: bool | None = None) -> Decoded:
    """Read a file, with the number of splats that were left out; arguments as :func:`decode`.

    Its first bytes must agree with its size before the rest is read.
    """
    suffix, path = suffix_of(path), existing_path(path)
    name = repr(str(path))
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name} is not a regular file; name a splat file")
        size = path.stat().st_size
        with path.open("rb") as file:
            FORMATS[suffix].check(file.read(HEAD_BYTES), size, name)
            file.seek(0)
            content = file.read(size)
    except OSError as error:
        raise InputError(f"cannot read {name}: {error_text(error)}") from error
    return _decode(content, suffix, up, raw, name)


def _with_unit_quats(gaussians: GaussianArrays) -> GaussianArrays:
    """Make rotations of unit length where one is not: formats rely on it."""
    squares = np.einsum("nk,nk->n", gaussians.quats, gaussians.quats)
    if not len(squares) or max(squares.max() - 1, 1 - squares.min()) < QUAT_TOLERANCE:
        return gaussians
    return replace(gaussians, quats=unit_quats(gaussians.quats))


def _without_harmonics(gaussians: GaussianArrays, holder: str) -> GaussianArrays:
    """Replace harmonics by the colours that they have on average over all views."""
    assert gaussians.sh is not None
    if gaussians.sh.shape[1] > 1:
        warn(
            f"{holder} holds no colours that depend on the view; their mean over all views is "
            "written"
        )
    return replace(gaussians, colors=harmonics.colors_of_dc(gaussians.sh[:, 0]), sh=None)
