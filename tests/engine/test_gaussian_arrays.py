import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import Gaussians, InputError


def test_shapes_are_checked():
    with pytest.raises(InputError, match=r"scales has shape \(2, 3\); with 1 means"):
        Gaussians(
            np.zeros((1, 3)), np.zeros(1), np.zeros((2, 3)), np.zeros((1, 4)), np.ones((1, 3))
        )
    with pytest.raises(InputError, match="either colors .* or sh"):
        Gaussians(np.zeros((1, 3)), np.zeros(1), np.zeros((1, 3)), np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("colors", np.zeros((2, 3), np.uint8), r"dtype uint8; it must be float32.*\) / 255"),
        ("means", np.zeros((2, 3), complex), "means has dtype complex128; it must be float32"),
        ("scales", np.full((2, 3), "1"), "scales has dtype <U1; it must be float32"),
        ("opacities", np.array([1, None]), "opacities has dtype object; it must be float32"),
        ("quats", [[1, 0, 0, 0], [1, 0]], "quats is not an array of numbers of one shape"),
        ("means", None, r"means has shape \(\); it must be \(N, 3\)"),
        ("means", np.zeros((2, 4)), r"means has shape \(2, 4\); it must be \(N, 3\)"),
    ],
)
def test_other_types_and_shapes_are_refused(name, value, text):
    two = random_gaussians().select(np.arange(2))
    arrays = {n: getattr(two, n) for n in ("means", "opacities", "scales", "quats")}
    with pytest.raises(InputError, match=text):
        Gaussians(**(arrays | {"colors": np.zeros((2, 3)), name: value}))


def test_numbers_of_any_width_and_order_are_taken():
    lists = Gaussians([[0, 0, 0]], [1], [[1, 2, 3]], [[1, 0, 0, 0]], [[0.5, 0, 1]])
    arrays = [np.asarray(a, ">f8") for a in ([[0, 0, 0]], [1], [[1, 2, 3]], [[1, 0, 0, 0]])]
    swapped = Gaussians(*arrays, np.asfortranarray([[0.5, 0, 1]]))
    for name in ("means", "opacities", "scales", "quats", "colors"):
        np.testing.assert_array_equal(getattr(lists, name), getattr(swapped, name))
        assert getattr(swapped, name).dtype == np.dtype(np.float32).newbyteorder("=")


@pytest.mark.parametrize("shape", [(2, 5, 3), (3, 4, 3), (2, 4), (2, 4, 2)])
def test_harmonics_have_a_degree(shape):
    two = random_gaussians().select(np.arange(2))
    arrays = {n: getattr(two, n) for n in ("means", "opacities", "scales", "quats")}
    with pytest.raises(InputError) as caught:
        Gaussians(**arrays, sh=np.zeros(shape))
    assert str(caught.value) == (
        f"sh has shape {shape}; with 2 means it must be (2, K, 3) with K = 1, 4, 9 or 16"
    )


@pytest.mark.parametrize("sh", [None, 4])
def test_gaussians_are_picked_in_the_order_of_an_index(sh):
    gaussians = random_gaussians(sh)
    mask = gaussians.opacities > 0.5
    np.testing.assert_array_equal(gaussians.select(mask).means, gaussians.means[mask])
    picked = gaussians.select(np.array([7, 3]))
    for name in ("means", "opacities", "scales", "quats", "colors" if sh is None else "sh"):
        np.testing.assert_array_equal(getattr(picked, name), getattr(gaussians, name)[[7, 3]])
    color = "colors" if sh is None else "sh of 4 coefficients"
    assert len(picked) == 2 and repr(picked) == f"Gaussians(2, {color})"


def test_a_similarity_moves_turns_and_scales():
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])  # x to y, by 90 degrees about z
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2 * turn, [10, 0, -1]
    one = Gaussians([[1, 2, 3]], [0.5], [[0.1, 0.2, 0.3]], [[1, 0, 0, 0]], [[0.1, 0.5, 1]])
    moved = one.transformed(matrix)
    np.testing.assert_allclose(moved.means, [[10 - 4, 2, 6 - 1]], rtol=1e-6)
    np.testing.assert_allclose(moved.scales, [[0.2, 0.4, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(np.abs(moved.quats), [[0.5**0.5, 0, 0, 0.5**0.5]], atol=1e-6)
    np.testing.assert_array_equal(moved.colors, one.colors)
    with pytest.raises(InputError):
        one.transformed(np.diag([-1.0, 1, 1, 1]))
