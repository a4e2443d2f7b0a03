"""What a row of wrong poses says."""

import time

import pytest

from geolrm.bench.photos.wrong_poses import Row, measured


@pytest.mark.parametrize(("pays", "expected"), [(True, 30.0), (False, 25.0)])
def test_what_the_engine_would_have_chosen(pays, expected):
    row = Row("shoe", 12, 1.0, 25.0, 30.0, pays, 1.2, 3.0, 9.0, 6.0, 18.0, 0.1)
    assert row.auto == expected


def test_a_call_is_timed_on_the_wall_and_on_the_processor():
    result, seconds, busy = measured(lambda: time.sleep(0.05) or 7)
    assert result == 7 and 0.05 <= seconds < 5 and busy < seconds
