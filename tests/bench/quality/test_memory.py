"""Peak memory is that of the run that was asked for."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

from geolrm.bench.quality import memory
from geolrm.bench.quality.memory import run_peak_bytes


def test_the_child_opens_the_engine_that_was_asked_for(monkeypatch, capsys):
    opened = {}

    def open_engine(model, **options):
        opened.update(options, model=model)
        return SimpleNamespace(run=lambda *_, **__: None)

    def run_here(command, **_):
        memory.main(command[-1])
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out)

    capture = SimpleNamespace(subset=lambda frames: SimpleNamespace(images=[], cameras=None))
    monkeypatch.setattr("geolrm.engine.engine.Engine", open_engine)
    monkeypatch.setattr("geolrm.engine.captures.load_capture", lambda path: capture)
    monkeypatch.setattr(memory.subprocess, "run", run_here)
    peak = run_peak_bytes("bundle", Path("ball"), [0], backend="tensorrt", threads=3)
    assert peak is None or peak >= 0
    assert opened == {"model": "bundle", "backend": "tensorrt", "threads": 3}
