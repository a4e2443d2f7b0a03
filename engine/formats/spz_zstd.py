"""The container of SPZ 4: a plain header, records of other programs, and Zstandard streams.

After a header of 32 bytes and those records, a table states the compressed and the plain size of
each stream; the streams follow it without gaps: positions, alphas, colours, scales, rotations and,
where there are any, harmonics. What they hold is as in version 3.
"""

from __future__ import annotations

import struct
import sys

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats.spz_header import MAGIC, Fields, check_fields, check_size
from geolrm.engine.formats.untrusted import check_count

# magic, version, splats, degree, fraction bits, flags, streams, where the table begins, 0
HEADER = struct.Struct("<4sIIBBBBI12s")
SIZES = struct.Struct("<QQ")
VERSION = 4
LEAST_DEFLATION = 1.01  # of what does not shrink
SLACK = 1 << 12  # headers and checksums of a stream's frames
LEAST_WINDOW = 23  # logarithm of the 8 MB that RFC 8878 asks of every decoder
MOST_EXTENSION = 1 << 26  # bytes of other programs' records
LEVEL = 5  # of Zstandard: 7 % less than at 1, and no more at 12


def encode(fields: Fields, streams: list[bytes]) -> bytes:
    """Write a whole file of the attributes' bytes, in the order of the header; no empty streams."""
    compress = _module().compress
    plain = [stream for stream, width in zip(streams, fields.widths(), strict=True) if width]
    packed = [compress(stream, LEVEL) for stream in plain]
    head = HEADER.pack(MAGIC, *fields, len(plain), HEADER.size, bytes(12))
    table = [SIZES.pack(len(a), len(b)) for a, b in zip(packed, plain, strict=True)]
    return b"".join([head, *table, *packed])


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes, from its first bytes."""
    fields, table, streams = _read_header(head, name)
    check_count(fields.count, name)
    if not HEADER.size <= table <= HEADER.size + MOST_EXTENSION:
        raise InputError(f"{name} states its table of streams at byte {table}; it is damaged")
    plain = fields.count * sum(fields.widths())
    least = table + SIZES.size * streams
    if size < least:
        raise InputError(
            f"{name} has {size} bytes, but its table of streams ends at {least}; it is truncated"
        )
    most = least + int(LEAST_DEFLATION * plain) + SLACK * streams
    check_size(fields, size, name, most_packed=most)


def decode(content: bytes, name: str) -> tuple[Fields, list[NDArray[np.uint8]]]:
    """Read the attributes of a whole file, [N, width] bytes each, in the order of the header."""
    check(content[: HEADER.size], len(content), name)
    fields, table, streams = _read_header(content, name)
    widths = fields.widths()
    wanted = len(widths) if widths[-1] else len(widths) - 1
    if streams != wanted:
        raise InputError(f"{name} has {streams} streams; its splats need {wanted}: it is damaged")
    at = table + SIZES.size * streams
    attributes = []
    for index in range(streams):
        packed, plain = SIZES.unpack_from(content, table + SIZES.size * index)
        expected = widths[index] * fields.count
        if plain != expected or packed > len(content) - at:
            raise InputError(
                f"{name} states {packed} bytes that become {plain} for stream {index}, which must "
                f"hold {expected}; it is truncated or damaged"
            )
        body = _inflate(content[at : at + packed], expected, f"{name}: stream {index}")
        attributes.append(np.frombuffer(body, np.uint8).reshape(fields.count, widths[index]))
        at += packed
    if at != len(content):
        raise InputError(f"{name} has {len(content) - at} bytes after its streams; it is damaged")
    if wanted < len(widths):
        attributes.append(np.empty((fields.count, 0), np.uint8))
    return fields, attributes


def _read_header(content: bytes, name: str) -> tuple[Fields, int, int]:
    """Read the fields, where the table begins, and the number of streams."""
    if len(content) < HEADER.size:
        raise InputError(f"{name} has {len(content)} bytes, less than a header; it is truncated")
    magic, version, count, degree, bits, flags, streams, table, reserved = HEADER.unpack(
        content[: HEADER.size]
    )
    assert magic == MAGIC
    if version != VERSION:
        raise InputError(f"{name} is SPZ of version {version}; versions 2 to {VERSION} are read")
    fields = Fields(version, count, degree, bits, flags)
    check_fields(fields, int.from_bytes(reserved, "little"), name)
    return fields, table, streams


def _inflate(packed: bytes, expected: int, name: str) -> bytes:
    """Decompress exactly ``expected`` bytes; memory follows them, whatever the stream states."""
    if not expected and not packed:
        return b""
    zstd = _module()
    # A window may be as large as the stream's plain size; a larger one is no use.
    window = min(max(LEAST_WINDOW, expected.bit_length()), 31 if sys.maxsize > 2**32 else 30)
    options = {int(zstd.DecompressionParameter.window_log_max): window}
    unpacker = zstd.ZstdDecompressor(options=options)
    try:  # one byte more tells whether there is more
        body = unpacker.decompress(packed, expected + 1)
    except zstd.ZstdError as error:
        raise InputError(f"{name} cannot be decompressed: {error}") from error
    if len(body) != expected or not unpacker.eof or unpacker.unused_data:
        raise InputError(
            f"{name} does not hold the {expected} bytes that its splats need; it is truncated or "
            "damaged"
        )
    return body


def _module():
    """Import Zstandard: of the standard library, or what was taken from there for older ones."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
