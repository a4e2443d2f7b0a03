"""Splat files by the suffix of their names: read, written, and as bytes in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.errors import InputError
from geolrm.engine.formats import glb_splats, npz, ply, sog, splat, spz, usd
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
    decode: Callable[..., Decoded] | None  # None: files are written and not read
    check: Callable[[bytes, int, str], None] | None
    up: Up  # of its files, unless they or the caller say otherwise
    fixed_up: bool = False  # by the format's definition
    harmonics: bool = True  # whether it holds colours that depend on the view
    states_up: bool = False  # whether its files say which axis is up


FORMATS = {
    ".ply": Format(ply.encode, ply.decode, ply.check, up="z"),
    ".spz": Format(spz.encode, spz.decode, spz.check, up="y"),
    ".splat": Format(splat.encode, splat.decode, splat.check, up="z", harmonics=False),
    ".glb": Format(glb_splats.encode, glb_splats.decode, glb_splats.check, up="y", fixed_up=True),
    ".sog": Format(sog.encode, sog.decode, sog.check, up="y"),
    ".npz": Format(npz.encode, npz.decode, npz.check, up="z"),
    ".usda": Format(usd.encode_text, None, None, up="y", states_up=True),
    ".usdc": Format(usd.encode_crate, None, None, up="y", states_up=True),
    ".usdz": Format(usd.encode_package, None, None, up="y", states_up=True),
}
SUFFIXES = ", ".join(FORMATS)
READ_SUFFIXES = ", ".join(suffix for suffix, kind in FORMATS.items() if kind.decode)
HIGHEST_DEGREE = 3


def suffix_of(path: str | Path, known: str = SUFFIXES) -> str:
    """Return the suffix of a splat file, or raise one sentence with those that are known."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{str(path)!r} names no splat format; the file name must end in {known}")
    return suffix


def check_read(suffix: str, name: str) -> None:
    """Refuse a suffix whose files are written and not read."""
    if FORMATS[suffix].decode is None:
        raise InputError(
            f"{name} is a {suffix} file, and those are written but not read: name one of "
            f"{READ_SUFFIXES}"
        )


def check_written(path: str | Path) -> None:
    """Refuse a name that promises SuperSplat's compressed PLY, which is read alone."""
    if str(path).lower().endswith(".compressed.ply"):
        raise InputError(
            f"{str(path)!r} names a compressed PLY, and those are read but not written: name a "
            ".ply, or a .sog or .spz, which are smaller"
        )


def check_sh_degree(suffix: str, degree: int | None, name: str = "sh_degree") -> None:
    """Refuse a degree of harmonics that there is not, or that files of a suffix do not hold.

    Args:
        suffix: Of the file.
        degree: 0 to 3; None leaves the harmonics as they are.
        name: What an error calls ``degree``.
    """
    if degree is None:
        return
    if not 0 <= degree <= HIGHEST_DEGREE:
        raise InputError(f"{name} is {degree}; it must be 0, 1, 2 or 3")
    if not FORMATS[suffix].harmonics:
        raise InputError(f"{name} was given, but a {suffix} file holds no harmonics: leave it out")


def check_spz_version(suffix: str, version: int | None, name: str = "spz_version") -> None:
    """Refuse a version of SPZ that is not written, or one for files of another suffix."""
    if version is None:
        return
    if version not in spz.WRITTEN:
        raise InputError(f"{name} is {version}; it must be 3 or 4")
    if suffix != ".spz":
        raise InputError(f"{name} was given, but {suffix} files are no SPZ: leave it out")


def resolve(suffix: str, up: str | None, name: str = "up") -> tuple[Format, Up]:
    """Return the format of a suffix, and the axis that is up in its file.

    Args:
        suffix: One of ``FORMATS``.
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
    gaussians: GaussianArrays,
    suffix: str,
    *,
    up: str | None = None,
    raw: bool = False,
    sh_degree: int | None = None,
    spz_version: int | None = None,
) -> bytes:
    """Write the bytes of a file.

    Args:
        gaussians: In the object frame (z up); every value must be finite.
        suffix: One of ``FORMATS``.
        up: "y" or "z": the axis that is up in the file; None takes the format's own.
        raw: The layout of GeoLRM's own script, of .ply only.
        sh_degree: 0 to 3: the degree of the harmonics in the file; higher ones are left out, and
            lower ones padded with zeros. None writes what there is.
        spz_version: 3 or 4, of .spz only; None: 3.

    Raises:
        InputError: The format cannot hold that.
    """
    kind, up = resolve(suffix, up)
    if raw and suffix != ".ply":
        raise InputError(f"the raw layout is one of PLY; a {suffix} file has none: name a .ply")
    check_sh_degree(suffix, sh_degree)
    check_spz_version(suffix, spz_version)
    if raw and sh_degree is not None:
        raise InputError("sh_degree was given, but a raw PLY holds no harmonics: leave it out")
    for name in ("means", "opacities", "scales", "quats", "colors", "sh"):
        values = getattr(gaussians, name)
        if values is not None:
            check_finite(f"value of {name}", values, "the Gaussians")
    check_ranges(gaussians.opacities, gaussians.scales, "the Gaussians")
    gaussians = _with_unit_quats(gaussians)
    if gaussians.sh is not None and (raw or not kind.harmonics):
        gaussians = _without_harmonics(gaussians, "a raw PLY" if raw else f"a {suffix} file")
    if sh_degree is not None:
        gaussians = _of_degree(gaussians, sh_degree)
    options: dict[str, Any] = {"raw": raw, "up": up} if suffix == ".ply" else {}
    if kind.states_up:
        options["up"] = up
    if spz_version is not None:
        options["version"] = spz_version
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
        suffix: One of ``FORMATS``; those of USD are not read.
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
    check_read(suffix, name)
    assert kind.decode is not None
    _check_layout(suffix, raw, name)
    options: dict[str, Any] = {"raw": raw} if suffix == ".ply" else {}
    found = kind.decode(content, name, **options)
    return replace(found, gaussians=to_object_frame(found.gaussians, up))


def _check_layout(suffix: str, raw: bool | None, name: str) -> None:
    if raw is not None and suffix != ".ply":
        raise InputError(f"{name} is no PLY, which alone has a raw layout: leave that choice out")


def save(gaussians: GaussianArrays, path: str | Path, **options: Any) -> None:
    """Write a file whole or not at all; options as :func:`encode`."""
    check_written(path)
    content = encode(gaussians, suffix_of(path), **options)
    with atomic_file(path) as file:
        file.write(content)


def load(path: str | Path, *, up: str | None = None, raw: bool | None = None) -> GaussianArrays:
    """Read a file; arguments as :func:`decode`."""
    return load_counted(path, up=up, raw=raw).gaussians


def load_counted(path: str | Path, *, up: str | None = None, raw: bool | None = None) -> Decoded:
    """Read a file, with the number of splats that were left out; arguments as :func:`decode`.

    Its first bytes must agree with its size before the rest is read.
    """
    suffix, path = suffix_of(path, READ_SUFFIXES), existing_path(path)
    name = repr(str(path))
    check_read(suffix, name)
    _check_layout(suffix, raw, name)
    check = FORMATS[suffix].check
    assert check is not None
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name} is not a regular file; name a splat file")
        size = path.stat().st_size
        with path.open("rb") as file:
            check(file.read(HEAD_BYTES), size, name)
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


def _of_degree(gaussians: GaussianArrays, degree: int) -> GaussianArrays:
    """Hold harmonics of just this degree; plain colours are of degree 0."""
    if gaussians.sh is not None:
        return replace(gaussians, sh=harmonics.of_degree(gaussians.sh, degree))
    if degree == 0:
        return gaussians
    dc = harmonics.dc_of_colors(gaussians.colors)  # pyright: ignore[reportArgumentType]
    return replace(gaussians, colors=None, sh=harmonics.of_degree(dc[:, None], degree))


def _without_harmonics(gaussians: GaussianArrays, holder: str) -> GaussianArrays:
    """Replace harmonics by the colours that they have on average over all views."""
    assert gaussians.sh is not None
    if gaussians.sh.shape[1] > 1:
        warn(
            f"{holder} holds no colours that depend on the view; their mean over all views is "
            "written"
        )
    return replace(gaussians, colors=harmonics.colors_of_dc(gaussians.sh[:, 0]), sh=None)
