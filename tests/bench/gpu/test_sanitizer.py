"""Compute Sanitizer is a program here that prints what it would; what it checks runs elsewhere."""

import stat
import sys

import pytest

from geolrm.bench.gpu import sanitizer
from geolrm.bench.gpu.counted import ENDED
from geolrm.bench.gpu.report import NotRun, Part, Recorder, run_part

BANNER = "========= COMPUTE-SANITIZER"
CLEAN = {
    "memcheck": f"{BANNER}\n{ENDED}\n========= ERROR SUMMARY: 0 errors",
    "racecheck": f"{BANNER}\n{ENDED}\n"
    "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)",
}
LOG = "see sanitizer.log in logs.tar.gz"
ROWS = [
    {"tool": "memcheck", "errors": 0, "summary": "0 errors"},
    {"tool": "racecheck", "errors": 0, "summary": "0 hazards displayed (0 errors, 0 warnings)"},
]


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program in place of compute-sanitizer, whose output for each tool a test sets."""
    monkeypatch.setattr(sanitizer, "CUDA", tmp_path / "cuda" / "bin")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))

    def make(outputs, folder="path", code=0):
        path = tmp_path / folder / "compute-sanitizer"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"#!{sys.executable}\nimport sys\nopen({str(tmp_path / 'given')!r}, 'a').write("
            "' '.join(sys.argv[1:]) + chr(10))\n"
            f"print({outputs!r}[sys.argv[2]])\nraise SystemExit({code})\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return tmp_path / "given"

    return make


def part():
    return run_part("Compute Sanitizer", sanitizer.measure, "passed")


@pytest.mark.parametrize("folder", ["path", "cuda/bin", "home/bin"])
def test_a_row_for_each_tool_wherever_the_program_is(tool, folder):
    given = tool(CLEAN, folder)
    checked = part()
    assert (checked.status, checked.rows) == ("passed", ROWS)
    program = f"--report-api-errors no {sys.executable} -m geolrm.bench.gpu.counted --small"
    assert given.read_text().splitlines() == [
        f"--tool memcheck {program}", f"--tool racecheck {program}",
    ]  # fmt: skip


def test_errors_fail_the_part_and_both_tools_are_told(tool):
    race = "2 hazards displayed (1 error, 1 warning)"
    tool(
        {
            "memcheck": "========= Invalid __global__ read of size 4 bytes\n"
            "========= ERROR SUMMARY: 12 errors",
            "racecheck": f"{ENDED}\n========= RACECHECK SUMMARY: {race}",
        },
        code=1,
    )
    checked = part()
    assert [row["errors"] for row in checked.rows] == [12, 1]
    assert checked.status == f"failed: memcheck: 12 errors; racecheck: {race}; {LOG}"


def test_no_errors_of_a_program_that_did_not_end_are_no_proof(tool):
    tool(CLEAN | {"memcheck": f"{BANNER}\n========= ERROR SUMMARY: 0 errors"}, code=3)
    checked = part()
    assert checked.status == f"failed: memcheck: the program ended early, with 3; {LOG}"
    assert checked.rows == ROWS


UNKNOWN = 'Error: Device not supported. Please refer to the "Supported Devices" section'


@pytest.mark.parametrize(
    ("output", "first"),
    [
        (f"{BANNER}\n========= {UNKNOWN}\n========= ERROR SUMMARY: 1 error", UNKNOWN),
        (f"{BANNER}\n{ENDED}\n========= {UNKNOWN}\n========= ERROR SUMMARY: 0 errors", UNKNOWN),
        ("cannot execute: required file not found", "cannot execute: required file not found"),
        ("", "it printed nothing"),
    ],
)
def test_a_tool_that_cannot_check_here_is_not_run_and_says_why(tool, output, first):
    tool({"memcheck": output})
    assert part().status == f"not run: compute-sanitizer --tool memcheck: {first}"


def test_without_the_program_it_is_not_run(tool, tmp_path, monkeypatch):
    sentence = f"compute-sanitizer is not on the PATH, in {sanitizer.CUDA} or in $CUDA_HOME/bin"
    with pytest.raises(NotRun) as told:
        sanitizer.measure(Recorder(Part("Compute Sanitizer", "running")))
    assert str(told.value) == sentence
    monkeypatch.delenv("CUDA_HOME")
    assert part().status == f"not run: {sentence}"
