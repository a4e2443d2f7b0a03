"""What all commands share: examples in their help, exit codes, JSON alone, completion, Ctrl-C."""

import importlib.metadata
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from harness.processes import BIN, assert_refused, call, call_here
from samples.gaussians import random_gaussians
from typer.testing import CliRunner

from geolrm.commands.main import app, register
from geolrm.examples import CAPTURES

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "run",
    "batch",
    "capture",
    "render",
    "view",
    "convert",
    "mesh",
    "check",
    "eval",
    "info",
    "demo",
    "serve",
)
FLAGS = {  # the one way to say each thing, by parameter
    "output": ("--output", "-o"),
    "as_json": ("--json",),
    "threads": ("--threads",),
    "seed": ("--seed",),
    "model": ("--model",),
}


def programs():
    """(name, command) of everything that can be typed."""
    from geolrm.commands import export, train

    register()
    group = typer.main.get_command(app)
    found = {f"geolrm {name}": command for name, command in group.commands.items()}
    found["geolrm-export"] = typer.main.get_command(export.app)
    found["geolrm-train"] = typer.main.get_command(train.app)
    return found


def test_the_commands_are_these():
    listed = {name.removeprefix("geolrm ") for name in programs() if " " in name}
    assert listed == {*COMMANDS, "bench"}


BENCHMARKS = ("engine", "fleet", "formats", "gpu-raster", "kernels", "mesh", "photos", "raster",
              "scaling")  # fmt: skip


def test_the_benchmarks_are_these():
    assert set(programs()["geolrm bench"].commands) == {*BENCHMARKS, "gpu"}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_have_options_of_their_own(name):
    programs()
    told = CliRunner().invoke(app, ["bench", name, "--help"])
    assert told.exit_code == 0 and told.stdout.startswith(f"usage: geolrm bench {name} ")


@pytest.mark.parametrize("name", ["run", "batch", "capture", "render", "view", "convert", "mesh",
                                  "check", "eval", "serve", "geolrm-export",
                                  "geolrm-train"])  # fmt: skip
def test_advice_on_memory_names_options_that_the_command_has(name):
    import importlib

    module = {"eval": "evaluate"}.get(name, name.removeprefix("geolrm-"))
    advice = importlib.import_module(f"geolrm.commands.{module}").OUT_OF_MEMORY
    command = programs()[name if name.startswith("geolrm") else f"geolrm {name}"]
    options = {option for parameter in command.params for option in parameter.opts}
    own = advice.split(": geolrm convert")[0]
    assert set(re.findall(r"--[a-z-]+", own)) <= options
    assert ("--max-tokens" in own) == (name in ("run", "batch"))


def test_the_command_that_ran_out_of_memory_advises(monkeypatch, capsys):
    from geolrm.commands import mesh, run
    from geolrm.engine.system import exit_codes

    def full(*_, **__):
        raise MemoryError

    for module, command, said in (
        (run, lambda: run.run("a", "b.ply"), "use fewer --views or a smaller --max-tokens"),
        (mesh, lambda: mesh.mesh("a", "b.glb"), "use a smaller --size, or fewer splats: geolrm"),
    ):
        for name in ("check_output", "check_writable"):
            monkeypatch.setattr(module, name, full, raising=False)
        monkeypatch.setattr("geolrm.engine.formats.splat_files.suffix_of", full)
        with pytest.raises(SystemExit) as caught, exit_codes.one_sentence_errors():
            command()
        assert caught.value.code == 1
        assert capsys.readouterr().err.startswith(f"error: out of memory; {said}")
    with pytest.raises(SystemExit), exit_codes.one_sentence_errors():
        full()
    assert "use smaller inputs, or a machine with more" in capsys.readouterr().err


def examples(command):
    return re.findall(r"Example: (geolrm.*)", command.help or "")


@pytest.mark.parametrize("name", [*(f"geolrm {n}" for n in COMMANDS), "geolrm-export",
                                  "geolrm-train"])  # fmt: skip
def test_every_help_has_an_example_that_parses(name):
    command = programs()[name]
    (example,) = examples(command)
    assert example.startswith(f"{name} ")
    arguments = example.removeprefix(name).split()
    with command.make_context(name, arguments) as context:
        given = [
            p for p in command.params if context.get_parameter_source(p.name).name != "DEFAULT"
        ]
    assert given


def documented():
    """(file, words) of every command in the code blocks of the documents."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
        for line in "".join(blocks).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] in ("geolrm", "geolrm-export", "geolrm-train"):
                yield path.name, words


def test_every_command_in_the_documents_parses():
    found = list(documented())
    assert len(found) > 30
    known = programs()
    for name, words in found:
        size = 2 if words[0] == "geolrm" else 1
        command, rest = known[" ".join(words[:size])], words[size:]
        if words[1] == "bench":
            command, rest = command.commands[words[2]], words[3:]
        try:
            command.make_context(" ".join(words[:size]), list(rest)).close()
        except Exception as error:
            pytest.fail(f"{name}: {shlex.join(words)}: {error}")


@pytest.mark.parametrize("name", programs())
def test_flags_are_called_alike(name):
    for parameter in programs()[name].params:
        if parameter.name in FLAGS and parameter.param_type_name == "option":
            assert set(FLAGS[parameter.name]) <= set(parameter.opts), parameter.opts


@pytest.fixture
def splats(tmp_path):
    random_gaussians().save(tmp_path / "a.ply")
    return tmp_path / "a.ply"


@pytest.mark.parametrize(
    "arguments",
    [
        ("render", "a.ply", "--orbit", "2", "--size", "32", "-o", "frames"),
        ("view", "a.ply", "-o", "a.html"),
        ("convert", "a.ply", "b.splat"),
        ("info", "mini"),
        ("check", CAPTURES / "lion", "-o", "a.png"),
        ("run", CAPTURES / "lion", "-o", "r.ply", "--views", "0,12", "--max-tokens", "32",
         "--refine", "0"),
    ],
)  # fmt: skip
def test_json_stands_alone_on_standard_output(splats, tmp_path, arguments):
    run = call if arguments[0] == "run" else call_here  # in a process, native code could print
    done = run("geolrm", *arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("info", "none"), 2),
        (("run", "none", "-o", "a.ply"), 2),
        (("nonsense",), 2),
        (("run", "--nonsense"), 2),
        (("check", CAPTURES / "lion", "-o", "a.png", "--model"), 2),
        ((), 2),
        (("--help",), 0),
    ],
)
def test_exit_codes(tmp_path, arguments, code):
    done = call("geolrm", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", ["geolrm", "geolrm-export", "geolrm-train"])
def test_shell_completion_can_be_shown_and_installed(program, tmp_path):
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = call(program, "--show-completion", "bash", env=home)
    assert done.returncode == 0, done.stderr
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    assert variable in done.stdout
    done = call(program, "--install-completion", "bash", env=home)
    assert done.returncode == 0, done.stderr
    script = tmp_path / ".bash_completions" / f"{program}.sh"
    assert variable in script.read_text() and str(script) in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize("program", ["geolrm", "geolrm-export", "geolrm-train"])
def test_version(program):
    done = call_here(program, "--version")
    assert done.returncode == 0
    assert done.stdout == f"geolrm {importlib.metadata.version('geolrm')}\n"


def test_a_full_disk_below_standard_output_is_one_sentence(splats, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    command = [BIN / "geolrm", "convert", "a.ply", "b.ply", "--json"]
    at_once = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, env=at_once
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"


def test_a_reader_that_leaves_is_no_traceback(splats, tmp_path):
    process = subprocess.Popen(
        [BIN / "geolrm", "info", "mini"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 1


def test_bench_names_itself_and_gives_json():
    done = call_here("geolrm", "bench", "formats", "--splats", 100, "--repeats", 1, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = {row["what"]: row for row in report["rows"]}
    assert report["splats"] == 100 and rows[".splat written"]["bytes"] == 3200
    assert rows[".spz read"]["gate"] == 1.5 and rows[".spz read"]["median"] > 0
    for name in ("raster", "formats"):
        done = call_here("geolrm", "bench", name, "--help")
        assert done.stdout.startswith(f"usage: geolrm bench {name} "), done.stdout
    assert_refused(call_here("geolrm", "bench", "formats", "--splats", 0), "must be 1 or more")


def test_shell_completion_completes():
    words = {"_GEOLRM_COMPLETE": "complete_bash", "COMP_WORDS": "geolrm ch", "COMP_CWORD": "1"}
    assert call("geolrm", env=words).stdout.split() == ["check"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.4])
def test_an_early_interrupt_is_one_line(tmp_path, seconds):
    """After Python itself has started, which a file says that is imported by the entry point."""
    code = f"import sys; sys.argv[1:] = ['run', {str(CAPTURES / 'lion')!r}, '-o', 'a.ply']\n" \
           "from geolrm.commands import main\nopen('started', 'w').close()\nmain()"  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    while not (tmp_path / "started").exists():
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted; no unfinished file was left"
    assert "Traceback" not in errors and not (tmp_path / "a.ply").exists()


def test_the_face_of_the_package_is_complete():
    import geolrm

    assert all(getattr(geolrm, name) is not None for name in geolrm.__all__)
    assert set(geolrm.__all__) <= set(dir(geolrm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        geolrm.nothing  # noqa: B018


@pytest.mark.parametrize("command", [("geolrm",), ("geolrm", "run"), ("geolrm-export",)])
def test_help_has_an_example(command):
    done = call(*command, "--help")
    assert done.returncode == 0
    if len(command) > 1 or command[0] == "geolrm-export":
        assert "Example:" in done.stdout
