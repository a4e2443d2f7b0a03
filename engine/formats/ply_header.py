"""The header of a PLY file: elements, the types of their properties, and where their rows lie."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
END = re.compile(rb"\nend_header[ \t]*\r?\n")
MOST_LISTED = 1 << 20  # lists before the splats, which are stepped over one by one
MOST_PROPERTIES = 100  # of an element; 62 are the most that the standard layout of splats has


@dataclass(frozen=True, slots=True)
class Property:
    """A value of every row, or a list of values where ``counted`` is the type of its length."""

    name: str
    kind: str  # NumPy's name of the type, with its byte order
    counted: str | None = None


@dataclass(frozen=True, slots=True)
class Element:
    """Rows of one kind."""

    name: str
    count: int
    properties: list[Property]

    def has_lists(self) -> bool:
        """Tell whether rows differ in size."""
        return any(found.counted for found in self.properties)

    def names(self) -> list[str]:
        """List the names of the properties."""
        return [found.name for found in self.properties]

    def least_bytes(self) -> int:
        """Add up the rows, with every list empty."""
        return self.count * sum(
            np.dtype(found.counted or found.kind).itemsize for found in self.properties
        )

    def dtype(self) -> np.dtype:
        """Lay out a row without lists."""
        return np.dtype([(found.name, found.kind) for found in self.properties])


@dataclass(frozen=True, slots=True)
class Header:
    """What the first lines say, and where the rows begin."""

    elements: list[Element]
    comments: list[str]
    start: int

    def find(self, name: str) -> Element | None:
        """Return the element of a name, if there is one."""
        return next((element for element in self.elements if element.name == name), None)

    def check_size(self, size: int, name: str) -> None:
        """Refuse a file of ``size`` bytes that cannot hold its rows, or holds more than they are.

        What follows an element of lists has no size that the header tells.
        """
        expected = self.start + sum(element.least_bytes() for element in self.elements)
        open_end = any(element.has_lists() and element.count for element in self.elements)
        if size < expected or (size > expected and not open_end):
            vertices = self.find("vertex")
            assert vertices is not None
            needed = f"at least {expected}" if open_end else str(expected)
            others = " and what else it holds" if len(self.elements) > 1 else ""
            raise InputError(
                f"{name} has {size} bytes; {vertices.count} splats of {len(vertices.properties)} "
                f"properties{others} need {needed}: the file is truncated or damaged"
            )

    def rows(self, wanted: Element, content: bytes, name: str) -> NDArray:
        """Read the rows of an element without lists, [N] structured; others are stepped over."""
        at = self.start
        for element in self.elements:
            if element is wanted:
                break
            lists = element.count * sum(bool(each.counted) for each in element.properties)
            if lists > MOST_LISTED:
                raise InputError(
                    f"{name} has {lists} lists in rows of {element.name[:40]!r} before its splats; "
                    f"at most {MOST_LISTED} are stepped over: move them behind the splats"
                )
            at = _end_of_lists(element, content, at) if element.has_lists() else (
                at + element.least_bytes()
            )  # fmt: skip
        if len(content) - at < wanted.least_bytes():
            raise InputError(
                f"{name} ends within its {wanted.count} rows of {wanted.name!r}; it is truncated "
                "or damaged"
            )
        return np.frombuffer(content, wanted.dtype(), wanted.count, at)


def read_header(head: bytes, name: str) -> Header:
    """Read a header; its size must lie within ``head``, and its lines may end as Windows' do.

    Raises:
        InputError: There is none, it is damaged, or the numbers are written as text.
    """
    end = END.search(head)
    if end is None or not head.startswith((b"ply\n", b"ply\r\n")):
        raise InputError(f"{name} is no PLY file, or its header is damaged")
    lines = [line.strip() for line in head[: end.start()].decode("ascii", "replace").split("\n")]
    order = _byte_order(lines, name)
    elements: list[Element] = []
    comments = []
    for line in lines[1:]:
        words = line.split()
        if words[:1] == ["comment"]:
            comments.append(line)
        elif words[:1] == ["element"] and len(words) == 3:
            elements.append(Element(words[1], _count(words, name), []))
        elif words[:1] in (["element"], ["property"]):
            found = _property(words, order)
            if found is None or not elements:
                raise InputError(f"{name} has {line[:80]!r} in its header; it is damaged")
            elements[-1].properties.append(found)
    for element in elements:
        if len(element.properties) > MOST_PROPERTIES:
            raise InputError(
                f"{name} has {len(element.properties)} properties; at most {MOST_PROPERTIES} are "
                "read: leave out those that are no part of a splat"
            )
        if len(set(element.names())) != len(element.properties):
            raise InputError(f"{name} states a property of {element.name[:40]!r} twice")
    if len({element.name for element in elements}) != len(elements):
        raise InputError(f"{name} states an element twice")
    header = Header(elements, comments, end.end())
    vertices = header.find("vertex")
    if vertices is None:
        raise InputError(f"{name} states no vertices; it is no Gaussian splatting PLY")
    if vertices.has_lists():
        raise InputError(f"{name} has lists among its vertices; it is no Gaussian splatting PLY")
    return header


def _byte_order(lines: list[str], name: str) -> str:
    formats = [line.split()[1:2] for line in lines if line.startswith("format ")]
    if formats == [["ascii"]]:
        raise InputError(
            f"{name} is a PLY file of text; binary ones are read: convert it, in Python with "
            "plyfile: p = PlyData.read('a.ply'); p.text = False; p.write('b.ply')"
        )
    if len(formats) != 1 or not formats[0] or formats[0][0] not in ORDERS:
        raise InputError(f"{name} states no binary format of PLY; its header is damaged")
    return ORDERS[formats[0][0]]


def _count(words: list[str], name: str) -> int:
    if not (words[2].isascii() and words[2].isdecimal()) or len(words[2]) > 12:
        rows = "vertices" if words[1] == "vertex" else f"rows of {words[1][:40]!r}"
        raise InputError(f"{name} states {words[2][:80]!r} {rows}; it is damaged")
    return int(words[2])


def _property(words: list[str], order: str) -> Property | None:
    """Read ``property TYPE NAME`` or ``property list TYPE TYPE NAME``; None where it is neither."""
    listed = words[1:2] == ["list"]
    codes = [TYPES.get(kind) for kind in (words[2:4] if listed else words[1:2])]
    if words[0] != "property" or len(words) != (5 if listed else 3) or None in codes:
        return None
    kinds = [f"{order}{code}" for code in codes]
    if not listed:
        return Property(words[2], kinds[0])
    return None if "f" in kinds[0] else Property(words[4], kinds[1], counted=kinds[0])


def _end_of_lists(element: Element, content: bytes, at: int) -> int:
    """Step over rows that hold lists, which say their lengths one by one; beyond the end at most.

    Every step is a byte or more, and so there are no more of them than bytes.
    """
    plan = [
        (np.dtype(found.counted or found.kind), np.dtype(found.kind).itemsize, bool(found.counted))
        for found in element.properties
    ]
    for _ in range(element.count):
        for kind, width, listed in plan:
            length = 0
            if listed and at + kind.itemsize <= len(content):
                length = int(np.frombuffer(content, kind, 1, at)[0])
            at += kind.itemsize + width * length
            if length < 0 or at > len(content):
                return len(content) + 1
    return at
