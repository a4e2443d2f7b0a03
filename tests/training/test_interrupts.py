"""The command through signals and deaths: what was saved goes on to the same bits."""

import json
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")

from harness.processes import BIN  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from geolrm.training.run_folder import RunFolder  # noqa: E402

COMMAND = ["smoke", "--data", "procedural:2", "--seed", "3", "--threads", "1"]
SMALL = [
    *("--set", "model.image_size=56", "--set", "views.target_size=24"),
    *("--set", "views.max_inputs=2", "--set", "max_anchors=128"),
    *("--set", "model.encoder.num_layers=1", "--set", "model.proposal.transformer.num_layers=1"),
    *("--set", "model.reconstruction.transformer.num_layers=1"),
    *("--set", "model.cues.volume_channels=8"),
]


def begin(folder, *extra, launcher=()):
    command = [*launcher, str(BIN / "geolrm-train"), *COMMAND, *SMALL, "-o", str(folder), *extra]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_step(folder, step, process):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if len(RunFolder(folder).records()) >= step and RunFolder(folder).checkpoints():
            return
        time.sleep(0.1)
    process.kill()
    pytest.fail("".join(process.communicate()))


def assert_equal_weights(folder, other):
    first, second = (load_file(f / "weights.safetensors") for f in (folder, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    process = begin(folder, "--steps", "12", "--picture-steps", "6")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return folder, out


def test_a_whole_run_leaves_its_files(uninterrupted):
    folder, out = uninterrupted
    assert "step 12/12" in out and "to go" in out and f"done: {folder}" in out
    assert {file.name for file in folder.iterdir()} == {
        ".lock", "checkpoints", "curves.png", "metrics.jsonl", "objects.json", "run.json",
        "samples", "weights.safetensors",
    }  # fmt: skip
    assert {file.name for file in (folder / "samples").iterdir()} == {
        "step0000001.png", "step0000006.png", "step0000012.png",
    }  # fmt: skip
    described = json.loads((folder / "run.json").read_text())
    assert described["recipe"]["seed"] == 3
    assert {"geolrm", "commit", "torch"} <= described["versions"][0].keys()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")
def test_an_interrupted_command_goes_on_to_the_same_bits(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    often = ("--steps", "12", "--checkpoint-seconds", "0")
    for sent, step in ((signal.SIGINT, 2), (signal.SIGTERM, 5), (signal.SIGKILL, 8)):
        process = begin(folder, *often)
        wait_for_step(folder, step, process)
        process.send_signal(sent)
        out, err = process.communicate(timeout=300)
        if sent == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            continue
        assert process.returncode == 128 + sent, err
        assert "stopped; the same command goes on from here" in out
        assert "Traceback" not in err
        records, checkpoint = RunFolder(folder).records(), RunFolder(folder).checkpoints()[0]
        assert checkpoint.stem == f"step{len(records):08d}", "the last step was saved"
    process = begin(folder, *often)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert_equal_weights(folder, uninterrupted[0])
    assert [record["step"] for record in RunFolder(folder).records()] == list(range(12))


@pytest.mark.long
def test_two_processes_resume_to_the_same_bits_under_torchrun(tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    steps = ("--steps", "4", "--checkpoint-seconds", "0")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    for folder, interrupted in ((whole, False), (parted, True), (parted, False)):
        resumed = folder == parted and not interrupted
        launcher = [*torchrun, "--nproc-per-node", "2"] if resumed else []
        processes = () if resumed else ("--processes", "2")
        process = begin(folder, *steps, *processes, launcher=launcher)
        if interrupted:
            wait_for_step(folder, 1, process)
            process.terminate()
        _, err = process.communicate(timeout=600)
        assert process.returncode == (143 if interrupted else 0), err
    assert_equal_weights(whole, parted)
    assert len(RunFolder(parted).records()) == 4
