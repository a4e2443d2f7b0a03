import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.rendering.gradient_plan import ROW_BYTES, GradientPlan
from geolrm.engine.rendering.splat_plan import ALIGNMENT, SplatPlan


@given(st.integers(0, 3_000_000), st.integers(1, 2000), st.integers(1, 2000))
def test_one_slab_of_all_and_arrays_that_do_not_overlap(count, width, height):
    plan = GradientPlan.of(count, (width, height))
    assert plan.splats.slabs == ((0, count),) and plan.splats.group == 1
    assert 32 * plan.splats.words >= count
    at = plan.addresses(0)
    end = 0
    for layout in (plan.splats.layout, plan.layout):
        for name, (offset, size) in layout.items():
            assert at[name] == offset and offset % ALIGNMENT == 0 and offset >= end
            end = offset + size
    assert end <= plan.nbytes


def test_slabs_are_as_before_where_it_does_not_go_back():
    assert len(SplatPlan.of(3_000_000, 1, (64, 64)).slabs) > 1


def test_groups_hold_all_tiles_within_the_budget():
    plan = GradientPlan.of(100, (32 * 4, 32 * 2))
    offsets = np.array([0, 3, 3, 9, 10, 30, 31, 31, 35], np.int64)
    groups = list(plan.groups(offsets, 10 * ROW_BYTES))
    assert groups == [(0, 4), (4, 5), (5, 8)]  # the fifth alone is more than the budget
    assert list(plan.groups(offsets, 1000 * ROW_BYTES)) == [(0, 8)]
    assert list(plan.groups(offsets * 0, 1)) == [(0, 8)]
