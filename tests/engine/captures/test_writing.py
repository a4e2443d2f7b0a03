"""Captures that are written and read again."""

import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.captures import load_capture
from geolrm.engine.captures.writing import write_capture
from geolrm.examples import CAPTURES


def test_a_capture_survives_being_written(tmp_path):
    capture = load_capture(CAPTURES / "shoe").subset([0, 7, 20])
    write_capture(capture, tmp_path / "new")
    again = load_capture(tmp_path / "new")
    np.testing.assert_allclose(again.cameras.c2w, capture.cameras.c2w, atol=1e-12)
    np.testing.assert_allclose(again.cameras.intrinsics, capture.cameras.intrinsics, atol=1e-12)
    for image, expected in zip(again.images, capture.images, strict=True):
        np.testing.assert_array_equal(image, expected)
    with pytest.raises(InputError, match=r"new' already exists; name a new folder"):
        write_capture(capture, tmp_path / "new")
