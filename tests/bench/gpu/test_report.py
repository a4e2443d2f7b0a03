import json
import math
import sys

import pytest

from geolrm.bench.gpu import __main__ as command
from geolrm.bench.gpu import parts as tasks
from geolrm.bench.gpu import timing
from geolrm.bench.gpu.parts import run_apart
from geolrm.bench.gpu.report import NotRun, Part, comparison, run_part, to_markdown, write
from geolrm.bench.gpu.targets import ENGINE, KERNELS, RASTERIZER, judge
from geolrm.bench.gpu.timing import milliseconds, peak_memory
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.present_gpu import PresentGpu


def broken(error):
    def measure(rows):
        rows.append({"x": 1})
        raise error

    return measure


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotRun("no gsplat"), "not run: no gsplat"),
        (ModuleNotFoundError(name="absent"), "not run: absent is not installed"),
        (GeoLRMError("too little memory"), "failed: too little memory"),
        (RuntimeError("an\nerror"), "failed: RuntimeError: an error"),
    ],
)
def test_what_goes_wrong_becomes_the_status_and_earlier_rows_are_kept(error, status):
    part = run_part("a", broken(error), "measured")
    assert (part.status, part.rows) == (status, [{"x": 1}])
    assert part.failed == status.startswith("failed")


PARTS = [
    Part("GPU tests", "passed", [{"pytest": "12 passed"}]),
    Part(KERNELS, "measured", [
        {"kernel": "deformable attention float16", "setting": "V=21 N=16384", "p50 ms": 2.5},
        {"kernel": "deformable attention float16", "setting": "V=6 N=8192", "p50 ms": 99.0},
    ]),
    Part(RASTERIZER, "measured", [
        {"scene": "ring and ball 524288", "px": 512, "graph p50_ms": 9.0, "ratio": 1.0},
        {"scene": "ring and ball 524288", "px": 1024, "graph p50_ms": 0.35, "ratio": 3.1},
    ]),
    Part(ENGINE, "measured", [
        {"V": 6, "N": 8192, "p50 ms": 39.0, "peak GB": 1.5},
        {"V": 21, "N": 16384, "p50 ms": 151.0, "peak GB": 4.5},
    ]),
    Part("Engine, tensorrt fp16", "measured", [{"V": 6, "N": 8192, "p50 ms": 30.0}]),
    Part("Eager torch, fp16", "measured", [{"V": 6, "N": 8192, "p50 ms": 300.0},
                                           {"V": 21, "N": 16384}]),
]  # fmt: skip


def test_targets_stand_beside_their_figures():
    verdicts = judge(PARTS)
    assert [verdict.word for verdict in verdicts] == [
        "missed", "met", "met", "missed", "met", "missed",
    ]  # fmt: skip
    assert [verdict.figure for verdict in verdicts] == [2.5, 0.35, 3.1, 151.0, 39.0, 4.5]
    bounds = [verdict.row()["bound"] for verdict in verdicts]
    assert bounds == ["<= 2", "<= 0.35", ">= 3", "<= 150", "<= 40", "<= 4"]
    assert {verdict.word for verdict in judge([])} == {"not measured"}


def test_engines_and_their_peers_stand_side_by_side():
    small, large = comparison(PARTS)
    assert small == {
        "V": 6, "N": 8192, ENGINE: 39.0, "Engine, tensorrt fp16": 30.0, "Eager torch, fp16": 300.0,
        "Eager torch, fp16 / fastest engine": 10.0,
    }  # fmt: skip
    assert large == {"V": 21, "N": 16384, ENGINE: 151.0}  # the peer broke off there
    assert comparison(PARTS[:4]) == []


def test_both_files_hold_all_parts(tmp_path):
    parts = [Part(KERNELS, "measured", [{"kernel": "copy", "p50 ms": 1.23456, "x": math.nan}])]
    parts.append(Part("b", "not run: no b", notes=["clocks: 1"]))
    write(tmp_path / "new", {"gpu": "G"}, parts, judge(parts))
    content = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert content["machine"] == {"gpu": "G"}
    assert [part["name"] for part in content["parts"]] == [KERNELS, "b"]
    assert content["parts"][0]["rows"][0]["x"] is None
    page = (tmp_path / "new" / "gpu.md").read_text()
    assert page == to_markdown({"gpu": "G"}, parts, judge(parts))
    assert "| copy | 1.235 | nan |" in page
    assert "| peak memory of the engine, GB | <= 4 |  | not measured |" in page
    assert "## b\n\nnot run: no b\n\n* clocks: 1\n" in page


def test_timings_wait_before_and_after():
    log = []
    times = milliseconds(lambda: log.append("c"), lambda: log.append("w"), repeats=2, inner=2)
    assert "".join(log) == "cccw" + "ccw" * 2
    assert times["p10 ms"] <= times["p50 ms"] <= times["p90 ms"] <= times["p99 ms"]


def test_a_slow_call_is_timed_three_times():
    log = []
    milliseconds(lambda: log.append(1), lambda: None, warm_up=1, seconds=0.0)
    assert len(log) == 1 + 3


def test_the_peak_is_the_largest_reading():
    readings = iter([5, 7, 11, 3])
    with peak_memory(lambda: next(readings, 2)) as peak:
        while peak.bytes < 11:
            pass
    assert peak.bytes == 11


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(command, "present_gpu", lambda: None)
    monkeypatch.setattr(timing, "present_gpu", lambda: PresentGpu("G", "sm_90", 132, 10**11))
    monkeypatch.setattr(timing, "clocks", lambda: "1980 MHz")


PROCESSES = {
    "tests": "import os; os.abort()",
    "kernels": "raise SystemExit(3)",
    "rasterizer": "import time; time.sleep(60)",
    "cuda": "import sys; open(sys.argv[1], 'w').write('half of {')",
    "torch": "print('seen'); import sys, json; json.dump(dict(name='Eager torch, fp16', "
    "status='measured', rows=[{'V': 1}]), open(sys.argv[1], 'w'))",
}


def test_a_part_that_dies_is_reported_and_the_rest_goes_on(tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(
        tasks, "command_of", lambda name, result: [sys.executable, "-c", PROCESSES[name], result]
    )
    limits = {"rasterizer": 1.0}
    monkeypatch.setattr(
        command.parts,
        "run_apart",
        lambda name, folder: run_apart(name, folder, limit=limits.get(name, 60.0)),
    )
    lines, folder = [], tmp_path / "out"
    sentence = f"^GPU tests, {KERNELS}, {RASTERIZER}, {ENGINE} failed; see .*gpu.md$"
    with pytest.raises(GeoLRMError, match=sentence):
        command.run(folder, list(PROCESSES), lines.append)
    found = {p["name"]: p for p in json.loads((folder / "gpu.json").read_text())["parts"]}
    assert [part["status"] for part in found.values()] == [
        "failed: its process was ended by SIGABRT; see tests.log",
        "failed: its process ended with 3; see kernels.log",
        "failed: it took over 1 s; see rasterizer.log",
        "failed: its process ended with 0; see cuda.log",
        "measured",
    ]
    assert found["Eager torch, fp16"]["rows"] == [{"V": 1}]
    assert found["Eager torch, fp16"]["notes"] == ["clocks before: 1980 MHz; after: 1980 MHz"]
    assert (folder / "torch.log").read_text() == "seen\n"
    names = {"gpu.json", "gpu.md", *(f"{name}.log" for name in PROCESSES)}
    assert {path.name for path in folder.iterdir()} == names
    assert lines[0] == "GPU tests ..." and "| not measured |" in lines[-1]


def test_kernels_without_their_packages_are_listed_as_not_run(monkeypatch):
    versions = {"cuda-core": "1.2.2", "cuda-bindings": "13.0.3"}
    monkeypatch.setattr(tasks, "installed_version", versions.get)
    part = run_part("Kernels", tasks.kernels, "measured")
    assert part.status == "not run: nvidia-cuda-nvrtc missing; pip install 'geolrm[gpu]'"


def test_a_part_in_its_own_process_says_what_is_missing(tmp_path):
    """The real parts on a machine without any GPU, by the command that the benchmark gives."""
    if timing.driver_cuda_version() != (0, 0):
        pytest.skip("a driver is at hand")
    part = run_apart("kernels", tmp_path)
    if tasks.installed_version("cuda-core") is not None:
        assert part.status == "failed: no NVIDIA driver was found"
    assert run_apart("cuda", tmp_path).status.startswith("not run: onnxruntime-gpu missing; pip ")


@pytest.mark.parametrize("program", [command.main, None])
def test_without_a_gpu_nothing_is_written(tmp_path, monkeypatch, capsys, program):
    def missing():
        raise GeoLRMError("no NVIDIA driver was found")

    monkeypatch.setattr(command, "present_gpu", missing)
    arguments = ["-o", str(tmp_path / "out")]
    sentence = "the GPU benchmark needs an NVIDIA GPU, but no NVIDIA driver was found; run it on a "
    if program is None:
        with pytest.raises(GeoLRMError, match=f"^{sentence}machine with one$"):
            command.run(tmp_path / "out")
    else:
        with pytest.raises(SystemExit, match="1"):
            program(arguments)
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_options_are_one_sentence(tmp_path, monkeypatch, capsys, gpu):
    with pytest.raises(SystemExit, match="2"):
        command.main(["-o", str(tmp_path), "--only", "everything"])
    names = "tests, kernels, rasterizer, cuda, tensorrt-rtx, tensorrt, torch, torch-compile"
    assert f"--only is 'everything'; it must be one of {names}" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        command.main(["-o", str(tmp_path / "file")])
    assert "is a file; name a folder with -o" in capsys.readouterr().err


@pytest.mark.parametrize("peer", ["measured", "not run: gsplat is missing"])
def test_the_rasterizers_rows_are_flat(monkeypatch, peer):
    from geolrm.bench import gpu_raster

    rows = [{"scene": "ball", "px": 512, "graph": {"p50_ms": 0.2, "p99_ms": 0.3}}]
    result = {"ours": "measured", "gsplat": peer, "rows": rows}
    monkeypatch.setattr(gpu_raster, "measure", lambda: result)
    part = run_part("Rasterizer", tasks.rasterizer, "measured")
    assert part.rows[0] == {"scene": "ball", "px": 512, "graph p50_ms": 0.2, "graph p99_ms": 0.3}
    assert part.rows[1:] == ([] if peer == "measured" else [{"scene": f"gsplat {peer}"}])


def test_a_rasterizer_without_a_gpu_is_listed_as_not_run(monkeypatch):
    from geolrm.bench import gpu_raster

    result = {"ours": "not run: no NVIDIA driver was found", "gsplat": "", "rows": []}
    monkeypatch.setattr(gpu_raster, "measure", lambda: result)
    part = run_part("Rasterizer", tasks.rasterizer, "measured")
    assert part.status == "not run: no NVIDIA driver was found"
