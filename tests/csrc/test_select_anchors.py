"""The contract of CUDA's anchor selection: what the CPU selects, emulated and on a GPU."""

import numpy as np
import pytest
from csrc.implementations import shuffle
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm.engine.anchors import select_anchors
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.voxel_grid import voxel_axis


def run(device, kernel, logits, limit, seed=0):
    state = device.upload(np.zeros(kernel.state_bytes // 4, np.int32))
    counts = device.upload(np.full(kernel.counts_bytes // 4, -7, np.int32))
    voxels = device.upload(np.full(limit, -7, np.int32))
    positions = device.upload(np.full((limit, 3), np.nan, np.float32))
    placed = [device.upload(logits), device.upload(voxel_axis(len(logits))), state, counts, voxels]
    device.launch(kernel.calls(*placed, positions, limit=limit, seed=seed))
    kept, occupied = state.numpy()[:2]
    return voxels.numpy(), positions.numpy(), kept, occupied


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(-(2**40), 2**40),
    side=st.sampled_from([2, 5, 8, 13, 16]),
    selection=st.sampled_from(["random", "confident"]),
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    levels=st.sampled_from([2, 3, 1000]),
    data=st.data(),
)
def test_selects_what_the_cpu_selects(device, seed, side, selection, share, levels, data):
    rng = np.random.default_rng(abs(seed))
    logits = rng.integers(1, levels, (side, side, side)).astype(np.float32) / 8  # with ties
    logits[rng.random(logits.shape) >= share] *= -1
    logits[rng.random(logits.shape) < 0.05] = rng.choice([0.0, np.nan, np.inf, -np.inf])
    limit = data.draw(st.integers(1, side**3))
    with np.errstate(invalid="ignore"):
        expected = select_anchors(logits, limit, seed=seed, selection=selection)
    kernel = SelectAnchors(side, selection)
    shuffle(device, abs(seed) % 100)
    voxels, positions, kept, occupied = run(device, kernel, logits, limit, seed)
    assert (kept, occupied) == (len(expected.voxels), expected.num_occupied)
    np.testing.assert_array_equal(voxels[:kept], expected.voxels)
    np.testing.assert_array_equal(positions[:kept], expected.positions)
    assert (voxels[kept:] == -1).all() and (positions[kept:] == 0).all()


def test_a_full_grid_needs_many_blocks(device):
    logits = np.random.default_rng(0).normal(-0.5, 1, (64, 64, 64)).astype(np.float32)
    expected = select_anchors(logits, 16384, seed=5)
    assert expected.num_occupied > 70_000
    voxels, _, kept, _ = run(device, SelectAnchors(64), logits, 16384, seed=5)
    assert kept == 16384
    np.testing.assert_array_equal(voxels, expected.voxels)


def test_refuses_what_no_grid_holds():
    with pytest.raises(InputError, match=r"limit is 9; it must lie in \[1, 8\], the grid's voxels"):
        SelectAnchors(2).calls(*[0] * 6, limit=9)
    with pytest.raises(InputError, match=r"side is 2000; the grid must have 2 to 1024 voxels"):
        SelectAnchors(2000)
    with pytest.raises(InputError, match=r"selection is 'best'; it must be 'random' or"):
        SelectAnchors(2, "best")
