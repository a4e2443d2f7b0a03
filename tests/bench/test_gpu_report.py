import json

import pytest

from geolrm.bench.gpu import __main__ as command
from geolrm.bench.gpu.report import NotRun, Part, run_part, to_markdown, write
from geolrm.bench.gpu.timing import milliseconds
from geolrm.engine.errors import GeoLRMError


def refuse():
    raise NotRun("no gsplat")


def test_what_goes_wrong_becomes_the_status_of_its_part():
    assert run_part("a", lambda: [{"x": 1}], "measured") == Part("a", "measured", [{"x": 1}])
    assert run_part("a", refuse, "measured").status == "not run: no gsplat"
    missing = run_part("a", lambda: __import__("absent_package"), "measured")
    assert missing.status == "not run: absent_package is not installed"
    assert run_part("a", lambda: 1 / 0, "measured").status.startswith("failed: ZeroDivisionError")


def test_both_files_hold_all_parts(tmp_path):
    parts = [Part("Kernels", "measured", [{"kernel": "copy", "p50 ms": 1.23456}]), Part("b", "x")]
    write(tmp_path / "new", {"gpu": "G"}, parts)
    content = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert content["machine"] == {"gpu": "G"}
    assert [part["name"] for part in content["parts"]] == ["Kernels", "b"]
    page = (tmp_path / "new" / "gpu.md").read_text()
    assert page == to_markdown({"gpu": "G"}, parts)
    assert "| copy | 1.235 |" in page


def test_timings_wait_before_and_after():
    log = []
    times = milliseconds(lambda: log.append("c"), lambda: log.append("w"), repeats=2, inner=2)
    assert "".join(log) == "cccw" + "ccw" * 2
    assert times["p10 ms"] <= times["p50 ms"] <= times["p90 ms"]


def test_without_a_gpu_nothing_is_written(tmp_path, monkeypatch, capsys):
    def missing():
        raise GeoLRMError("no NVIDIA driver was found")

    monkeypatch.setattr(command, "present_gpu", missing)
    with pytest.raises(SystemExit, match="1"):
        command.main(["-o", str(tmp_path / "out")])
    assert "needs an NVIDIA GPU, but no NVIDIA driver was found" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("peer", ["measured", "not run: gsplat is missing"])
def test_the_rasterizers_rows_are_flat(monkeypatch, peer):
    rows = [{"scene": "ball", "px": 512, "graph": {"p50_ms": 0.2, "p99_ms": 0.3}}]
    result = {"ours": "measured", "gsplat": peer, "rows": rows}
    monkeypatch.setattr(command.gpu_raster, "measure", lambda: result)
    part = run_part("Rasterizer", command.rasterizer, "measured")
    assert part.rows[0] == {"scene": "ball", "px": 512, "graph p50_ms": 0.2, "graph p99_ms": 0.3}
    assert part.rows[1:] == ([] if peer == "measured" else [{"scene": peer}])


def test_a_rasterizer_without_a_gpu_is_listed_as_not_run(monkeypatch):
    result = {"ours": "not run: no NVIDIA driver was found", "gsplat": "", "rows": []}
    monkeypatch.setattr(command.gpu_raster, "measure", lambda: result)
    part = run_part("Rasterizer", command.rasterizer, "measured")
    assert part.status == "not run: no NVIDIA driver was found"
