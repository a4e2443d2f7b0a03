import pytest

from geolrm.engine.cuda.radix_sort import counts_bytes, sort_calls, sort_parts

AT = dict.fromkeys(["keys", "ids", "other_keys", "other_ids", "counts", "visible"], 0)
AT = {name: 256 * (index + 1) for index, name in enumerate(AT)}


@pytest.mark.parametrize(
    ("count", "parts"), [(0, 1), (1, 1), (4096, 1), (4097, 2), (1 << 20, 256), (1 << 28, 256)]
)
def test_blocks_of_a_row(count, parts):
    assert sort_parts(count) == parts
    assert counts_bytes(count, 3) == 3 * parts * 1024


def test_four_passes_go_there_and_back():
    calls = sort_calls(AT, 5000, rows=2)
    assert [call.entry for call in calls] == ["count_keys", "scatter_keys"] * 4
    read = [call.arguments[0] for call in calls[::2]]
    assert read == [AT["keys"], AT["other_keys"]] * 2
    assert [int(call.arguments[3]) for call in calls[::2]] == [0, 8, 16, 24]
    assert all(call.launch.grid == (2, 2, 1) for call in calls)
    for call in calls[1::2]:  # out of the one pair, into the other
        assert {call.arguments[0], call.arguments[-2]} == {AT["keys"], AT["other_keys"]}


def test_no_keys_still_count_what_is_kept():
    calls = sort_calls(AT, 0, shifts=(0, 8))
    assert len(calls) == 4 and all(0 not in call.launch.grid for call in calls)
