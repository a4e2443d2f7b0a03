import threading
import time

import pytest

from geolrm.fleet.serving.stage_clock import OverdueError, StageClock


def test_stages_are_told_and_summed():
    told = []
    clock = StageClock(told.append, time.time() + 60, threading.Event())
    for stage in ("encode", "refine", "encode"):
        with clock(stage):
            time.sleep(0.01)
    clock.pass_on("matching 1/3")
    assert told == ["encode", "refine", "encode", "matching 1/3"]
    timings = clock.timings()
    assert list(timings) == ["encode", "refine", "total"]
    assert timings["encode"] >= 0.02 and timings["total"] >= 0.03


@pytest.mark.parametrize("why", ["late", "left"])
def test_no_stage_begins_where_nobody_waits(why):
    left = threading.Event()
    clock = StageClock(lambda stage: None, time.time() + (0 if why == "late" else 60), left)
    if why == "left":
        left.set()
    time.sleep(0.001)
    with pytest.raises(OverdueError), clock("encode"):
        pytest.fail("it began")
    with pytest.raises(OverdueError):
        clock.pass_on("matching")
