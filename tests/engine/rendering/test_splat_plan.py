import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import InputError
from geolrm.engine.rendering.splat_plan import ALIGNMENT, SLAB_STEP, SplatPlan


@settings(max_examples=50)
@given(
    st.integers(0, 3_000_000), st.integers(1, 40), st.integers(1, 2000), st.integers(1, 2000),
    st.sampled_from([1 << 20, 64 << 20, 256 << 20]),
)  # fmt: skip
def test_slabs_cover_all_splats_and_arrays_do_not_overlap(count, views, width, height, budget):
    plan = SplatPlan.of(count, views, (width, height), budget=budget)
    assert plan.slabs[0][0] == 0 and plan.slabs[-1][1] == max(count, 0)
    for (_, stop), (first, _) in zip(plan.slabs, plan.slabs[1:], strict=False):
        assert stop == first and first % SLAB_STEP == 0
    end = 0
    for offset, size in plan.layout.values():
        assert offset % ALIGNMENT == 0 and offset >= end
        end = offset + size
    assert end <= plan.nbytes
    assert 1 <= plan.group <= views
    assert plan.group == 1 or plan.nbytes <= budget + ALIGNMENT * len(plan.layout)
    assert plan.words % 4 == 0 and 32 * plan.words >= max(b - a for a, b in plan.slabs)


def test_a_plan_says_its_sizes():
    plan = SplatPlan.of(10_000, 3, (100, 60))
    assert plan.tiles == (4, 2)
    assert repr(plan).startswith("SplatPlan(10,000 splats, 3 views of 100x60, 1 slabs, 3 at a time")


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (1, (0, 5), "size is 0x5; sides must lie in"),
        (1, (5, 16385), "size is 5x16385; sides must lie in"),
        (2**30, (5, 5), "1073741824 splats are too many for the GPU; .* Split the scene"),
    ],
)
def test_what_the_kernels_cannot_index(count, size, message):
    with pytest.raises(InputError, match=message):
        SplatPlan.of(count, 1, size)
