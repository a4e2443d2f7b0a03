from geolrm.fleet.progress import Progress
from geolrm.fleet.records import DONE, FAILED, Record


def test_speed_and_what_is_left():
    now = [100.0]
    progress = Progress(1200, clock=lambda: now[0])
    progress.kept = 195
    assert str(progress) == "195 of 1,200, 195 done before"
    assert progress.per_minute is None and progress.remaining_seconds is None
    now[0] += 30  # a start that takes long
    progress.count(Record("a", "", DONE, call="this"), "this")
    assert progress.per_minute == 2
    for _ in range(3):
        now[0] += 1
        progress.count(Record("a", "", FAILED, call="this"), "this")
    now[0] += 1
    progress.count(Record("a", "", DONE, call="other"), "this")
    assert progress.per_minute == 60 and progress.remaining_seconds == 1000
    assert (progress.done, progress.failed, progress.kept) == (1, 3, 196)
    assert str(progress) == ("200 of 1,200, 196 done before, 3 failed, 60.0 a minute, 17 min left")


def test_long_times_are_in_hours():
    now = [0.0]
    progress = Progress(1000, clock=lambda: now[0])
    now[0] = 60
    progress.count(Record("a", "", DONE, call="this"), "this")
    assert str(progress) == "1 of 1,000, 1.0 a minute, 16 h 39 min left"


def test_the_last_captures_tell_the_speed():
    now = [0.0]
    progress = Progress(10_000, clock=lambda: now[0])
    for number in range(600):
        now[0] += 10 if number < 300 else 1
        progress.count(Record("a", "", DONE, call="this"), "this")
    assert progress.per_minute == 60
