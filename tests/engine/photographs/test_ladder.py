"""The ladder, over a double of the child process."""

import json
from itertools import pairwise

import numpy as np
import pytest

from geolrm import GeoLRMError, InputError
from geolrm.engine.photographs import ladder
from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.ladder import RUNGS, climb
from geolrm.engine.photographs.steps import Steps

NAMES = [f"{i}.png" for i in range(10)]
PHOTOGRAPHS = [Photograph(n, n, 40, 30, None, 0.3, (), False) for n in NAMES]
LARGE = [Photograph(n, n, 80, 60, None, 0.3, (), False) for n in NAMES]


class Colmap:
    """Poses as many photographs as each call of build is told to."""

    def __init__(self, sizes, size=(40, 30)):
        self.sizes, self.calls, self.size = list(sizes), [], size

    def __call__(self, job, log, progress=None, **arguments):
        self.calls.append((job, arguments))
        if job == "extract":
            return dict.fromkeys(NAMES, 500)
        if job == "strongest":
            rng = np.random.default_rng(0)
            arrays = {n: rng.integers(0, 255, (5, 128)).astype(np.uint8) for n in NAMES}
            np.savez(arguments["output"], **arrays)
            return None
        if job == "forget":
            return None
        if job == "match":
            return [[a, b, 50] for a, b in pairwise(NAMES)]
        posed = self.sizes.pop(0)
        if isinstance(posed, Exception):
            raise posed
        for number, names in enumerate(posed):
            self.write(arguments["output"], number, names)
        return len(posed)

    def write(self, folder, number, names):
        large = len([c for c in self.calls if c[0] == "extract"]) > 1
        width, height = (80, 60) if large else (40, 30)
        camera = {"model": "SIMPLE_RADIAL", "width": width, "height": height,
                  "params": [float(width), width / 2, height / 2, 0.1]}  # fmt: skip
        views = [{"name": n, "w2c": np.eye(4)[:3].tolist(), "points": 5, "camera": camera}
                 for n in names]  # fmt: skip
        from pathlib import Path

        content = {"views": views, "reprojection_error": 0.5}
        Path(folder, f"{number}.json").write_text(json.dumps(content))
        np.savez(Path(folder, f"{number}.npz"), xyz=np.zeros((1, 3)), rgb=np.zeros((1, 3), "u1"))


def go(tmp_path, monkeypatch, *sizes):
    colmap = Colmap(sizes)
    monkeypatch.setattr(ladder, "run_job", colmap)
    found = climb(Steps(tmp_path / "s"), PHOTOGRAPHS, tmp_path, lambda: (LARGE, tmp_path / "l"),
                  None, "key", 2, 0, lambda title: lambda done, total: None)  # fmt: skip
    return found, colmap


def test_enough_at_the_first_rung_ends_it(tmp_path, monkeypatch):
    found, colmap = go(tmp_path, monkeypatch, [NAMES])
    assert [rung["rung"] for rung in found.rungs] == [RUNGS[0].title]
    assert found.rungs[0]["posed"] == 10 and len(found.model) == 10 and found.others == ()
    assert [job for job, _ in colmap.calls] == ["extract", "strongest", "match", "build"]
    match = colmap.calls[2][1]
    assert not match["guided"] and match["threads"] == 2 and match["seed"] == 0
    assert found.verified["0.png"] == 1 and found.verified["5.png"] == 2


def test_each_rung_is_tried_and_told_and_the_best_kept(tmp_path, monkeypatch):
    found, colmap = go(tmp_path, monkeypatch, [NAMES[:4], NAMES[4:7]], [NAMES[:6]], [NAMES[:8]],
                       [NAMES[:3]], [NAMES[:5]])  # fmt: skip
    assert [rung["rung"] for rung in found.rungs] == [rung.title for rung in RUNGS]
    assert [rung["posed"] for rung in found.rungs] == [4, 6, 8, 3, 5]
    assert found.rungs[0]["models"] == [4, 3] and len(found.model) == 8
    builds = [a["mapper"] for job, a in colmap.calls if job == "build"]
    assert builds == ["incremental", "incremental", "incremental", "global", "incremental"]
    features = [(a["features"], a["images"]) for job, a in colmap.calls if job == "extract"]
    assert features == [(8192, str(tmp_path)), (16384, str(tmp_path / "l"))]


def test_weak_pairs_are_forgotten_and_matched_with_care_once(tmp_path, monkeypatch):
    found, colmap = go(tmp_path, monkeypatch, [NAMES[:8]], [NAMES[:9]], [NAMES])
    careful = [a["pairs"] for job, a in colmap.calls if job == "match" and a["guided"]]
    forgotten = [a["pairs"] for job, a in colmap.calls if job == "forget"]
    assert len(careful) == 1 and forgotten == careful  # and not again at the third rung
    assert ["8.png", "9.png"] in careful[0]
    assert [rung["guided_pairs"] for rung in found.rungs] == [0, len(careful[0]), len(careful[0])]
    assert [rung["posed"] for rung in found.rungs] == [8, 9, 10]


def test_cameras_of_larger_images_are_for_the_photographs(tmp_path, monkeypatch):
    found, _ = go(tmp_path, monkeypatch, [], [], [], [], [NAMES])
    assert found.model.cameras[0] == {"model": "SIMPLE_RADIAL", "width": 40, "height": 30,
                                      "params": [40.0, 20.0, 15.0, 0.1]}  # fmt: skip


def test_a_rung_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    found, _ = go(tmp_path, monkeypatch, [NAMES[:4]], GeoLRMError("it crashed"), [NAMES])
    assert found.rungs[1] == {"rung": "guided matching of weak pairs", "failed": "it crashed"}
    assert len(found.model) == 10


def test_a_full_disk_ends_it_at_any_rung(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="the disk is full"):
        go(tmp_path, monkeypatch, [NAMES[:4]], InputError("the disk is full"), [NAMES])


def test_a_first_rung_that_fails_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(GeoLRMError, match="it crashed"):
        go(tmp_path, monkeypatch, GeoLRMError("it crashed"))


def test_models_that_do_not_join_are_kept_apart(tmp_path, monkeypatch):
    parts = [NAMES[:5], NAMES[5:9]]
    found, _ = go(tmp_path, monkeypatch, parts, parts, parts, parts, parts)
    assert len(found.model) == 5 and [m.names for m in found.others] == [tuple(NAMES[5:9])]


def test_a_model_that_another_rung_found_apart_counts(tmp_path, monkeypatch):
    found, _ = go(tmp_path, monkeypatch, [NAMES[:5]], [NAMES[4:8]], [NAMES[5:8]], [], [])
    assert found.model.names == tuple(NAMES[:5])
    assert [m.names for m in found.others] == [tuple(NAMES[5:8])]  # 4 to 8 share one with it


def test_cameras_are_shared_by_photographs_of_one_size_and_focal_length():
    def photograph(name, width, focal):
        return Photograph(name, name, width, 30, focal, 0.3, (), False)

    groups = ladder._groups(
        [photograph("a", 40, None), photograph("b", 40, 100.0), photograph("c", 40, 100.4),
         photograph("d", 40, 150.0), photograph("e", 50, None), photograph("f", 40, None)]
    )  # fmt: skip
    assert [group["names"] for group in groups] == [["a", "f"], ["b", "c"], ["d"], ["e"]]
    assert groups[1]["focal"] == 100.0 and groups[0]["focal"] is None
