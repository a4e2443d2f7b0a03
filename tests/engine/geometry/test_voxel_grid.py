import numpy as np
import pytest
from harness.data import DATA

from geolrm.engine.geometry.voxel_grid import rope_indices, unit_axis, voxel_axis, voxel_centres

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")


@pytest.mark.parametrize("size", [16, 128])
def test_axis_is_bit_exact(size):
    np.testing.assert_array_equal(voxel_axis(size), VECTORS[f"axis{size}"])


@pytest.mark.parametrize("size", [2, 3, 5, 24, 32, 100, 127, 128, 129, 255, 256])
def test_axis_equals_torch_linspace(size):
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(unit_axis(size), torch.linspace(-1, 1, size).numpy())


@pytest.mark.parametrize("size", [16, 128])
@pytest.mark.parametrize(("scale", "name"), [(0.5, "scale05"), (1.0, "scale1")])
def test_rope_indices_keep_the_truncation_of_the_reference(size, scale, name):
    index = rope_indices(voxel_axis(size), 128, scale)
    np.testing.assert_array_equal(index, VECTORS[f"rope_idx_axis{size}_{name}"])


def test_twenty_voxels_share_the_index_of_their_neighbour():
    off = np.flatnonzero(rope_indices(voxel_axis(128), 128, 0.5) != np.arange(128))
    expected = [1, 2, 3, 4, 9, 10, 11, 18, 19, 20, 26, 27, 36, 37, 52, 53, 72, 104, 105, 106]
    assert off.tolist() == expected


def test_centres_have_x_slowest():
    centres = voxel_centres(4)
    np.testing.assert_array_equal(centres[3, 0, 0], np.array([0.5, -0.5, -0.5], np.float32))
    np.testing.assert_array_equal(centres[0, 0, 3], np.array([-0.5, -0.5, 0.5], np.float32))


def test_one_voxel_is_refused():
    with pytest.raises(ValueError, match="at least 2 voxels; got 1"):
        unit_axis(1)
