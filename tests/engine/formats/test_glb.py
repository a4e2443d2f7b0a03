import json
import struct

import numpy as np
import pytest
from reference.glb import parse

from geolrm import InputError
from geolrm.engine.formats import glb


def test_arrays_become_accessors_that_start_at_multiples_of_four():
    buffer = glb.Buffer()
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert buffer.add(points, "VEC3", bounds=True) == 0
    assert buffer.add(np.array([1, 2, 3], np.uint16), "SCALAR", target=glb.TRIANGLES) == 1
    assert buffer.add(points[:, 0], "SCALAR", normalized=True) == 2
    first, second, third = buffer.accessors
    assert (first["min"], first["max"]) == ([0, 1, 2], [3, 4, 5])
    assert second["componentType"] == 5123 and "min" not in second and third["normalized"]
    assert [view["byteOffset"] for view in buffer.views] == [0, 24, 32]


def test_a_file_is_read_by_another_reader():
    buffer = glb.Buffer()
    points = np.random.default_rng(0).random((5, 3), np.float32)
    index = buffer.add(points, "VEC3")
    document, array = parse(buffer.file({"scene": 0, "extra": "x" * 3}))
    assert document["asset"]["generator"] == "geolrm" and document["extra"] == "xxx"
    np.testing.assert_array_equal(array(index), points)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((b"glTG", 2, 20, 0, glb.JSON_CHUNK), "a is no GLB file; it must begin with glTF"),
        ((b"glTF", 1, 20, 0, glb.JSON_CHUNK), "a is GLB of version 1; version 2 is read"),
        ((b"glTF", 2, 21, 0, glb.JSON_CHUNK), "a states 21 bytes but has 20; it is truncated"),
        ((b"glTF", 2, 20, 9, glb.JSON_CHUNK), "a states 9 bytes of JSON; at most"),
    ],
)
def test_headers_of_no_such_file(fields, message):
    with pytest.raises(InputError, match=message):
        glb.check(struct.pack("<4sIIII", *fields), 20, "a")


def test_a_whole_file_gives_back_its_chunks():
    buffer = glb.Buffer()
    buffer.add(np.ones((2, 3), np.float32), "VEC3")
    text, numbers = glb.chunks(buffer.file({"scene": 0}), "a")
    assert json.loads(bytes(text))["scene"] == 0 and len(numbers) == 24
