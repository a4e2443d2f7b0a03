"""What is written of a capture; that it loads again, in test_pipeline.py."""

import numpy as np

from geolrm.engine.photographs.writing import encode_points


def test_points_are_what_the_header_says():
    points = np.arange(6.0).reshape(2, 3)
    colours = np.array([[1, 2, 3], [255, 0, 9]], np.uint8)
    header, body = encode_points(points, colours).split(b"end_header\n")
    assert header.decode().splitlines()[1:3] == [
        "format binary_little_endian 1.0", "element vertex 2",
    ]  # fmt: skip
    rows = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    np.testing.assert_array_equal(rows["xyz"], points)
    np.testing.assert_array_equal(rows["rgb"], colours)
