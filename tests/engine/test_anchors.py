import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.anchors import pad_anchors, select_anchors, voxel_hash
from geolrm.engine.geometry.voxel_grid import voxel_axis


def random_logits(seed, size=8):
    return np.random.default_rng(seed).standard_normal((size,) * 3).astype(np.float32)


def mix(x):
    """The stated hash, in plain integers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ (x >> 16)


@given(st.integers(0, 2**40), st.integers(0, 2**31 - 1))
def test_hash_is_the_stated_one(seed, voxel):
    expected = mix(voxel ^ mix(seed % 2**32))
    assert int(voxel_hash(seed, np.array([voxel]))[0]) == expected


def test_all_occupied_voxels_in_raster_order():
    logits = random_logits(0)
    anchors = select_anchors(logits, 512)
    np.testing.assert_array_equal(anchors.voxels, np.flatnonzero(logits.ravel() > 0))
    i, j, k = np.unravel_index(anchors.voxels[7], logits.shape)
    axis = voxel_axis(8)
    np.testing.assert_array_equal(anchors.positions[7], [axis[i], axis[j], axis[k]])


def test_zero_logit_is_empty():
    assert select_anchors(np.zeros((4, 4, 4), np.float32), 64).num_occupied == 0


@given(st.integers(0, 1000), st.integers(1, 300))
def test_random_subset_has_the_smallest_hashes(seed, limit):
    logits = random_logits(1)
    occupied = np.flatnonzero(logits.ravel() > 0)
    chosen = select_anchors(logits, limit, seed=seed).voxels
    order = sorted(occupied.tolist(), key=lambda v: mix(v ^ mix(seed)))
    assert chosen.tolist() == sorted(order[:limit])


@given(st.integers(0, 511))
def test_one_flipped_voxel_changes_at_most_one_other(voxel):
    logits = random_logits(2)
    flipped = logits.copy()
    flipped.ravel()[voxel] *= -1
    before = set(select_anchors(logits, 64, seed=3).voxels.tolist())
    after = set(select_anchors(flipped, 64, seed=3).voxels.tolist())
    assert len(before ^ after) <= 2


def test_seeds_differ():
    logits = random_logits(0)
    a, b = (select_anchors(logits, 32, seed=s).voxels.tolist() for s in (0, 1))
    assert a != b


def test_confident_keeps_the_largest_logits():
    logits = random_logits(0)
    chosen = select_anchors(logits, 20, selection="confident").voxels
    expected = np.sort(np.argsort(-logits.ravel(), kind="stable")[:20])
    np.testing.assert_array_equal(chosen, expected)


def test_unknown_selection_is_named():
    with pytest.raises(ValueError, match="'best'; it must be 'random' or 'confident'"):
        select_anchors(random_logits(0), 20, selection="best")


def test_padding_appends_zero_rows():
    positions = np.ones((2, 3), np.float32)
    padded = pad_anchors(positions, 5)
    assert padded.shape == (5, 3)
    assert padded[2:].sum() == 0
    assert pad_anchors(positions, None) is positions
    assert pad_anchors(positions, 1) is positions
