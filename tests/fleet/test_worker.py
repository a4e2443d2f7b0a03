"""A worker on the bundled model: the bits of a run, and what it makes of every kind of trouble."""

import dataclasses
import json
import os
import shutil
import threading

import pytest
from harness.processes import call_here
from samples.small_captures import write_capture, zip_capture

from geolrm import Engine, Gaussians, InputError
from geolrm.fleet.attempts import ENDED
from geolrm.fleet.destination import Destination
from geolrm.fleet.records import BUSY, DONE, FAILED, Record
from geolrm.fleet.sources import Source
from geolrm.fleet.tasks import Outcome, Task, WorkerSettings, source_stamp
from geolrm.fleet.worker import Worker


@pytest.fixture(scope="module")
def engine():
    return Engine("mini", threads=1)


@pytest.fixture
def out(tmp_path):
    Destination(str(tmp_path / "out")).prepare()
    return tmp_path / "out"


@pytest.fixture
def worker_of(out, engine):
    def make(call="first", **settings):
        made = Worker(
            WorkerSettings(str(out), "mini", "digest", pages=False, call=call, **settings)
        )
        made._engine = engine
        return made

    return make


@pytest.fixture
def task(captures, quick):
    return Task(Source("a", str(captures / "a"), quick))


def with_options(task, **options):
    changed = dataclasses.replace(task.source.options, **options)
    return dataclasses.replace(task, source=dataclasses.replace(task.source, options=changed))


def test_a_result_has_the_bits_of_a_run(worker_of, task, out, captures, tmp_path):
    outcome = worker_of().attempt(task)
    record = outcome.record
    assert not outcome.again and record.status == DONE and record.attempts == 1
    done = call_here("geolrm", "run", captures / "a", "-o", tmp_path / "a.ply", "--views", 2,
                     "--max-tokens", 32, "--refine", 0, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (out / record.splats).read_bytes() == (tmp_path / "a.ply").read_bytes()
    told = json.loads(done.stdout)
    assert list(record.views) == told["views"] and record.gaussians == told["gaussians"]
    stages = ["fetch", "read", "prepare", "encode", "propose", "select", "reconstruct", "write"]
    assert [*record.seconds] == [*stages, "total"]
    parts = [seconds for name, seconds in record.seconds.items() if name != "total"]
    assert record.seconds["total"] == pytest.approx(sum(parts), abs=1e-5)
    assert 5 < record.psnr < 60 and record.peak_memory_mb > 50 and record.node
    assert record.options == {"views": "2", "max_tokens": 32, "refine": 0}
    assert Record.from_json((out / "captures/a.json").read_text()) == record
    assert sorted(path.name for path in (out / "captures").iterdir()) == [
        "a.json", "a.ply", "a.webp"
    ]  # fmt: skip
    assert not [*(out / ".locks").iterdir(), *(out / ".attempts").iterdir()]


def test_a_zip_file_has_the_bits_of_its_folder(worker_of, task, out, captures, tmp_path):
    first = worker_of().attempt(task).record
    file = zip_capture(captures / "a", tmp_path / "z.zip")
    packed = Task(Source("z", str(file), task.source.options))
    second = worker_of().attempt(packed).record
    assert (out / first.splats).read_bytes() == (out / second.splats).read_bytes()


@pytest.fixture
def runs(monkeypatch, engine):
    """Count runs of the engine, in place of most of what they do."""
    counted = []
    run = type(engine).run

    def counting(self, images, cameras, **options):
        counted.append(len(images))
        return run(self, images, cameras, **options)

    monkeypatch.setattr(type(engine), "run", counting)
    return counted


def test_what_is_done_is_done_again_only_where_it_changed(worker_of, task, out, captures, runs):
    record = worker_of().attempt(task).record
    assert worker_of("second").attempt(task).record == record and len(runs) == 1
    image = next((captures / "a").rglob("*.png"))
    os.utime(image, ns=(1, 1))
    kept = worker_of("third").attempt(task).record  # the same bytes with another time
    assert kept == dataclasses.replace(record, stamp=kept.stamp) and len(runs) == 1
    assert kept.stamp == source_stamp(task.source, worker_of().settings) != record.stamp
    changed = worker_of("fourth").attempt(with_options(task, seed=1)).record
    assert changed.call == "fourth" and changed.content_hash != record.content_hash
    (captures / "a" / "note.txt").write_text("more")
    assert worker_of("fifth").attempt(task).record.call == "fifth" and len(runs) == 3
    (out / "captures/a.ply").unlink()
    assert worker_of("sixth").attempt(task).record.call == "sixth" and len(runs) == 4
    other = worker_of("seventh", backend="onnxruntime").attempt(task).record
    assert other.call == "seventh" and len(runs) == 5


def test_another_format_takes_the_place_of_the_first(worker_of, task, out):
    worker_of().attempt(task)
    other = with_options(task, format=".spz", world=True, spz_version=4)
    record = worker_of("second").attempt(other).record
    names = sorted(path.name for path in (out / "captures").iterdir())
    assert names == ["a.json", "a.spz", "a.webp"]
    assert (out / record.splats).read_bytes()[:5] == b"NGSP\x04"
    assert len(Gaussians.load(out / record.splats)) == record.gaussians


def test_a_replaced_worker_does_nothing_twice(worker_of, task, runs):
    record = worker_of().attempt(task).record
    assert worker_of().attempt(task) == Outcome(record) and len(runs) == 1


def test_a_capture_that_is_wrong_fails_at_once(worker_of, task, captures):
    (captures / "a" / "transforms.json").write_text("{")
    outcome = worker_of().attempt(task)
    assert outcome.record.status == FAILED and not outcome.again
    assert "transforms.json" in outcome.record.error and outcome.record.attempts == 1
    missing = Task(Source("n", str(captures / "none"), task.source.options))
    said = worker_of().attempt(missing).record.error
    assert said == f"{str(captures / 'none')!r} is not there; check the path"
    wrong = worker_of("second").attempt(with_options(task, max_tokens=0))
    assert wrong.record.status == FAILED
    image = next((captures / "b").rglob("*.png"))
    image.write_bytes(b"no image")  # its reader raises an OSError
    broken = worker_of().attempt(Task(Source("b", str(captures / "b"), task.source.options)))
    assert broken.record.status == FAILED and not broken.again and image.name in broken.record.error


@pytest.mark.parametrize("error", [ConnectionError("reset"), RuntimeError("HTTP 503")])
def test_a_storage_that_fails_is_asked_three_times(worker_of, task, monkeypatch, error):
    """Whatever it raises: few storages raise an OSError."""

    def fails(*_, **__):
        raise error

    files = type(Destination("/").location.files)
    worker = worker_of()
    monkeypatch.setattr(files, "isfile", fails)
    outcomes = [worker.attempt(task) for _ in range(3)]
    assert [outcome.again for outcome in outcomes] == [True, True, False]
    said = f"{task.source.url!r} cannot be read: {error}"
    assert [outcome.record.error for outcome in outcomes] == [said] * 3


def test_a_call_that_is_through_with_a_capture_begins_it_no_more(
    worker_of, task, monkeypatch, engine, captures
):
    """A block of several captures runs again whole while one of them is to be tried again."""
    begun = []

    def fails(*_, **__):
        begun.append(1)
        raise RuntimeError("weather")

    monkeypatch.setattr(type(engine), "run", fails)
    block = [Task(Source(name, str(captures / name), task.source.options)) for name in "abc"]
    for _ in range(30):  # as Ray runs it, until nothing asks for another time
        for each in block:
            outcome = worker_of().attempt(each)
            if outcome.again:
                break
        else:
            break
    assert len(begun) == 9 and outcome.record.attempts == 3
    assert worker_of("second").attempt(task).again and len(begun) == 10


def test_a_redo_that_is_killed_is_not_taken_for_what_it_replaced(
    worker_of, task, out, monkeypatch, runs
):
    first = worker_of().attempt(task).record
    whole = (out / first.splats).read_bytes()

    def killed(destination, name, *_, **__):
        (out / first.splats).write_bytes(b"splats of another seed")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("geolrm.fleet.worker.write_result", killed)
        with pytest.raises(KeyboardInterrupt):
            worker_of("second").attempt(with_options(task, seed=1))
    left = Record.from_json((out / "captures/a.json").read_text())
    assert (left.status, left.error) == (FAILED, "its call ended while it was written")
    assert left.files == first.files
    again = worker_of("third").attempt(task).record
    assert again.call == "third" and (out / again.splats).read_bytes() == whole and len(runs) == 3


def test_a_redo_that_fails_still_knows_the_files_that_it_would_have_replaced(
    worker_of, task, out, monkeypatch, engine
):
    first = worker_of().attempt(task).record

    def wrong(*_, **__):
        raise InputError("too small")

    with monkeypatch.context() as patch:
        patch.setattr(type(engine), "run", wrong)
        failed = worker_of("second").attempt(with_options(task, format=".spz")).record
    assert failed.status == FAILED and failed.files == first.files
    worker_of("third").attempt(with_options(task, format=".spz"))
    names = sorted(path.name for path in (out / "captures").iterdir())
    assert names == ["a.json", "a.spz", "a.webp"]


def test_what_may_be_chance_is_tried_three_times(worker_of, task, monkeypatch, engine, captures):
    def fails(*_, **__):
        raise RuntimeError("weather")

    with monkeypatch.context() as patch:
        patch.setattr(type(engine), "run", fails)
        outcomes = [worker_of().attempt(task) for _ in range(3)]
    assert [outcome.again for outcome in outcomes] == [True, True, False]
    assert [outcome.record.attempts for outcome in outcomes] == [1, 2, 3]
    assert outcomes[2].record.error.startswith("unexpected RuntimeError in test_worker.py:")
    assert outcomes[2].record.error.endswith(": weather")
    write_capture(captures / "a")
    assert worker_of("second").attempt(task).record.status == DONE
    assert worker_of("second").attempt(task).record.attempts == 1


def test_a_capture_that_ends_its_workers_is_given_up(worker_of, task, monkeypatch, runs):
    for _ in range(3):  # what a killed worker leaves
        prepared = worker_of().prepare(task)
        assert prepared.outcome is None
        prepared.open.close()
    outcome = worker_of().attempt(task)
    assert outcome.record.error == ENDED and outcome.record.attempts == 3
    assert not outcome.again and runs == []
    assert worker_of("second").attempt(task).record.status == DONE


def test_what_ended_a_worker_has_the_next_one_alone(worker_of, task, out, captures, quick):
    """So that what is beside it is not given up with it."""
    (out / ".attempts" / "b").write_text("first 1")
    worker = worker_of()
    first = worker.prepare(task)
    other = Task(Source("b", str(captures / "b"), quick))
    prepared = []
    waiting = threading.Thread(target=lambda: prepared.append(worker.prepare(other)))
    waiting.start()
    waiting.join(0.2)
    assert prepared == [] and (out / ".attempts" / "b").read_text() == "first 1"
    worker.finish(first)
    waiting.join(10)
    assert (out / ".attempts" / "b").read_text() == "first 2"
    assert worker.finish(prepared[0]).record.attempts == 2


def test_out_of_memory_says_what_takes_less(worker_of, task, monkeypatch, engine):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(type(engine), "run", full)
    said = worker_of().attempt(task).record.error
    assert said == ("out of memory; use fewer views, fewer workers, or a machine with more memory")


def test_what_another_call_has_is_left_or_waited_for(worker_of, task, out, monkeypatch, runs):
    with Destination(str(out)).hold("capture-a", 0):
        outcome = worker_of("second").attempt(task)
        assert outcome.record.status == BUSY and not (out / "captures/a.json").exists()
        monkeypatch.setattr("geolrm.fleet.worker.PATIENCE", 0.1)
        (out / "captures/a.json").write_text("the holder's")
        waited = worker_of("second").attempt(dataclasses.replace(task, wait=True))
        assert waited.record.error == "another call writes 'capture-a'; wait for it"
        assert waited.record.status == BUSY and not waited.again
        assert (out / "captures/a.json").read_text() == "the holder's"
        assert os.listdir(out / ".attempts") == []
    first = worker_of("first").attempt(task).record
    assert worker_of("second").attempt(dataclasses.replace(task, wait=True)).record == first
    assert len(runs) == 1


def test_who_leaves_waits_no_more(worker_of, task, out):
    worker, prepared = worker_of(), []
    waits = dataclasses.replace(task, wait=True)
    with Destination(str(out)).hold("capture-a", 0):
        waiting = threading.Thread(target=lambda: prepared.append(worker.prepare(waits)))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        worker.leave()
        waiting.join(10)
    assert prepared[0].outcome.record.status == BUSY


def test_an_output_that_cannot_be_written_ends_the_call(worker_of, task, out):
    shutil.rmtree(out)
    out.write_text("")
    with pytest.raises((InputError, OSError)):
        worker_of().attempt(task)


def test_images_are_decoded_before_the_engine_needs_them(worker_of, task, monkeypatch):
    from geolrm.fleet import worker

    decoded = []

    class Images:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            decoded.append(index)

        def decode(self):
            decoded.append("all")

    worker._decode(Images(), 1)
    worker._decode(Images(), 2)
    assert decoded == [0, 1, 2, "all"]
