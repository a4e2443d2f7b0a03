"""``geolrm-train``: help, arguments, and what it refuses before anything runs."""

import importlib.metadata
import json
import math

import pytest

pytest.importorskip("torch")

from harness.processes import assert_refused, call, call_here
from typer.testing import CliRunner

from geolrm.commands import train
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.training import launch

BASE = ["smoke", "--data", "procedural:1", "-o", "run"]


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """What the command would launch."""
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr(launch, "launch", calls.append)
    return calls


def refuse(capsys, *arguments):
    """Standard error and exit code of the command, run here."""
    with pytest.raises(SystemExit) as caught, one_sentence_errors():
        train.app(list(map(str, arguments)))
    return capsys.readouterr().err, caught.value.code


def test_help_has_an_example():
    shown = " ".join(call_here("geolrm-train", "--help").stdout.split())
    assert "Example: geolrm-train mini --data" in shown and "--without" in shown


def test_switches_reach_the_launch(launched):
    arguments = [
        *BASE, "--steps", "7", "--seed", "4", "--without", "rays", "--without", "rope",
        "--points", "0", "--views", "6", "--set", "losses.mse=2", "--processes", "2",
        "--minutes", "2", "--device", "cpu", "--checkpoint-seconds", "9",
    ]  # fmt: skip
    result = CliRunner().invoke(train.app, arguments)
    assert result.exit_code == 0, result.output
    (options,) = launched
    recipe = options.recipe
    assert (recipe.steps, recipe.seed, recipe.losses.mse, recipe.views.min_inputs) == (7, 4, 2, 6)
    assert recipe.model.encoder.rays == "none"
    assert recipe.model.reconstruction.transformer.num_points == 0
    assert (options.seconds, options.processes, options.device) == (120, 2, "cpu")
    assert options.intervals.checkpoint_seconds == 9


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--steps", "0"], "--steps is 0; it must be 1 or more"),
        (["--processes", "0"], "--processes is 0; it must be 1 or more"),
        (["--minutes", "nan"], "--minutes is nan; it must be a finite number"),
        (["--device", "gpu"], "--device is 'gpu'; it must be one of auto, cpu, cuda"),
        (["--rasterizer", "x"], "--rasterizer is 'x'; it must be one of auto, cpu, gsplat"),
        (["--set", "losses.mse=much"], "Expected `float`, got `str` - at `losses.mse`"),
        (["--set", "what=3"], "what is no field of a recipe"),
        (["--steps", "2", "--set", "steps=3"], "--steps and --set steps=... were both given"),
        (["--without", "sense"], "--without is 'sense'; it must be one of rays"),
    ],
)
def test_arguments_are_checked(launched, capsys, extra, message):
    error, code = refuse(capsys, *BASE, *extra)
    assert message in error and code == 2 and not launched
    assert error.startswith("error: ") and len(error.splitlines()) == 1


def test_cuda_that_is_not_there(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    error, code = refuse(capsys, *BASE, "--device", "cuda")
    assert "torch finds no CUDA device; use --device cpu" in error and code == 2


def test_gsplat_needs_cuda(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error, code = refuse(capsys, *BASE, "--device", "cpu", "--rasterizer", "gsplat")
    assert "--rasterizer is 'gsplat', which renders on CUDA alone" in error and code == 2


def test_without_the_extra(launched, capsys, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    error, code = refuse(capsys, *BASE)
    assert "run: pip install 'geolrm[training]'" in error and code == 1 and not launched


def test_json_stands_alone_and_the_steps_go_to_standard_error(tmp_path):
    small = ["--set", "model.image_size=56", "--set", "views.target_size=24", "--threads", "1"]
    done = call("geolrm-train", *BASE, *small, "--steps", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert math.isfinite(report.pop("loss"))
    assert report == {
        "folder": "run", "step": 1, "steps": 1, "done": True, "weights": "run/weights.safetensors",
    }  # fmt: skip
    assert "step 1/1  loss " in done.stderr and (tmp_path / report["weights"]).is_file()


def test_errors_of_a_child_are_one_sentence(tmp_path):
    done = call("geolrm-train", "smoke", "--data", tmp_path / "none", "-o", "run", cwd=tmp_path)
    assert_refused(done, "none' does not exist; give a folder of .glb meshes")
    assert not (tmp_path / "run").exists()
    small = ["--set", "model.image_size=56", "--set", "views.target_size=24", "--threads", "1"]
    wild = ["--set", "optimizer.learning_rate=1e30", "--set", "optimizer.warmup=0"]
    done = call("geolrm-train", *BASE, *small, *wild, cwd=tmp_path)
    assert_refused(done, "error: training diverged at step", code=1)
    assert "of the batch (shape0) is no number; the last good checkpoint is none" in done.stderr
