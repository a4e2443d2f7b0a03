"""The command: what it measures, keeps and writes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from geolrm import InputError
from geolrm.bench.photos import (
    benchmark,
    cut_views,
    real_photographs,
    without_poses,
    wrong_poses,
)


@pytest.fixture
def measured(monkeypatch):
    """Doubles of what takes long, which note what they were asked."""
    asked = []

    def score_poses(subject, engine, views, wrong):
        asked.append((subject.name, views, wrong))
        return wrong_poses.Row(
            subject.name, views, wrong, 30.0, 31.0, wrong > 0, 0.5, 2, 5, 4, 12, 0.1
        )

    def score_cuts(subject, engine, outside, views):
        asked.append((subject.name, "cut"))
        return cut_views.Row(subject.name, 32.0, 31.0, 30.5, outside, 0.99)

    monkeypatch.setattr(wrong_poses, "score", score_poses)
    monkeypatch.setattr(cut_views, "score", score_cuts)
    monkeypatch.setattr(benchmark, "Engine", lambda model, threads: SimpleNamespace(threads=2))
    monkeypatch.setattr(benchmark, "describe", lambda: {"cpu": "none", "geolrm": "1.2"})
    monkeypatch.setattr(benchmark, "load_subject", lambda name, folder: SimpleNamespace(name=name))
    found = {name: Path(name) for name in ("a", "b", "c")}
    monkeypatch.setattr(
        benchmark, "find_subjects",
        lambda data, only: {n: p for n, p in found.items() if only is None or n in only},
    )  # fmt: skip
    return asked


def test_every_row_of_every_object_is_measured_and_written(measured, tmp_path, capsys):
    benchmark.main(["--data", "scans", "-o", str(tmp_path)])
    assert measured[:6] == [("a", *case) for case in wrong_poses.CASES] + [("a", "cut")]
    assert len(measured) == 18
    content = json.loads((tmp_path / "photos.json").read_text())
    assert len(content["rows"]) == 18 and content["machine"]["cpu"] == "none"
    page = (tmp_path / "photos.md").read_text()
    assert "| 12 views, poses off by 1 degrees and 1 % | 30.00 dB, refined 31.00; true" in page
    assert "cut views 30.50 dB, whole 32.00" in capsys.readouterr().out


def test_what_is_known_is_not_measured_again(measured, tmp_path):
    benchmark.main(["--data", "scans", "--objects", "b", "-o", str(tmp_path)])
    assert {name for name, *_ in measured} == {"b"}
    measured.clear()
    benchmark.main(["--data", "scans", "--objects", "b", "c", "-o", str(tmp_path)])
    assert {name for name, *_ in measured} == {"c"}
    assert "| 2 |" in (tmp_path / "photos.md").read_text()


def test_quick_takes_two_objects_and_the_first_rows(measured, capsys):
    benchmark.main(["--data", "scans", "--quick"])
    assert measured == [(name, *case) for name in "ab" for case in benchmark.QUICK_CASES]
    assert "[at most 0.3 dB below] met" in capsys.readouterr().out


def test_photographs_are_measured_once(measured, monkeypatch, tmp_path):
    asked = []

    def rows(folder, model):
        asked.append(folder)
        return [real_photographs.Row("01.jpg", 17.0, 18.0), real_photographs.Row("21.jpg", 18, 22)]

    def measure(folder, threads):
        asked.append((folder, threads))
        return without_poses.Row(folder.name, 66, 65, 300.0, 500.0)

    monkeypatch.setattr(real_photographs, "rows", rows)
    monkeypatch.setattr(without_poses, "measure", measure)
    call = ["--photographs", "skull", "--without-poses", "raw/skull", "-o", str(tmp_path)]
    for _ in range(2):
        benchmark.main(call)
    assert asked == [(Path("raw/skull"), 2), Path("skull")] and not measured
    page = (tmp_path / "photos.md").read_text()
    assert (
        "2 held out | 20.00 dB (18.0, 22.0), plain colours 17.50 | at least 19.5 dB | met" in page
    )
    assert "skull | 65 of 66 in one model, 300 s (500 s of the processor) | at least 97% in" in page
    assert "| missed | 1 |" in page


def test_nothing_to_measure_is_said():
    with pytest.raises(
        InputError,
        match="there is nothing to measure: give --data, a folder of .* --photographs or",
    ):
        benchmark.main([])
