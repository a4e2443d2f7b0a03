"""Peak memory is that of the run that was asked for."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from geolrm.bench.quality import memory
from geolrm.bench.quality.dataset import load_subject
from geolrm.bench.quality.input_changes import InputChanges
from geolrm.bench.quality.memory import run_peak_bytes


@pytest.fixture
def here(monkeypatch, capsys):
    """The child's work in this process, with an engine that keeps what it is given."""
    given = {}

    def run(images, cameras, **options):
        given.update(images=images, cameras=cameras, run=options)

    def open_engine(model, **options):
        given.update(opened={**options, "model": model})
        return SimpleNamespace(run=run)

    def run_here(command, **_):
        memory.main(command[-1])
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out)

    monkeypatch.setattr("geolrm.engine.engine.Engine", open_engine)
    monkeypatch.setattr(memory.subprocess, "run", run_here)
    return given


def test_the_child_opens_the_engine_that_was_asked_for(here, dataset):
    peak = run_peak_bytes("bundle", dataset / "ball", [0], backend="tensorrt", threads=3)
    assert peak is None or peak >= 0
    assert here["opened"] == {"model": "bundle", "backend": "tensorrt", "threads": 3}


def test_the_child_is_given_the_changed_views(here, dataset):
    frames = [0, 4, 8]
    changes = InputChanges(1.0, 0.02, cut=0.3, exposure=0.5)
    run_peak_bytes(
        "bundle", dataset / "ball", frames, changes=changes, changes_seed=7, seed=2, threads=1
    )
    plain = load_subject("ball", dataset / "ball").capture.subset(frames)
    expected = changes.apply(plain, 7)
    for image, other in zip(here["images"], expected.images, strict=True):
        np.testing.assert_array_equal(image, other)
    np.testing.assert_array_equal(here["cameras"].c2w, expected.cameras.c2w)
    np.testing.assert_array_equal(here["cameras"].intrinsics, expected.cameras.intrinsics)
    assert here["run"] == {"valid": None, "seed": 2, "quality": None, "refine_steps": None}
