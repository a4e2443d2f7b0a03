import io

import pytest

from geolrm.training import progress
from geolrm.training.progress import Progress, line


def record(step, **terms):
    return {"step": step, "total": 1.25, "seconds": 2.0, **terms}


def test_a_line_says_where_the_run_stands():
    shown = line(record(9, mse=0.01234, iou=0.5, other=3), 4000, 2.0)
    assert shown == "step 10/4000  loss 1.250  mse 0.0123  iou 0.5000  2.00 s/step  2:13:00 to go"
    refined = line(record(9, mse=0.01234, gain=-0.5, mse_before=3), 20, 2.0)
    assert refined == "step 10/20  loss 1.250  mse 0.0123  gain -0.5000  2.00 s/step  0:00:20 to go"


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_come_now_and_then_and_at_the_end(monkeypatch, quiet):
    now = iter([100.0, 101.0, 104.9, 105.0, 105.1])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = io.StringIO()
    told = Progress(5, quiet, stream)
    for step in range(5):
        told(record(step))
    steps = [text.split()[1] for text in stream.getvalue().splitlines()]
    assert steps == ([] if quiet else ["1/5", "4/5", "5/5"])


def test_the_pace_is_averaged():
    told = Progress(9, quiet=True)
    told(record(0))
    told({**record(1), "seconds": 4.0})
    assert told.seconds == pytest.approx(0.95 * 2 + 0.05 * 4)
