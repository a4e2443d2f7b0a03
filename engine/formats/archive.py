"""ZIP archives of a few members: SOG, USDZ and npz.

Written without compression, dates or anything else that changes, so that the same members give the
same bytes; a member's bytes can be made to begin at a multiple of some number. Read within stated
bounds: the plain sizes of the members are known and added up before anything is unpacked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from geolrm.engine.errors import InputError
from geolrm.engine.formats.untrusted import FREE_BYTES, MOST_EXPANSION, most_plain

# signature, version needed, flags, method, time, date, checksum, packed, plain, name, extra
LOCAL = struct.Struct("<4sHHHHHIIIHH")
# signature, made by, then as above; comment, disk, attributes of two kinds, place of LOCAL
ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
# signature, disks, entries on this one and in all, size and place of the entries, comment
END = struct.Struct("<4sHHHHIIH")
LOCAL_MAGIC, ENTRY_MAGIC, END_MAGIC = b"PK\3\4", b"PK\1\2", b"PK\5\6"
STORED, DEFLATED = 0, 8
VERSION = 20  # of the specification: 2.0
FIRST_DATE = 1 << 5 | 1  # 1980-01-01, the earliest
PADDING = 0x1986  # the kind of an extra field that only fills up, as USDZ's writers have it
ENCRYPTED = 0x41  # flags
MOST_MEMBERS = 64
LARGEST = 0xFFFFFFFE  # bytes of an archive without the extension for larger ones


def write(members: Mapping[str, bytes], *, align: int = 1) -> bytes:
    """Write an archive; each member's bytes begin at a multiple of ``align``.

    Raises:
        InputError: It would have 4 GiB or more.
    """
    parts, entries, at = [], [], 0
    for name, content in members.items():
        key = name.encode()
        extra = b""
        short = -(at + LOCAL.size + len(key)) % align
        if short:
            short += align if short < 4 else 0
            extra = struct.pack("<HH", PADDING, short - 4) + bytes(short - 4)
        facts = (STORED, 0, FIRST_DATE, zlib.crc32(content), len(content), len(content), len(key))
        _check_size(at + len(content))
        parts += [LOCAL.pack(LOCAL_MAGIC, VERSION, 0, *facts, len(extra)), key, extra, content]
        entries += [ENTRY.pack(ENTRY_MAGIC, VERSION, VERSION, 0, *facts, 0, 0, 0, 0, 0, at), key]
        at += LOCAL.size + len(key) + len(extra) + len(content)
    size = sum(map(len, entries))
    _check_size(at + size)
    end = END.pack(END_MAGIC, 0, 0, len(members), len(members), size, at, 0)
    return b"".join([*parts, *entries, end])


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise InputError(
            f"the archive would have {size:,} bytes or more; at most {LARGEST:,} fit: write fewer "
            "splats, or another format"
        )


def read(content: bytes, name: str) -> dict[str, bytes]:
    """Unpack every member of an archive, by name.

    Args:
        content: The archive; it is not trusted.
        name: What errors call it.

    Raises:
        InputError: It is damaged, or holds more than its size allows.
    """
    entries = _entries(content, name)
    packed = [entry[8] for entry, _ in entries]
    if max(packed, default=0) <= len(content) < sum(packed):
        raise InputError(f"{name} has members that overlap; it is damaged")
    plain = sum(entry[9] for entry, _ in entries)
    if plain > most_plain(len(content)):
        raise InputError(
            f"{name} states {plain:,} bytes of contents, but has {len(content)}; it may hold "
            f"{MOST_EXPANSION} times its size and {FREE_BYTES} bytes more: it is damaged"
        )
    members: dict[str, bytes] = {}
    for entry, key in entries:
        if key in members:
            raise InputError(f"{name} holds {key[:80]!r} twice; it is damaged")
        members[key] = _unpack(content, entry, f"{name}: {key[:80]!r}")
    return members


def _entries(content: bytes, name: str) -> list[tuple[tuple, str]]:
    """List the members as the end of the archive does."""
    place = content.rfind(END_MAGIC, max(0, len(content) - END.size - 0xFFFF))
    if place < 0 or len(content) - place < END.size:
        raise InputError(f"{name} is no ZIP archive, or its end is missing; copy it again")
    _, disk, first, here, count, size, at, _ = END.unpack_from(content, place)
    if disk or first or here != count or at + size > place or count > MOST_MEMBERS:
        raise InputError(
            f"{name} states {count} members in {size} bytes at {at}; at most {MOST_MEMBERS} within "
            "one archive are read"
        )
    found = []
    for _ in range(count):
        if at + ENTRY.size > place:
            raise InputError(f"{name} lists fewer members than it states; it is damaged")
        entry = ENTRY.unpack_from(content, at)
        key = content[at + ENTRY.size : at + ENTRY.size + entry[10]]
        at += ENTRY.size + entry[10] + entry[11] + entry[12]
        if entry[0] != ENTRY_MAGIC or at > place:
            raise InputError(f"{name} lists its members wrongly; it is damaged")
        found.append((entry, key.decode("utf-8", "replace")))
    return found


def _unpack(content: bytes, entry: tuple, name: str) -> bytes:
    """Unpack one member: exactly the bytes that its entry states."""
    flags, method, checksum, packed, plain = entry[3], entry[4], entry[7], entry[8], entry[9]
    at = entry[16]
    if flags & ENCRYPTED or method not in (STORED, DEFLATED):
        raise InputError(f"{name} is encrypted or packed by method {method}; 0 and 8 are read")
    if at + LOCAL.size > len(content) or content[at : at + 4] != LOCAL_MAGIC:
        raise InputError(f"{name} is not where the archive says; it is damaged")
    local = LOCAL.unpack_from(content, at)
    start = at + LOCAL.size + local[9] + local[10]
    if start + packed > len(content) or (method == STORED and packed != plain):
        raise InputError(f"{name} states {packed} bytes that become {plain}; it is damaged")
    body = content[start : start + packed]
    if method == DEFLATED:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:  # one byte more tells whether there is more
            body = unpacker.decompress(body, plain + 1)
        except zlib.error as error:
            raise InputError(f"{name} cannot be decompressed: {error}") from error
    if len(body) != plain or zlib.crc32(body) != checksum:
        raise InputError(f"{name} is not what its checksum and size say; it is damaged")
    return body
