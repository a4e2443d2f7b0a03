"""GLB files taken apart without this project's reader."""

import json
import struct

import numpy as np


def parse(content):
    """The document, and a function from accessor to array."""
    magic, version, size = struct.unpack_from("<4sII", content)
    assert (magic, version, size) == (b"glTF", 2, len(content))
    json_size, json_kind = struct.unpack_from("<II", content, 12)
    assert json_kind == 0x4E4F534A and json_size % 4 == 0
    document = json.loads(content[20 : 20 + json_size])
    binary_size, binary_kind = struct.unpack_from("<II", content, 20 + json_size)
    assert binary_kind == 0x004E4942 and binary_size % 4 == 0
    numbers = content[28 + json_size :]
    assert len(numbers) == binary_size == document["buffers"][0]["byteLength"]

    def array(index):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        kind = np.dtype({5121: "u1", 5123: "<u2", 5126: "<f4"}[accessor["componentType"]])
        assert view["byteLength"] == kind.itemsize * width * accessor["count"]
        assert view["byteOffset"] % 4 == 0
        values = np.frombuffer(numbers, kind, accessor["count"] * width, view["byteOffset"])
        return values.reshape(-1, width)

    return document, array
