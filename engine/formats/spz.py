"""SPZ: about 16 bytes a splat, quantised attribute by attribute, in one gzip stream.

Versions 3 and 4 (:mod:`spz_zstd`) are written; 2 to 4 are read. Axes are right, up, back (RUB), as
in OpenGL: y is up. The payload: a header of 16 bytes, then positions (24-bit fixed point), alphas,
colours, log scales, rotations (the smallest three components of a quaternion), spherical harmonics.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import spz_zstd
from geolrm.engine.formats.spz_header import (
    COEFFICIENTS,
    EXTENDED,
    MAGIC,
    Fields,
    check_fields,
    check_size,
)
from geolrm.engine.formats.untrusted import HEAD_BYTES, Decoded, assemble, check_count
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics
from geolrm.engine.system.user_warnings import warn

HEADER = struct.Struct("<4sIIBBBB")  # magic, version, splats, degree, fraction bits, flags, 0
VERSION = 3
WRITTEN = (VERSION, spz_zstd.VERSION)
FRACTION_BITS = 12  # of positions: steps of 1/4096
LEVEL = 1  # of gzip: quantised splats do not shrink further at 6, which takes twice as long
GZIP = 16 + zlib.MAX_WBITS
LEAST_DEFLATION = 1.01  # of what does not shrink; more is no stream of these splats
MOST_EXTENSION = 1 << 26  # bytes in which other programs may keep what is not read here
SLACK = 1 << 16  # names and comments in a gzip header

DC_GAIN = 0.15  # a byte spans f_dc of -1/0.3 to 1/0.3
LOG_SCALE_BIAS, LOG_SCALE_STEPS = 10.0, 16.0
LARGEST_SCALE = float(np.exp(255 / LOG_SCALE_STEPS - LOG_SCALE_BIAS))
QUAT_STEPS = 511.0 / np.sqrt(0.5)  # of the three smaller components, which are at most sqrt(1/2)
SH_STEP_FIRST, SH_STEP_HIGHER = 8, 16  # of a byte: 5 bits for degree 1, 4 for the others


def encode(gaussians: GaussianArrays, *, version: int = VERSION) -> bytes:
    """Write a whole file of splats that are y up, in one of the versions of ``WRITTEN``."""
    count = len(gaussians)
    if gaussians.sh is None:
        dc = harmonics.dc_of_colors(gaussians.colors)  # pyright: ignore[reportArgumentType]
        degree, higher = 0, np.empty((count, 0, 3), np.float32)
    else:
        dc, higher = gaussians.sh[:, 0], gaussians.sh[:, 1:]
        degree = {k: d for d, k in COEFFICIENTS.items()}[higher.shape[1]]
    bits = _fraction_bits(gaussians.means)
    _warn_of_wide(gaussians.scales)
    attributes = [
        _fixed_point(gaussians.means, bits),
        _byte(gaussians.opacities * np.float32(255)),
        _byte((dc * np.float32(DC_GAIN) + np.float32(0.5)) * np.float32(255)),
        _byte((np.log(np.maximum(gaussians.scales, 1e-10)) + LOG_SCALE_BIAS) * LOG_SCALE_STEPS),
        _smallest_three(gaussians.quats),
        _quantised_harmonics(higher),
    ]
    streams = [attribute.tobytes() for attribute in attributes]
    if version == spz_zstd.VERSION:
        return spz_zstd.encode(Fields(version, count, degree, bits, 0), streams)
    payload = b"".join([HEADER.pack(MAGIC, VERSION, count, degree, bits, 0, 0), *streams])
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    return packer.compress(payload) + packer.flush()


def _byte(values: NDArray) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _fraction_bits(means: NDArray) -> int:
    """Choose the usual 12, or as many as leave room for the furthest splat."""
    reach = float(np.abs(means).max(initial=0))
    bits = FRACTION_BITS
    while bits > 0 and reach * 2**bits > 2**23 - 1:
        bits -= 1
    if 0 < bits < FRACTION_BITS:
        warn(
            f"a splat is {reach:.3g} from the origin, and so SPZ keeps all positions in steps of "
            f"{2.0**-bits:g}; leave it out, or write a .ply"
        )
    if reach > 2**23 - 1:
        raise InputError(f"a splat is {reach:.3g} from the origin; SPZ reaches to {2**23 - 1}")
    return bits


def _warn_of_wide(scales: NDArray) -> None:
    widest = float(scales.max(initial=0))
    if widest > LARGEST_SCALE:
        warn(
            f"a splat has a scale of {widest:.3g}; SPZ holds at most {LARGEST_SCALE:.4g}, which is "
            "written: leave it out, or write a .ply"
        )


def _fixed_point(means: NDArray, bits: int) -> NDArray[np.uint8]:
    """Round to the lower bytes of little-endian integers, [N, 3, 3]."""
    whole = np.rint(means * np.float32(2**bits)).astype("<i4")
    return np.ascontiguousarray(whole.view(np.uint8).reshape(len(means), 3, 4)[:, :, :3])


def _smallest_three(quats: NDArray) -> NDArray[np.uint32]:
    """Pack xyzw: two bits for the place of its largest component, ten for each other; [N]."""
    components = quats[:, [1, 2, 3, 0]].T
    magnitudes = np.abs(components)
    largest = magnitudes.argmax(axis=0)
    rows = np.arange(len(quats))
    flipped = components[largest, rows] < 0
    steps = np.minimum(np.rint(magnitudes * np.float32(QUAT_STEPS)), 511).astype("<u4")
    tens = steps | (((components < 0) ^ flipped).astype("<u4") << 9)
    packed = largest.astype("<u4")
    for place in range(4):
        packed = np.where(largest == place, packed, (packed << 10) | tens[place])
    return packed.astype("<u4")


def _quantised_harmonics(higher: NDArray) -> NDArray[np.uint8]:
    """Round [N, K, 3], coefficient by coefficient, to the step of its degree."""
    steps = np.full((higher.shape[1], 1), SH_STEP_HIGHER, np.float32)
    steps[:3] = SH_STEP_FIRST
    rounded = np.rint(higher * np.float32(128) / steps) * steps + np.float32(128)
    return rounded.clip(0, 255).astype(np.uint8)


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes, from its first ``HEAD_BYTES``."""
    if head[:4] == MAGIC:
        return spz_zstd.check(head, size, name)
    fields = _read_header(_unpacker(head, name), head, name)
    check_count(fields.count, name)
    needed = HEADER.size + fields.count * sum(fields.widths())
    most = int(LEAST_DEFLATION * needed) + SLACK
    most += MOST_EXTENSION if fields.flags & EXTENDED else 0
    check_size(fields, size, name, most_packed=most)


def decode(content: bytes, name: str) -> Decoded:
    """Read a whole file, in the file's frame; memory follows the header's count, once checked."""
    if content[:4] == MAGIC:
        return _splats(name, *spz_zstd.decode(content, name))
    check(content[:HEAD_BYTES], len(content), name)
    unpacker = _unpacker(content, name)
    fields = _read_header(unpacker, content, name)
    expected = fields.count * sum(fields.widths())
    try:  # one byte more tells whether there is more
        body = unpacker.decompress(unpacker.unconsumed_tail, expected + 1)
    except zlib.error as error:
        raise _damaged(name, error) from error
    extended = bool(fields.flags & EXTENDED)  # what follows is for other programs
    if (
        len(body) < expected
        or not (unpacker.eof or extended)
        or (len(body) > expected and not extended)
    ):
        raise InputError(
            f"{name} does not hold the {expected} bytes that its {fields.count} splats need; it is "
            "truncated or damaged"
        )
    if unpacker.unused_data:
        raise InputError(
            f"{name} has {len(unpacker.unused_data)} bytes after its gzip stream; it is damaged"
        )
    return _splats(name, fields, _split(body, fields.count, fields.widths()))


def _splats(name: str, fields: Fields, streams: list[NDArray[np.uint8]]) -> Decoded:
    """Turn the bytes of the attributes, [N, width] each, into Gaussians."""
    degree = fields.degree
    byte = np.arange(256, dtype=np.float64)
    dc_of = ((byte / 255 - 0.5) / DC_GAIN).astype(np.float32)
    opacity_of = (byte / 255).astype(np.float32)
    scale_of = np.exp(byte / LOG_SCALE_STEPS - LOG_SCALE_BIAS).astype(np.float32)
    harmonic_of = ((byte - 128) / 128).astype(np.float32)
    quats_of = _quats_of_xyz if fields.version == 2 else _quats_of_three

    def part(rows: slice) -> dict[str, NDArray]:
        positions, alphas, colors, scales, rotations, higher = (each[rows] for each in streams)
        dc = dc_of[colors]
        found = {
            "means": _floating_point(positions, fields.bits),
            "opacities": opacity_of[alphas[:, 0]],
            "scales": scale_of[scales],
            "quats": quats_of(rotations),
        }
        if not degree:
            return found | {"colors": harmonics.colors_of_dc(dc)}
        coefficients = harmonic_of[higher].reshape(len(dc), COEFFICIENTS[degree], 3)
        return found | {"sh": np.concatenate([dc[:, None], coefficients], axis=1)}

    return assemble(name, fields.count, part)


def _split(body: bytes, count: int, widths: list[int]) -> list[NDArray[np.uint8]]:
    """Split a payload into the bytes of its attributes, [N, width] each."""
    streams, start = [], 0
    for width in widths:
        flat = np.frombuffer(body, np.uint8, count * width, start)
        streams.append(flat.reshape(count, width))
        start += count * width
    return streams


def _unpacker(content: bytes, name: str):
    """Start a gzip stream and ask it for nothing yet."""
    if content[:2] != b"\x1f\x8b":
        raise InputError(f"{name} is no SPZ file; it must begin with a gzip stream or NGSP")
    return zlib.decompressobj(GZIP)


def _read_header(unpacker, content: bytes, name: str) -> Fields:
    """Read the header of version 2 or 3."""
    try:
        head = unpacker.decompress(content, HEADER.size)
    except zlib.error as error:
        raise _damaged(name, error) from error
    if len(head) < HEADER.size or head[:4] != MAGIC:
        raise InputError(f"{name} is no SPZ file; its stream does not begin with {MAGIC.decode()}")
    _, version, count, degree, bits, flags, reserved = HEADER.unpack(head)
    if version not in (2, VERSION):
        raise InputError(f"{name} is SPZ of version {version}; versions 2 to 4 are read")
    fields = Fields(version, count, degree, bits, flags)
    check_fields(fields, reserved, name)
    return fields


def _damaged(name: str, error: zlib.error) -> InputError:
    return InputError(f"{name} cannot be decompressed: {error}")


def _floating_point(positions: NDArray[np.uint8], bits: int) -> NDArray[np.float32]:
    """Turn [N, 9] bytes into positions [N, 3]."""
    wide = np.zeros((len(positions), 3, 4), np.uint8)
    wide[:, :, 1:] = positions.reshape(-1, 3, 3)  # in the upper bytes, so that signs come along
    return wide.view("<i4")[:, :, 0] * np.float32(2.0 ** -(bits + 8))


def _quats_of_three(rotations: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn [N, 4] bytes into wxyz [N, 4]."""
    packed = np.ascontiguousarray(rotations).view("<u4")[:, 0]
    largest = packed >> 30
    xyzw = np.zeros((4, len(packed)), np.float32)
    for place in range(3, -1, -1):
        tens = (packed & 511).astype(np.float32) / np.float32(QUAT_STEPS)
        value = np.where(packed & 512, -tens, tens)
        xyzw[place] = np.where(largest == place, 0, value)
        packed = np.where(largest == place, packed, packed >> 10)
    missing = np.sqrt((1 - (xyzw**2).sum(axis=0)).clip(0))
    xyzw[largest, np.arange(len(packed))] = missing
    return xyzw[[3, 0, 1, 2]].T


def _quats_of_xyz(rotations: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn [N, 3] bytes, as version 2 has them, into wxyz [N, 4]."""
    xyz = rotations.astype(np.float32) / np.float32(127.5) - 1
    w = np.sqrt((1 - (xyz**2).sum(axis=1, keepdims=True)).clip(0))
    return np.concatenate([w, xyz], axis=1)
