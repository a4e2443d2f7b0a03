import dataclasses

from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.sources import Source
from geolrm.fleet.tasks import Task, WorkerSettings, source_stamp


def test_a_task_goes_through_text():
    task = Task(Source("a", "/captures/a", CaptureOptions(views="4", refine=3)), wait=True)
    assert Task.from_json(task.to_json()) == task
    options = CaptureOptions(quality=2.5, fit=False, format=".spz", spz_version=4)
    full = Task(Source("\u00fc b", "s3://bucket/\u00fc b", options))
    assert Task.from_json(full.to_json()) == full


def test_a_stamp_changes_with_all_that_decides_on_a_result(tmp_path):
    """Without a look into the files: their sizes and times say enough."""
    (tmp_path / "a.png").write_bytes(b"1")
    source = Source("a", str(tmp_path), CaptureOptions())
    settings = WorkerSettings("out", "mini", "digest")
    stamp = source_stamp(source, settings)
    assert stamp == source_stamp(dataclasses.replace(source, id="b"), settings)
    assert stamp == source_stamp(source, dataclasses.replace(settings, call="other", threads=3))
    others = [
        (dataclasses.replace(source, options=CaptureOptions(seed=1)), settings),
        (source, dataclasses.replace(settings, model_digest="other")),
        (source, dataclasses.replace(settings, backend="cuda")),
        (source, dataclasses.replace(settings, pages=False)),
    ]
    stamps = {source_stamp(*each) for each in others}
    (tmp_path / "a.png").write_bytes(b"12")
    assert len({stamp, source_stamp(source, settings)} | stamps) == 6
