import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.geometry import harmonics


def directions(count, seed=0):
    points = np.random.default_rng(seed).standard_normal((count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_the_basis_is_orthonormal_over_the_sphere():
    values = harmonics.basis(directions(200_000), 16)
    products = 4 * np.pi * values.T @ values / len(values)
    np.testing.assert_allclose(products, np.eye(16), atol=0.02)


def test_plain_colours_come_back():
    colors = np.random.default_rng(0).random((9, 3)).astype(np.float32)
    back = harmonics.colors_of_dc(harmonics.dc_of_colors(colors))
    np.testing.assert_allclose(back, colors, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 9, 16])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_degree_is_cut_or_padded_with_what_shows_nothing(count, degree):
    sh = np.random.default_rng(0).standard_normal((5, count, 3)).astype(np.float32)
    found = harmonics.of_degree(sh, degree)
    wanted = (degree + 1) ** 2
    assert found.shape == (5, wanted, 3) and found.flags.c_contiguous
    np.testing.assert_array_equal(found[:, :count], sh[:, :wanted])
    assert not found[:, count:].any()


@pytest.mark.parametrize("count", [1, 4, 9, 16])
@given(seed=st.integers(0, 1000))
def test_a_turned_splat_shows_along_a_turned_direction_what_it_showed(count, seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    sh = rng.standard_normal((2, count, 3)).astype(np.float32)
    seen = directions(5, seed)
    before = np.einsum("dk,nkc->ndc", harmonics.basis(seen, count), sh)
    turned = harmonics.turn(sh, rotation)
    after = np.einsum("dk,nkc->ndc", harmonics.basis(seen @ rotation.T, count), turned)
    np.testing.assert_allclose(after, before, atol=1e-4)
