import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from harness.processes import BIN, assert_refused, call_here
from samples.hostile_text import HOSTILE
from samples.small_captures import write_captures
from typer.testing import CliRunner

from geolrm import InputError
from geolrm.commands.batch import parse_workers
from geolrm.commands.main import app
from geolrm.fleet.batch import BatchSummary

ROOT = Path(__file__).parents[2]

QUICK = ("--local", "--views", 2, "--max-tokens", 32, "--refine", 0, "--no-view", "--threads", 1)


def test_workers_are_a_number_or_two():
    assert parse_workers(None) is None
    assert parse_workers("4") == (4, 4) and parse_workers("1:8") == (1, 8)
    assert parse_workers("2:") == (2, None)
    with pytest.raises(InputError, match=r"^--workers is 'all'; give a number, or 1:8$"):
        parse_workers("all")


def test_a_batch_tells_what_it_did(tmp_path):
    captures = write_captures(tmp_path / "captures", ["a", "b\x1b[2J", HOSTILE.replace("/", "")])
    (captures / "a" / "transforms.json").write_text("{")
    done = call_here("geolrm", "batch", "captures", "-o", "out", *QUICK, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "0 of 3" and "a: failed; " in done.stderr and "Löwe_b_co_b_s" in done.stderr
    assert lines[3].split("; ")[1].startswith("3 of 3, 1 failed, ")
    told = done.stdout.splitlines()
    assert told[0].startswith("2 reconstructed, 0 were done before, 1 failed, of 3, ")
    assert told[1].startswith("failed: a: ") and told[-1].endswith("out/index.html")
    assert "\x1b" not in done.stdout + done.stderr
    page = (tmp_path / "out/index.html").read_text()
    assert "<script" not in page and "\x1b" not in page
    again = call_here("geolrm", "batch", "captures", "-o", "out", *QUICK, "--json", cwd=tmp_path)
    summary = json.loads(again.stdout)
    assert again.stderr == "" and again.returncode == 1
    assert (summary["captures"], summary["kept"], summary["failed"]) == (3, 2, 1)
    assert summary["failures"][0]["id"] == "a" and summary["where"] == "this process"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--quality", "good"), "quality is 'good'; it must be 'fast', 'balanced', 'best', or sec"),
        (("--quality", "fast", "--refine", 3),
         "both --quality fast and --refine 3 were given; give one"),
        (("--format", "obj"), "the command line: format is 'obj'; give .ply, .spz, .splat, .glb"),
        (("--local", "--workers", 2), "--local was given with --workers, which is Ray's; give one"),
        (("--local", "--gpus", 0), "--local was given with --gpus, which is Ray's; give one"),
        (("--threads", 2, "--cores", 2), "--threads 2 is of one process and this runs on Ray;"),
        (("--workers", "0"), "workers are 0:0; give a number from 1, or the fewest and the most"),
        (("--model", "none"), "none"),
        ((), "'captures' is not there; give capture folders, folders of them, zip files, or a lis"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(tmp_path, flags, said):
    if "--model" in flags:
        write_captures(tmp_path / "captures", "a")
    done = call_here("geolrm", "batch", "captures", "-o", "out", *flags, cwd=tmp_path)
    assert_refused(done, said)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_one_sentence(tmp_path, monkeypatch):
    import importlib.metadata

    def version(name, found=importlib.metadata.version):
        if name == "fsspec":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    done = call_here("geolrm", "batch", "captures", "-o", "out", cwd=tmp_path)
    assert_refused(done, "error: a batch needs fsspec, which is not installed; run: pip install "
                   "'geolrm[fleet]'", code=1)  # fmt: skip


def test_the_base_package_loads_none_of_it():
    code = "import sys, geolrm, geolrm.commands.main as m; m.register(); " \
           "print({'ray', 'fsspec', 'pyarrow', 'geolrm.fleet'} & set(sys.modules))"  # fmt: skip

    done = subprocess.run([BIN / "python", "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_the_job_of_kuberay_starts_a_batch_on_its_cluster(monkeypatch):
    """It starts just this command, and a worker fits in a pod of the group, none on the head."""
    job = yaml.safe_load((ROOT / "deploy/rayjob.yaml").read_text(encoding="utf-8"))["spec"]
    asked = []

    def noted(inputs, output, **settings):
        asked.append((inputs, output, settings["pool"], settings["local"]))
        return BatchSummary(output, 1, 1, 0, 0, 1.0, "Ray", ())

    monkeypatch.setattr("geolrm.fleet.batch.run_batch", noted)
    program, *arguments = shlex.split(job["entrypoint"])
    assert program == "geolrm" and arguments[0] == "batch"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    ((inputs, output, pool, local),) = asked
    assert (pool.address, pool.workers, pool.cores, local) == ("auto", (1, 8), 2, False)
    cluster = job["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    (engine,) = group["template"]["spec"]["containers"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert engine["resources"]["limits"]["cpu"] == str(pool.cores)
    assert group["maxReplicas"] == pool.workers[1] and cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    for container in (head, engine):
        (mount,) = container["volumeMounts"]
        assert all(path.startswith(f"{mount['mountPath']}/") for path in (*inputs, output))
