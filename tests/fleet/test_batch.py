"""Whole batches in one process: what is done, done again, and left alone; what dies on the way."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time

import fsspec
import pytest
from harness.processes import BIN
from pyarrow import parquet
from samples.small_captures import write_capture, write_captures

from geolrm import BundleError, GeoLRMError, InputError
from geolrm.fleet.batch import model_digest, plan, publish, run_batch
from geolrm.fleet.destination import Destination
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.ray_pool import PoolSettings
from geolrm.fleet.records import BUSY, DONE, FAILED, Record, read_lines
from geolrm.fleet.sources import find_sources
from geolrm.fleet.tasks import WorkerSettings

QUICK = CaptureOptions(views="2", max_tokens=32, refine=0)
FLAGS = ("--local", "--views", "2", "--max-tokens", "32", "--refine", "0", "--no-view")


def run(captures, out, **settings):
    return run_batch([captures], out, options=QUICK, local=True, threads=1, **settings)


def test_a_second_call_does_what_is_missing_or_failed(tmp_path, captures):
    (captures / "b" / "transforms.json").write_text("{")
    told = []
    first = run(
        captures, tmp_path / "out", pages=True, report=lambda r, p: told.append((r, str(p)))
    )
    assert (first.total, first.done, first.failed, first.kept) == (3, 2, 1, 0)
    assert [record and record.id for record, _ in told] == [None, "a", "b", "c"]
    assert told[0][1] == "0 of 3" and told[3][1].startswith("3 of 3, 1 failed, ")
    assert first.failures[0].id == "b" and "transforms.json" in first.failures[0].error
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == [
        "index.html", "results.jsonl", "results.parquet"
    ]  # fmt: skip
    assert (out / "captures/a.html").read_text().startswith("<!doctype html>")
    times = {path: path.stat().st_mtime_ns for path in (out / "captures").glob("[ac].*")}
    write_capture(captures / "b", first=1)
    second = run(captures, out, pages=True)
    assert (second.done, second.failed, second.kept) == (1, 0, 2)
    assert times == {path: path.stat().st_mtime_ns for path in (out / "captures").glob("[ac].*")}
    lines = read_lines((out / "results.jsonl").read_text())
    assert {name: record.status for name, record in lines.items()} == dict.fromkeys("abc", DONE)
    table = parquet.read_table(out / "results.parquet").to_pylist()
    assert [row["id"] for row in table] == ["a", "b", "c"] and all(row["psnr"] for row in table)
    assert "3 reconstructed, 0 failed" in (out / "index.html").read_text()
    third = run(captures, out, pages=True)
    assert (third.done, third.kept) == (0, 3) and third.per_minute is None


def test_anywhere_to_anywhere(captures, tmp_path):
    storage = fsspec.filesystem("memory")
    storage.put(str(captures / "a"), "/shelf/a", recursive=True)
    try:
        summary = run("memory://shelf", "memory://results", pages=False)
        assert summary.done == 1 and summary.output == "memory:///results"
        assert run("memory://shelf", "memory://results", pages=False).kept == 1
        run(captures / "a", tmp_path / "out", pages=False)
        ours = storage.cat_file("/results/captures/a.ply")
        assert ours == (tmp_path / "out/captures/a.ply").read_bytes()
        assert sorted(path.rsplit("/", 1)[1] for path in storage.find("/results")) == [
            "a.json", "a.ply", "a.webp", "index.html", "results.jsonl", "results.parquet"
        ]  # fmt: skip
    finally:
        for folder in ("/shelf", "/results"):
            storage.rm(folder, recursive=True)


def test_a_plan_reads_no_images(tmp_path, captures, monkeypatch):
    run(captures, tmp_path / "out", pages=False)
    monkeypatch.setattr("geolrm.fleet.fetching.content_hash", lambda *_: pytest.fail("it reads"))
    settings = WorkerSettings(str(tmp_path / "out"), "mini", model_digest("mini"), pages=False)
    destination = Destination(str(tmp_path / "out"))
    sources = find_sources([str(captures)], QUICK)
    kept, tasks = plan(sources, settings, destination)
    assert sorted(kept) == ["a", "b", "c"] and tasks == []
    (tmp_path / "out/captures/b.webp").unlink()
    (tmp_path / "out/captures/c.json").write_text("damaged")
    kept, tasks = plan(sources, settings, destination)
    assert sorted(kept) == ["a"] and [task.source.id for task in tasks] == ["b", "c"]
    _, tasks = plan(find_sources([str(captures)], CaptureOptions(seed=1)), settings, destination)
    assert len(tasks) == 3


def test_tables_keep_what_other_calls_added(tmp_path):
    destination = Destination(str(tmp_path))
    destination.prepare()
    publish(destination, [Record("a", "", DONE), Record("b", "", FAILED, error="no")])
    publish(destination, [Record("b", "", DONE), Record("c", "", DONE)])
    lines = read_lines(destination.read("results.jsonl"))
    assert {name: record.status for name, record in lines.items()} == dict.fromkeys("abc", DONE)


def test_of_two_records_of_a_capture_the_later_one_stands_in_the_table(tmp_path):
    """Whoever publishes last: records that were kept may be older than another call's."""
    destination = Destination(str(tmp_path))
    destination.prepare()
    old = Record("a", "", DONE, call="1", finished="2026-11-29T01:00:00.000+00:00")
    new = Record("a", "", DONE, call="2", finished="2026-11-29T01:00:00.001+00:00")
    for first, second in ((old, new), (new, old)):
        destination.remove("results.jsonl")
        publish(destination, [first])
        publish(destination, [second, Record("b", "", BUSY, error="another call has it")])
        assert read_lines(destination.read("results.jsonl")) == {"a": new}


def test_a_table_that_cannot_be_written_meanwhile_ends_nothing(tmp_path, captures, monkeypatch):
    def fails_but_last(destination, records):
        called.append(len([*records]))
        if len(called) < 3:
            raise GeoLRMError("another call writes 'results'; wait for it")

    called = []
    monkeypatch.setattr("geolrm.fleet.batch.PUBLISH_SECONDS", -1e9)
    monkeypatch.setattr("geolrm.fleet.batch.publish", fails_but_last)
    monkeypatch.setattr(
        "geolrm.fleet.batch._run",
        lambda tasks, *_: (Record(each.source.id, "", FAILED, error="no") for each in tasks[:2]),
    )
    assert run(captures, tmp_path / "out").failed == 2 and called == [1, 2, 2]
    called.clear()
    monkeypatch.setattr("geolrm.fleet.batch.PUBLISH_SECONDS", 1e9)
    with pytest.raises(GeoLRMError, match=r"^another call writes 'results'"):  # the last one
        run(captures, tmp_path / "out")


def test_without_locks_the_last_table_is_of_the_records(monkeypatch, captures):
    """A line that another call's table has lost is found again."""
    storage = fsspec.filesystem("memory")
    lost = Record("other", "/other", DONE, finished="2026")
    storage.pipe_file("/table/captures/other.json", lost.to_json().encode())
    monkeypatch.setattr("geolrm.fleet.batch._run", lambda tasks, *_: iter(()))
    try:
        run(captures, "memory://table")
        lines = read_lines(storage.cat_file("/table/results.jsonl").decode())
        assert lines == {"other": lost}
    finally:
        storage.rm("/table", recursive=True)


def test_an_output_in_an_input_is_not_taken_for_a_capture(tmp_path, captures, monkeypatch):
    monkeypatch.setattr("geolrm.fleet.batch._run", lambda tasks, *_: iter(()))
    (captures / "out/captures").mkdir(parents=True)
    (captures / "out/captures/a.webp").write_bytes(b"thumbnail")
    assert run(captures, captures / "out").total == 3


@pytest.mark.parametrize(
    "asked",
    [{"address": "auto"}, {"workers": (2, 2)}, {"cores": 2}, {"gpus": 1}],
)
def test_what_ray_alone_has_is_refused_without_it(tmp_path, captures, monkeypatch, asked):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(GeoLRMError) as raised:
        run_batch([captures], tmp_path / "out", pool=PoolSettings(**asked))
    assert str(raised.value) == (
        "--address, --workers, --cores or --gpus needs ray, which is not installed; run: pip "
        "install 'geolrm[fleet]', or leave them out"
    )
    assert not (tmp_path / "out").exists()


def test_what_cannot_begin_is_refused_before_anything(tmp_path, captures):
    with pytest.raises(BundleError):
        run(captures, tmp_path / "out", model=tmp_path / "none")
    with pytest.raises(InputError):
        run(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def start(captures, out, *flags):
    command = [str(BIN / "geolrm"), "batch", str(captures), "-o", str(out), *FLAGS, *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def written(out):
    return {path.stem for path in (out / "captures").glob("*.json")}


@pytest.mark.long  # ten seconds of three processes; the bench kills more
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_call_is_gone_on_with_and_ray_is_not_imported(tmp_path):
    """Within what is being written, most likely; the bits are those of a call that ran through."""
    captures = write_captures(tmp_path / "captures", "abcd")
    out = tmp_path / "out"
    process = start(captures, out)
    while len(written(out)) < 1 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -9
    before = {path: path.stat().st_mtime_ns for path in (out / "captures").glob("*.json")}
    assert 1 <= len(before) < 4
    code = (
        "import sys\nfrom geolrm.fleet.batch import run_batch\n"
        "from geolrm.fleet.options import CaptureOptions\n"
        "options = CaptureOptions(views='2', max_tokens=32, refine=0)\n"
        f"made = run_batch([{str(captures)!r}], {str(out)!r}, options=options, local=True, "
        "pages=False)\n"
        "assert 'ray' not in sys.modules and 'pyarrow' in sys.modules\n"
        "print(made.done, made.kept)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(4 - len(before)), str(len(before))]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    run(captures, tmp_path / "whole", pages=False)
    for name in "abcd":
        ours = (out / "captures" / f"{name}.ply").read_bytes()
        assert ours == (tmp_path / "whole" / "captures" / f"{name}.ply").read_bytes()
    assert not list((out / "captures").glob(".*"))


def test_two_calls_at_once_share_the_work(tmp_path):
    captures = write_captures(tmp_path / "captures", "abcd")
    out = tmp_path / "out"
    calls = [start(captures, out, "--json") for _ in range(2)]
    told = [call.communicate(timeout=120) for call in calls]
    assert [call.returncode for call in calls] == [0, 0], told
    counts = [json.loads(out_) for out_, _ in told]
    assert sum(count["done"] for count in counts) == 4  # none twice
    assert all(count["done"] + count["kept"] == 4 for count in counts)
    lines = read_lines((out / "results.jsonl").read_text())
    assert [record.status for record in lines.values()] == [DONE] * 4
    assert not list((out / ".locks").iterdir()) and all(err == "" for _, err in told)
    assert os.listdir(out / ".attempts") == []
