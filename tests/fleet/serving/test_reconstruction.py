"""Jobs in the thread that calls, without a server."""

import tempfile
import threading
import time
from pathlib import Path

import pytest
from samples.served_captures import box_view, box_zip, zipped

from geolrm.fleet.serving.jobs import Job, LiveStep, LiveView, LostSessionError
from geolrm.fleet.serving.reconstruction import Reconstructor
from geolrm.fleet.serving.refusals import FAULT, Refusal
from geolrm.fleet.serving.settings import Limits


def job(archive, seconds=60.0, **options):
    return Job(archive, "spz", {"refine_steps": 0} | options, "4", time.time() + seconds, "id")


@pytest.fixture
def reconstructor(engine):
    return Reconstructor(engine, Limits(live=2, seconds=30))


def ignore(stage):
    pass


def test_a_job_leaves_nothing_and_tells_its_stages(reconstructor, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told = []
    made = reconstructor.reconstruct(job(box_zip()), told.append, threading.Event())
    assert told[:3] == ["unpack", "read", "prepare"] and told[-1] == "write"
    assert (made.views, made.format) == (4, "spz") and len(made.content) > 100
    assert list(made.seconds)[-1] == "total"
    with pytest.raises(Refusal, match="is no capture") as refused:
        reconstructor.reconstruct(job(zipped({"a.txt": b"x"})), ignore, threading.Event())
    assert str(tmp_path) not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("why", ["late", "left"])
def test_a_job_that_nobody_waits_for_ends(reconstructor, why):
    left, told = threading.Event(), []

    def tell(stage):
        told.append(stage)
        if stage == "encode" and why == "left":
            left.set()

    with pytest.raises(Refusal, match="longer than the 30 s that this server gives one") as refused:
        reconstructor.reconstruct(job(box_zip(), 60 if why == "left" else -1), tell, left)
    assert refused.value.status == 504
    assert told == ([] if why == "late" else ["unpack", "read", "prepare", "encode"])


def test_options_are_checked_before_any_work(reconstructor):
    told = []
    with pytest.raises(Refusal, match="max_tokens is 0; it must be a whole number"):
        reconstructor.reconstruct(job(b"", max_tokens=0), told.append, threading.Event())
    assert told == []


def test_a_fault_is_told_to_the_log_alone(reconstructor, monkeypatch, capsys):
    def broken(*_, **__):
        raise KeyError("secret")

    monkeypatch.setattr("geolrm.fleet.serving.reconstruction.write", broken)
    with pytest.raises(Refusal, match=FAULT) as refused:
        reconstructor.reconstruct(job(box_zip()), ignore, threading.Event())
    assert refused.value.status == 500


def step(session, start, count, **options):
    views = [LiveView(*box_view(index), None, 50.0) for index in range(start, start + count)]
    options = {"refine_steps": 0} | options
    return LiveStep(session, start, views, options, time.time() + 60, "id")


def grow(reconstructor, *arguments, **options):
    return reconstructor.grow(step(*arguments, **options), ignore, threading.Event())


def test_live_captures_are_kept_as_long_as_there_is_room(reconstructor):
    first = [grow(reconstructor, "a", index, 1) for index in range(2)]
    assert [made.views for made in first] == [1, 2]
    assert grow(reconstructor, "b", 0, 2).content == first[1].content  # all again, the same
    grow(reconstructor, "a", 0, 1)
    grow(reconstructor, "c", 0, 1)  # b was the longest without a view
    with pytest.raises(LostSessionError):
        grow(reconstructor, "b", 2, 1)
    with pytest.raises(LostSessionError):
        grow(reconstructor, "a", 2, 1)  # which has one
    reconstructor.forget("a")
    with pytest.raises(LostSessionError):
        grow(reconstructor, "a", 1, 1)


def test_a_view_that_is_refused_is_not_there(reconstructor):
    grow(reconstructor, "a", 0, 1)
    with pytest.raises(Refusal, match="max_tokens is 0"):
        grow(reconstructor, "a", 1, 1, max_tokens=0)
    bad = LiveStep("a", 1, [LiveView(*box_view(1), None, 50.0), LiveView(b"x", [], None, 50.0)],
                   {"refine_steps": 0}, time.time() + 60, "id")  # fmt: skip
    with pytest.raises(Refusal, match="the view's image cannot be decoded"):
        reconstructor.grow(bad, ignore, threading.Event())
    assert grow(reconstructor, "a", 1, 1).views == 2
    assert not [path for path in Path(tempfile.gettempdir()).glob("geolrm-live*")]
