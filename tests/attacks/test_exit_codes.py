"""How every command ends: 0, 1 for what is no bad input, 2 for bad input, 128 + a signal."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from harness.processes import BIN, call_here
from samples.gaussians import random_gaussians

from geolrm.examples import capture_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and errors of Linux")


@pytest.fixture
def splats(tmp_path):
    random_gaussians().save(tmp_path / "a.ply")
    return tmp_path / "a.ply"


COMMANDS = {  # that write something; {a} is a splat file, {c} a capture
    "convert": ["convert", "{a}", "o.spz"],
    "render": ["render", "{a}", "--orbit", "1", "--size", "16", "-o", "o"],
    "view": ["view", "{a}", "-o", "o.html"],
    "check": ["check", "{c}", "-o", "o.png"],
    "run": ["run", "{c}", "--views", "2", "--refine", "0", "--max-tokens", "64", "-o", "o.ply"],
}


@pytest.fixture
def arguments(request, splats):
    filled = {"a": splats, "c": capture_path("banana")}
    return [argument.format(**filled) for argument in COMMANDS[request.param]]


every_command = pytest.mark.parametrize("arguments", COMMANDS, indirect=True)


def files(folder):
    """All of them; the folder that frames would go to may be there, and empty."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def failing(monkeypatch, name, act):
    """Let the last call before a result takes its place fail."""
    real = getattr(os, name)

    def fail(*given, **options):
        act()
        return real(*given, **options)

    monkeypatch.setattr(os, name, fail)


@every_command
@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EIO, 1), (errno.EROFS, 2)]
)
def test_a_full_disk_is_no_bad_input(tmp_path, monkeypatch, arguments, number, code):
    def act():
        raise OSError(number, os.strerror(number))

    failing(monkeypatch, "fsync", act)
    before = files(tmp_path)
    done = call_here("geolrm", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cannot write ") and os.strerror(number) in last
    assert files(tmp_path) == before


@every_command
def test_an_interrupt_ends_with_130(tmp_path, monkeypatch, arguments):
    failing(monkeypatch, "fsync", lambda: signal.raise_signal(signal.SIGINT))
    before = files(tmp_path)
    done = call_here("geolrm", *arguments, cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "error: interrupted; no unfinished file was left"
    assert files(tmp_path) == before


@every_command
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_end_with_their_number(tmp_path, monkeypatch, arguments, sent, code):
    failing(monkeypatch, "fsync", lambda: signal.raise_signal(sent))
    before = files(tmp_path)
    done = call_here("geolrm", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "missing.ply", "o.ply"],
        ["render", "missing.ply", "-o", "o"],
        ["view", "missing.ply", "-o", "o.html"],
        ["mesh", "missing.ply", "-o", "o.glb"],
        ["check", "missing"],
        ["run", "missing", "-o", "o.ply"],
        ["capture", "missing", "-o", "o"],
        ["eval", "missing"],
        ["info", "missing"],
        ["demo", "--no-such-option"],
        ["bench", "no-such-benchmark"],
        ["no-such-command"],
        [],
    ],
)
def test_bad_input_ends_with_2(tmp_path, arguments):
    done = call_here("geolrm", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert not arguments or done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("program", ["geolrm-export", "geolrm-train"])
def test_bad_input_of_the_other_programs(tmp_path, program):
    more = ["--data", "missing", "-o", "o"] if program == "geolrm-train" else []
    assert call_here(program, "missing.ckpt", *more, cwd=tmp_path).returncode == 2
    assert call_here(program, "--no-such-option", cwd=tmp_path).returncode == 2


def test_help_and_version_end_with_0():
    for program in ("geolrm", "geolrm-export", "geolrm-train"):
        assert call_here(program, "--help").returncode == 0
        assert call_here(program, "--version").returncode == 0


def test_a_full_standard_output_ends_with_1():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [BIN / "geolrm", "info"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=600
        )
    assert done.returncode == 1
    assert "cannot write to standard output: No space left on device" in done.stderr


def test_a_real_limit_of_file_sizes_is_one_sentence(tmp_path, splats):
    """As a quota does: the system refuses amid the writing."""
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64));"
        "sys.argv = ['geolrm', 'convert', sys.argv[1], sys.argv[2]];"
        "from geolrm.commands.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, splats, tmp_path / "o.ply"],
        capture_output=True, text=True, timeout=600, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].endswith("o.ply': File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


def test_the_readme_says_so():
    readme = (capture_path("shoe").parents[2] / "README.md").read_text()
    sentence = (
        "Exit codes: 0; 1 (failed, as on a full disk, or diagnostics under `geolrm check "
        "--strict`); 2 (bad input); 130 (interrupted, also `geolrm-train`, which saves first); "
        "143, 129 (SIGTERM, SIGHUP)."
    )
    assert sentence in " ".join(readme.split())
