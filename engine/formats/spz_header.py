"""What the headers of all SPZ versions share, and what readers accept of it."""

from __future__ import annotations

from typing import NamedTuple

from geolrm.engine.errors import InputError
from geolrm.engine.formats.untrusted import FREE_BYTES, MOST_EXPANSION, most_plain

MAGIC = b"NGSP"
ANTIALIASED, EXTENDED = 1, 2  # flags that are understood
COEFFICIENTS = {0: 0, 1: 3, 2: 8, 3: 15}  # beyond the constant one, by degree


class Fields(NamedTuple):
    """The header's own fields."""

    version: int
    count: int
    degree: int
    bits: int  # of the fraction of a position
    flags: int

    def widths(self) -> list[int]:
        """List the bytes a splat: positions, alphas, colours, scales, rotations, harmonics."""
        return [9, 1, 3, 3, 3 if self.version == 2 else 4, 3 * COEFFICIENTS[self.degree]]


def check_fields(fields: Fields, reserved: int, name: str) -> None:
    """Refuse harmonics, fractions and flags that are not known."""
    if fields.degree not in COEFFICIENTS:
        raise InputError(f"{name} has harmonics of degree {fields.degree}; at most 3 are read")
    if fields.bits > 24 or fields.flags & ~(ANTIALIASED | EXTENDED) or reserved:
        raise InputError(
            f"{name} has {fields.bits} fraction bits, flags {fields.flags:#x} and reserved "
            f"{reserved}; at most 24, 0x3 and 0 are known: it is damaged or of a later version"
        )


def check_size(fields: Fields, size: int, name: str, *, most_packed: int) -> None:
    """Refuse a file of ``size`` bytes that holds more than its like, or less.

    Args:
        fields: The header's.
        size: Of the file.
        name: What errors call it.
        most_packed: Bytes that a file of these splats may have.
    """
    plain = fields.count * sum(fields.widths())
    if plain > most_plain(size):
        raise InputError(
            f"{name} states {fields.count:,} splats, which are {plain} bytes, but has {size}; a "
            f"compressed file may hold {MOST_EXPANSION} times its size and {FREE_BYTES} bytes "
            "more: it is damaged, or save it as .ply"
        )
    if size > most_packed:
        raise InputError(
            f"{name} has {size} bytes, but its {fields.count:,} splats take at most {most_packed}; "
            "it is damaged"
        )
