"""What is needed of a shared library's own format (ELF, 64 bits): sections, and names it needs."""

import struct
from dataclasses import dataclass

from geolrm.engine.errors import GeoLRMError

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
HEADER = struct.Struct("<IIQQQQIIQQ")  # of a section
SYMBOL = struct.Struct("<IBBHQQ")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a file."""

    name: str
    address: int  # where it is loaded, from the first byte on
    offset: int  # in the file
    size: int  # bytes


def sections(content: bytes | bytearray | memoryview) -> dict[str, Section]:
    """Read the table of sections, by name.

    Raises:
        GeoLRMError: The file is no shared library of 64 bits.
    """
    if bytes(content[: len(MAGIC)]) != MAGIC:
        raise GeoLRMError("a library is no ELF file of 64 bits; download its wheel again")
    table = struct.unpack_from("<Q", content, 40)[0]
    size, count, names = struct.unpack_from("<HHH", content, 58)
    rows = [HEADER.unpack_from(content, table + i * size) for i in range(count)]
    start = rows[names][4]
    found = [Section(_text(content, start + r[0]), r[3], r[4], r[5]) for r in rows]
    return {section.name: section for section in found}


def undefined_symbols(content: bytes) -> list[str]:
    """List the names of functions that other libraries must have."""
    parts = sections(content)
    table, names = parts[".dynsym"], parts[".dynstr"]
    found = []
    for offset in range(table.offset, table.offset + table.size, SYMBOL.size):
        name, _, _, section, _, _ = SYMBOL.unpack_from(content, offset)
        if name and section == 0:
            found.append(_text(content, names.offset + name))
    return found


def length(content: bytes | bytearray, start: int) -> int:
    """Return the bytes of an ELF file inside another: up to the end of its table of sections."""
    table = struct.unpack_from("<Q", content, start + 40)[0]
    size, count = struct.unpack_from("<HH", content, start + 58)
    return table + size * count


def _text(content: bytes | bytearray | memoryview, start: int) -> str:
    end = start
    while content[end]:
        end += 1
    return bytes(content[start:end]).decode()
