"""The container of binary glTF: a JSON chunk, and a chunk of numbers that it describes."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

HEADER = struct.Struct("<4sIIII")  # magic, version, file size; JSON size, "JSON"
CHUNK = struct.Struct("<II")
MAGIC, VERSION = b"glTF", 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
LARGEST_JSON = 1 << 20

COMPONENT_TYPES = {np.dtype("<f4"): 5126, np.dtype("<u4"): 5125, np.dtype("<u2"): 5123}
VERTICES, TRIANGLES = 34962, 34963  # what a buffer view is for


class Buffer:
    """Numbers of a file being written: arrays in, accessor indices out."""

    def __init__(self) -> None:
        self.accessors: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self._chunks: list[bytes] = []
        self._size = 0

    def add(
        self,
        array: NDArray,
        kind: str,
        *,
        bounds: bool = False,
        normalized: bool = False,
        target: int = VERTICES,
    ) -> int:
        """Append an array and return the index of its accessor.

        Args:
            array: [N] or [N, C], float32, uint32 or uint16; rows of whole words.
            kind: SCALAR, VEC2, VEC3 or VEC4.
            bounds: Whether smallest and largest values are stated, as positions need them.
            normalized: Whether integers stand for [0, 1].
            target: What the numbers are for.
        """
        array = np.ascontiguousarray(array)
        raw = array.tobytes()
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": COMPONENT_TYPES[array.dtype.newbyteorder("<")],
            "count": len(array),
            "type": kind,
        }
        if normalized:
            accessor["normalized"] = True
        if bounds and len(array):
            accessor["min"] = array.min(axis=0).tolist()
            accessor["max"] = array.max(axis=0).tolist()
        self.views.append(
            {"buffer": 0, "byteOffset": self._size, "byteLength": len(raw), "target": target}
        )
        self.accessors.append(accessor)
        self._chunks.append(raw + bytes(-len(raw) % 4))
        self._size += len(self._chunks[-1])
        return len(self.accessors) - 1

    def add_file(self, content: bytes) -> int:
        """Append a file within the file, such as an image, and return the index of its view."""
        self.views.append({"buffer": 0, "byteOffset": self._size, "byteLength": len(content)})
        self._chunks.append(content + bytes(-len(content) % 4))
        self._size += len(self._chunks[-1])
        return len(self.views) - 1

    def file(self, document: dict[str, Any]) -> bytes:
        """Write the whole file of a document that lacks only its buffers."""
        document = {
            "asset": {"version": "2.0", "generator": "geolrm"},
            **document,
            "buffers": [{"byteLength": self._size}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = HEADER.size + len(text) + CHUNK.size + self._size
        head = HEADER.pack(MAGIC, VERSION, size, len(text), JSON_CHUNK)
        return b"".join([head, text, CHUNK.pack(self._size, BINARY_CHUNK), *self._chunks])


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes, from its first bytes."""
    if len(head) < HEADER.size or head[:4] != MAGIC:
        raise InputError(f"{name} is no GLB file; it must begin with glTF")
    _, version, stated, json_size, kind = HEADER.unpack(head[: HEADER.size])
    if version != VERSION or kind != JSON_CHUNK:
        raise InputError(f"{name} is GLB of version {version}; version {VERSION} is read")
    if stated != size:
        raise InputError(f"{name} states {stated} bytes but has {size}; it is truncated or damaged")
    if json_size > min(LARGEST_JSON, size - HEADER.size):
        raise InputError(
            f"{name} states {json_size} bytes of JSON; at most {LARGEST_JSON} within the file are "
            "read"
        )


def chunks(content: bytes, name: str) -> tuple[bytes, memoryview]:
    """Split a checked file into its JSON and its numbers."""
    check(content[: HEADER.size], len(content), name)
    json_size = HEADER.unpack(content[: HEADER.size])[3]
    start = HEADER.size + json_size
    text = content[HEADER.size : start]
    if len(content) - start < CHUNK.size:
        raise InputError(f"{name} has no binary chunk; numbers in other files are not read")
    size, kind = CHUNK.unpack(content[start : start + CHUNK.size])
    start += CHUNK.size
    if kind != BINARY_CHUNK or size > len(content) - start:
        raise InputError(f"{name} states a binary chunk of {size} bytes; it is damaged")
    return text, memoryview(content)[start : start + size]
