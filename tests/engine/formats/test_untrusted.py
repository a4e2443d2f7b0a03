import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geolrm import InputError
from geolrm.engine.formats import untrusted


def splats(count=3):
    return {
        "means": np.zeros((count, 3), np.float32),
        "opacities": np.full(count, 0.5, np.float32),
        "scales": np.full((count, 3), 0.1, np.float32),
        "quats": np.tile(np.float32([2, 0, 0, 0]), (count, 1)),
        "colors": np.full((count, 3), 0.5, np.float32),
    }


def assembled(arrays):
    def part(rows):
        return {key: array[rows] for key, array in arrays.items()}

    return untrusted.assemble("a", len(arrays["means"]), part)


@pytest.mark.parametrize(
    ("field", "value", "first"),
    [
        ("means", np.nan, "splat 1 has a position of nan"),
        ("opacities", np.inf, "splat 1 has a opacity of inf"),
        ("scales", 2e18, "splat 1 has a scale of 2e+18"),
        ("quats", -np.inf, "splat 1 has a rotation of -inf"),
        ("colors", np.nan, "splat 1 has a colour of nan"),
    ],
)
def test_splats_that_are_not_finite_are_left_out_and_counted(field, value, first):
    given_arrays = splats()
    given_arrays[field][1:] = value
    with pytest.warns(UserWarning) as caught:
        found = assembled(given_arrays)
    assert [str(warning.message) for warning in caught] == [
        f"a: left out 2 of 3 splats, which are not finite or beyond 1e+18; {first}"
    ]
    assert len(found.gaussians) == 1 and found.left_out == 2
    given_arrays[field][0] = value
    message = "a has no splat of finite values within 1e[+]18 of 0: splat 0 has .*; it is damaged"
    with pytest.raises(InputError, match=message):
        assembled(given_arrays)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("opacities", 1.5, r"a: splat 1 has opacity 1.5; it must be in \[0, 1\]"),
        ("opacities", -0.1, r"a: splat 1 has opacity -0.1; it must be in \[0, 1\]"),
        ("scales", -0.25, "a: splat 1 has scale -0.25; it must not be negative"),
    ],
)
def test_the_first_value_out_of_range_is_named(field, value, message):
    given_arrays = splats()
    given_arrays[field][1:] = value
    with pytest.raises(InputError, match=message):
        assembled(given_arrays)


def test_sound_values_become_gaussians_with_unit_rotations():
    made = assembled(splats())
    np.testing.assert_array_equal(made.gaussians.quats, np.tile([1, 0, 0, 0], (3, 1)))
    assert made.left_out == 0
    assert len(assembled(splats(0)).gaussians) == 0


@given(arrays(np.float32, (5, 4), elements=st.floats(-1e6, 1e6, width=32)))
def test_rotations_have_unit_length_whatever_they_had(quats):
    units = untrusted.unit_quats(quats)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, rtol=1e-5)
    nothing = ~quats.any(axis=1)
    np.testing.assert_array_equal(units[nothing], np.tile([1, 0, 0, 0], (nothing.sum(), 1)))


def test_counts_that_no_object_needs():
    untrusted.check_count(untrusted.LARGEST_COUNT, "a")
    with pytest.raises(InputError, match="a states 20,000,001 splats; at most 20,000,000 are read"):
        untrusted.check_count(untrusted.LARGEST_COUNT + 1, "a")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_parts_of_any_size_give_the_same(monkeypatch, size):
    made = splats(7)
    made["means"] = np.arange(21, dtype=np.float32).reshape(7, 3)
    made["colors"][2] = np.nan
    made["scales"][5] = np.inf
    monkeypatch.setattr(untrusted, "PART", size)
    with pytest.warns(UserWarning, match="a: left out 2 of 7 splats, .*; splat 2 has a colour of"):
        found = assembled(made)
    np.testing.assert_array_equal(found.gaussians.means, made["means"][[0, 1, 3, 4, 6]])
    assert found.left_out == 2
    made["opacities"][6] = 3
    with pytest.raises(InputError) as raised:
        assembled(made)
    assert "a: splat 4 has opacity 3; it must be in [0, 1]" in str(raised.value)


def test_what_a_compressed_file_may_hold():
    assert untrusted.most_plain(0) == 16 << 20
    assert untrusted.most_plain(126_000) == 64 * 126_000 + (16 << 20)
