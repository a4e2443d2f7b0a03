import json
import math
import sys
import tarfile

import pytest

from geolrm.bench.gpu import __main__ as command
from geolrm.bench.gpu import parts as tasks
from geolrm.bench.gpu import timing
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.parts import run_apart
from geolrm.bench.gpu.report import (
    NotRun,
    Part,
    Recorder,
    comparison,
    run_part,
    to_markdown,
    write,
)
from geolrm.bench.gpu.targets import (
    ATTENTION,
    ENGINE,
    GSPLAT,
    KERNELS,
    RASTERIZER,
    SELF_ATTENTION,
    TARGETS,
    judge,
)
from geolrm.bench.gpu.timing import milliseconds, peak_memory
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.present_gpu import PresentGpu


def broken(error):
    def measure(record):
        record.add({"x": 1})
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
        {"kernel": ATTENTION, "setting": "V=21 N=16384", "p50 ms": 2.5},
        {"kernel": ATTENTION, "setting": "V=6 N=8192", "p50 ms": 99.0},
        {"kernel": "deformable attention float16", "setting": "V=21 N=16384", "p50 ms": 77.0},
        {"kernel": SELF_ATTENTION, "setting": "N=16384", "p50 ms": 1.4},
        {"kernel": SELF_ATTENTION, "setting": "N=8192", "p50 ms": 55.0},
    ]),
    Part(RASTERIZER, "measured", [
        {"scene": "ring and ball 524288", "px": 512, "graph p50_ms": 9.0},
        {"scene": "ring and ball 524288", "px": 1024, "graph p50_ms": 0.35},
    ]),
    Part(GSPLAT, "measured", [
        {"scene": "ring and ball 524288", "px": 512, "ratio": 1.0},
        {"scene": "ring and ball 524288", "px": 1024, "ratio": 3.1},
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
        "missed", "met", "met", "met", "missed", "met", "missed",
    ]  # fmt: skip
    assert [verdict.figure for verdict in verdicts] == [2.5, 1.4, 0.35, 3.1, 151.0, 39.0, 4.5]
    bounds = [verdict.row()["bound"] for verdict in verdicts]
    assert bounds == ["<= 2", "<= 1.5", "<= 0.35", ">= 3", "<= 150", "<= 40", "<= 4"]
    assert {verdict.word for verdict in judge([])} == {"not measured"}


def test_engines_and_their_peers_stand_side_by_side():
    small, large = comparison(PARTS)
    assert small == {
        "V": 6, "N": 8192, ENGINE: 39.0, "Engine, tensorrt fp16": 30.0, "Eager torch, fp16": 300.0,
        "Eager torch, fp16 / fastest engine": 10.0,
    }  # fmt: skip
    assert large == {"V": 21, "N": 16384, ENGINE: 151.0}  # the peer broke off there
    assert comparison(PARTS[:5]) == []


def test_both_files_hold_all_parts(tmp_path):
    parts = [Part(KERNELS, "measured", [{"kernel": "copy", "p50 ms": 1.23456, "x": math.nan}])]
    parts.append(Part("b", "not run: no b", notes=["clocks: 1"]))
    parts[0].kernels.append({"kernel": "gemm", "share": 0.5})
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
    assert "### Where the GPU's time goes\n\n| kernel | share |" in page


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


def test_each_row_is_on_disk_as_it_is_measured(tmp_path):
    path, seen = tmp_path / "part.json", []

    def measure(record):
        row = record.add({"V": 21})
        seen.append(json.loads(path.read_text()))
        row["p50 ms"] = math.nan
        record.note("exported in 9 s")
        record.profile([{"kernel": "gemm"}])
        seen.append(json.loads(path.read_text()))
        raise GeoLRMError("too little memory")

    part = run_part("Engine", measure, "measured", path)
    assert [(p["status"], p["rows"]) for p in seen] == [
        ("running", [{"V": 21}]), ("running", [{"V": 21, "p50 ms": None}]),
    ]  # fmt: skip
    assert seen[1]["notes"] == ["exported in 9 s"] and seen[1]["kernels"] == [{"kernel": "gemm"}]
    assert part.status == "failed: too little memory"
    assert json.loads(path.read_text())["status"] == part.status
    assert [file.name for file in tmp_path.iterdir()] == ["part.json"]


def test_a_recorder_without_a_file_keeps_rows_in_memory():
    part = Part("a", "running")
    Recorder(part).extend({"x": i} for i in range(2))
    assert part.rows == [{"x": 0}, {"x": 1}]


WRITE = (
    "import sys, json; json.dump(dict(name='{}', status='{}', rows=[{}]), open(sys.argv[1], 'w'))"
)
PROCESSES = {
    "kernels": "raise SystemExit(3)",
    "rasterizer": WRITE.format(RASTERIZER, "running", "{'px': 512}") + "; import time; "
    "time.sleep(60)",
    "cuda": "import sys; open(sys.argv[1], 'w').write('half of {')",
    "tests": "import os; os.abort()",
    "torch": "print('seen'); " + WRITE.format("Eager torch, fp16", "measured", "{'V': 1}"),
}


@pytest.fixture
def processes(monkeypatch, gpu):
    """Short programs in place of the parts; the rasterizer's never ends."""
    monkeypatch.setattr(
        tasks,
        "command_of",
        lambda name, result, choices: [sys.executable, "-c", PROCESSES[name], result],
    )
    monkeypatch.setattr(tasks, "BETWEEN_LOOKS", 0.02)
    limits, told = {"rasterizer": 5.0}, {}

    def run(name, folder, limit, choices, seen):
        told[name] = limit
        return run_apart(name, folder, limits.get(name, 60.0), choices, seen)

    monkeypatch.setattr(command.parts, "run_apart", run)
    return told


def test_a_part_that_dies_is_reported_and_the_rest_goes_on(tmp_path, processes):
    lines, folder = [], tmp_path / "out"
    sentence = f"^{KERNELS}, {RASTERIZER}, {ENGINE}, GPU tests failed; see .*gpu.md$"
    with pytest.raises(GeoLRMError, match=sentence):
        command.run(folder, list(PROCESSES), lines.append, Choices(limit=560))
    found = {p["name"]: p for p in json.loads((folder / "gpu.json").read_text())["parts"]}
    assert [part["status"] for part in found.values()] == [
        "failed: its process ended with 3; see kernels.log in logs.tar.gz",
        "failed: it took over 5 s; see rasterizer.log in logs.tar.gz",
        "failed: its process ended with 0; see cuda.log in logs.tar.gz",
        "failed: its process was ended by SIGABRT; see tests.log in logs.tar.gz",
        "measured",
    ]
    assert found[RASTERIZER]["rows"] == [{"px": 512}]  # what it had measured by then
    assert found["Eager torch, fp16"]["rows"] == [{"V": 1}]
    assert found["Eager torch, fp16"]["notes"] == ["clocks before: 1980 MHz; after: 1980 MHz"]
    assert {path.name for path in folder.iterdir()} == {"gpu.json", "gpu.md", "logs.tar.gz"}
    with tarfile.open(folder / "logs.tar.gz") as logs:
        assert sorted(logs.getnames()) == sorted(f"{name}.log" for name in PROCESSES)
        read = logs.extractfile("torch.log")
        assert read is not None and read.read() == b"seen\n"
    assert lines[0] == f"{KERNELS} ..." and "| not measured |" in lines[-1]


def test_parts_share_the_time_of_all(tmp_path, processes):
    with pytest.raises(GeoLRMError):
        command.run(tmp_path, ["tests", "kernels", "cuda"], print, Choices(limit=560))
    assert processes["tests"] == pytest.approx(140, abs=0.1)
    assert processes["kernels"] == pytest.approx(84, abs=0.1)
    assert processes["cuda"] == pytest.approx(280, abs=0.1)
    assert sum(task.share > 1 for task in tasks.TASKS.values()) == 0
    first = list(tasks.TASKS.items())[:4]  # of which none can take the time of another
    assert sum(task.share for _, task in first) == pytest.approx(1)
    assert [name for name, _ in first] == ["kernels", "rasterizer", "cuda", "tests"]
    titles = [task.title for _, task in first[:3]]
    assert {target.part for target in TARGETS} == {*titles, GSPLAT}
    assert list(tasks.TASKS)[-2:] == ["gsplat", "torch-compile"]  # they compile for minutes


def test_a_part_without_time_is_not_started(tmp_path):
    part = run_apart("cuda", tmp_path, limit=1.0)
    assert part.status == "not run: no time was left; give more with --limit"
    assert list(tmp_path.iterdir()) == []


def test_the_report_grows_while_a_part_runs(tmp_path, processes):
    """A machine may be taken away at any time: what was measured is in the report by then."""
    shown = []
    part = run_apart("rasterizer", tmp_path, 5.0, Choices(), lambda p: shown.append(p.rows))
    assert shown == [[{"px": 512}]] and part.rows == [{"px": 512}]


def test_kernels_without_their_packages_are_listed_as_not_run(monkeypatch):
    versions = {"cuda-core": "1.2.2", "cuda-bindings": "13.0.3"}
    monkeypatch.setattr(tasks, "installed_version", versions.get)
    part = run_part("Kernels", lambda record: tasks.kernels(record, Choices()), "measured")
    assert part.status == "not run: nvidia-cuda-nvrtc missing; pip install 'geolrm[gpu]'"


def test_a_part_in_its_own_process_says_what_is_missing(tmp_path):
    """The real parts on a machine without any GPU, by the command that the benchmark gives."""
    if timing.driver_cuda_version() != (0, 0):
        pytest.skip("a driver is at hand")
    part = run_apart("kernels", tmp_path, 300.0)
    if tasks.installed_version("cuda-core") is not None:
        assert part.status == "failed: no NVIDIA driver was found"
    assert run_apart("cuda", tmp_path, 300.0).status.startswith(
        "not run: onnxruntime-gpu missing; pip "
    )


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
    names = ", ".join(tasks.TASKS)
    assert f"--only is 'everything'; it must be one of {names}" in capsys.readouterr().err
    for words, sentence in (
        (["--settings", "21*16384"], "--settings is '21*16384'; give views x anchors, each once, "),
        (["--seconds", "0"], "--seconds is 0; it must be more than 0"),
        (["--limit", "-1"], "--limit is -1; it must be more than 0"),
    ):
        with pytest.raises(SystemExit, match="2"):
            command.main(["-o", str(tmp_path), *words])
        assert sentence in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        command.main(["-o", str(tmp_path / "file")])
    assert "is a file; name a folder with -o" in capsys.readouterr().err


def rasterizers(monkeypatch, ours="measured", gsplat="measured", fp16="measured"):
    from geolrm.bench import gpu_raster

    def measure(*, seconds, peer, seen):
        seen({"scene": "ball", "px": 512, "graph": {"p50_ms": 0.2, "p99_ms": seconds}})
        states = {"gsplat": gsplat, "gsplat fp16": fp16}
        return {"ours": ours} | (
            states if peer else dict.fromkeys(states, "not run: it was not asked for")
        )

    monkeypatch.setattr(gpu_raster, "measure", measure)


@pytest.mark.parametrize("name", ["rasterizer", "gsplat"])
def test_the_rasterizers_rows_are_flat(monkeypatch, name):
    rasterizers(monkeypatch)
    task = tasks.TASKS[name]
    part = run_part("R", lambda record: task.measure(record, Choices(seconds=3)), "measured")
    assert part.rows == [{"scene": "ball", "px": 512, "graph p50_ms": 0.2, "graph p99_ms": 3}]


def test_what_became_of_gsplat_is_told(monkeypatch):
    def measured():
        measure = tasks.TASKS["gsplat"].measure
        return run_part("R", lambda record: measure(record, Choices()), "measured")

    rasterizers(monkeypatch, gsplat="failed: gsplat: no nvcc")
    assert measured().rows[1:] == [{"scene": "gsplat failed: gsplat: no nvcc"}]
    rasterizers(monkeypatch, gsplat="not run: gsplat 1.5.3 and torch are needed")
    assert measured().status == "not run: gsplat 1.5.3 and torch are needed"
    rasterizers(monkeypatch, gsplat="measured with gsplat 1.6", fp16="measured with gsplat 1.6")
    assert measured().rows[1:] == [
        {"scene": "gsplat measured with gsplat 1.6"},
        {"scene": "gsplat fp16 measured with gsplat 1.6"},
    ]


def test_a_rasterizer_without_a_gpu_is_listed_as_not_run(monkeypatch):
    rasterizers(monkeypatch, ours="not run: no NVIDIA driver was found", gsplat="")
    measure = tasks.TASKS["rasterizer"].measure
    part = run_part("Rasterizer", lambda record: measure(record, Choices()), "measured")
    assert part.status == "not run: no NVIDIA driver was found"
