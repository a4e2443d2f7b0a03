import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geolrm.engine.formats import float_text

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 5)), elements=FLOATS))
def test_every_float_comes_back(values):
    text = b"".join(float_text.rows(values)).decode()
    read = [[float(word) for word in row.split(",")] for row in text[1:-2].split("),(") if row]
    np.testing.assert_array_equal(np.array(read, np.float32).reshape(values.shape), values)
    assert len(text) == len(values) * (16 * values.shape[1] + 2)


def test_numbers_at_every_end_come_back():
    edges = np.array([0.0, 1e-45, 1.17549435e-38, 3.4028235e38, 1.0, 9.99999999, 0.1, 1 / 3],
                     np.float32)  # fmt: skip
    powers = (10.0 ** np.arange(-45, 39)).astype(np.float32)
    values = np.concatenate(
        [edges, powers, np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(3e38))]
    )
    values = np.concatenate([values, -values])
    text = b"".join(float_text.rows(values)).decode()
    read = np.array([float(word) for word in text.split(",")[:-1]], np.float32)
    np.testing.assert_array_equal(read, values)


def test_rows_beyond_a_part_follow_each_other(monkeypatch):
    monkeypatch.setattr(float_text, "PART", 3)
    values = np.arange(10, dtype=np.float32)
    parts = list(float_text.rows(values))
    assert len(parts) == 4
    assert b"".join(parts)[:32] == b" 0.00000000e+00, 1.00000000e+00,"
    assert [float(word) for word in b"".join(parts).split(b",")[:-1]] == list(range(10))
