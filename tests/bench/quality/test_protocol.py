import pytest

from geolrm.bench.quality import DEFAULT_VIEWS, TARGET_GROUPS, TARGETS, input_frames
from geolrm.bench.quality.protocol import expected_group
from geolrm.engine.errors import InputError

EXPECTED = {
    4: [0, 6, 12, 18],
    6: [0, 4, 8, 12, 16, 20],
    8: [0, 3, 6, 9, 12, 15, 18, 21],
    12: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22],
    16: [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22],
    20: [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22],
}


def test_default_inputs_are_the_formula_itself():
    assert tuple(EXPECTED) == DEFAULT_VIEWS
    for count, frames in EXPECTED.items():
        assert input_frames(count) == frames == [24 * i // count for i in range(count)]


@pytest.mark.parametrize("count", range(1, 21))
def test_targets_are_never_inputs(count):
    frames = input_frames(count)
    assert len(set(frames)) == count
    assert not set(frames) & set(TARGETS)
    assert all(0 <= frame < 24 for frame in frames)
    for index, frame in enumerate(frames):  # what moved went to the next free frame
        wanted = 24 * index // count
        passed = [(wanted + step) % 24 for step in range((frame - wanted) % 24)]
        assert all(other in TARGETS or other in frames[:index] for other in passed)


def test_a_frame_that_is_a_target_gives_way():
    assert 24 * 5 // 7 == 17 and input_frames(7) == [0, 3, 6, 10, 13, 18, 20]


@pytest.mark.parametrize("count", [0, 21, 24, True, 2.5, "6"])
def test_other_numbers_of_views_are_refused(count):
    with pytest.raises(InputError, match=r"views were asked for; .* so give 1 to 20"):
        input_frames(count)


def test_groups():
    assert (5, 11, 17, 23, *range(24, 38)) == TARGETS
    assert {group: len(frames) for group, frames in TARGET_GROUPS.items()} == {
        "orbit_up": 4, "orbit_level": 12, "top": 1, "bottom": 1,
    }  # fmt: skip
    assert [expected_group(frame) for frame in (0, 5, 23, 24, 35, 36, 37)] == [
        "orbit_up", "orbit_up", "orbit_up", "orbit_level", "orbit_level", "top", "bottom",
    ]  # fmt: skip
