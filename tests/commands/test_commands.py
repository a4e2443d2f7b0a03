"""The commands as a user runs them, in processes of their own."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness.processes import BIN, assert_refused, call, call_here
from PIL import Image

from geolrm.examples import CAPTURES


def test_demo_writes_splats_and_pictures(tmp_path):
    done = call("geolrm", "demo", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for stage in ("prepare", "encode", "propose", "select", "reconstruct", "total"):
        assert stage in done.stdout
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["inputs_and_renders.png", "shoe.html", "shoe.ply"]
    header = (tmp_path / "out" / "shoe.ply").read_bytes()[:200].decode("latin-1")
    assert int(header.split("element vertex ")[1].split("\n")[0]) > 500
    with Image.open(tmp_path / "out" / "inputs_and_renders.png") as picture:
        assert picture.size == (6 * 228 + 4, 2 * 228 + 4)
        pixels = np.asarray(picture)
    for row in (pixels[:228], pixels[228:]):  # inputs, renders: something is drawn on white
        assert 0.05 < (row.min(axis=-1) < 200).mean() < 0.95


def test_demo_in_json_checks_its_folder_first(tmp_path):
    (tmp_path / "file").write_text("")
    done = call_here("geolrm", "demo", "-o", tmp_path / "file", "--json")
    assert_refused(done, "file' is not a folder")
    done = call_here("geolrm", "demo", "-o", tmp_path / "out", "--json")
    assert done.returncode == 0 and done.stderr == ""
    report = json.loads(done.stdout)
    assert report["gaussians"] > 500 and len(report["views"]) == 6
    for name in ("output", "page", "picture"):
        assert Path(report[name]).parent == tmp_path / "out" and Path(report[name]).is_file()


@pytest.mark.parametrize("capture", ["shoe", "banana", "lion"])
def test_run_reports_in_json(tmp_path, capture):
    done = call(
        "geolrm", "run", CAPTURES / capture, "-o", tmp_path / "a.ply", "--views", "0,6,12,",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["views"] == [0, 6, 12]
    assert report["gaussians"] > 500
    assert (tmp_path / "a.ply").stat().st_size > 500 * 17 * 4


def test_run_spreads_the_default_number_of_views_and_prints_them(tmp_path):
    done = call(
        "geolrm", "run", CAPTURES / "lion", "-o", tmp_path / "a.ply", "--max-tokens", 100,
        "--refine", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("views: "))
    assert line.count(",") == 5 and "of 38 (spread over the directions)" in line
    assert "1,600 Gaussians from 100 anchors" in done.stdout


def corrupt_json(folder):
    (folder / "transforms.json").write_text("{")


def remove_unchosen_image(folder):
    (folder / "rgb" / "037.png").unlink()


def truncate_image(folder):
    image = folder / "rgb" / "020.png"
    image.write_bytes(image.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (corrupt_json, "transforms.json is no valid JSON"),
        (remove_unchosen_image, "frame 37: image"),
        (truncate_image, "frame 20: image"),
        (shutil.rmtree, "is no capture (there is no such path)"),
    ],
)
def test_run_refuses_damaged_captures_and_writes_nothing(capture_copy, tmp_path, damage, message):
    damage(capture_copy)
    output = tmp_path / "results" / "a.ply"
    done = call("geolrm", "run", capture_copy, "-o", output, "--views", "2")
    assert_refused(done, message)
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "0"], "--views is 0; this capture has 38 frames, so give 1 to 38"),
        (["--views", "30"], "30 views were given; this bundle takes 1 to 24"),
        (["--views", "0,99"], "view 99 was asked for"),
        (["--views", "0,0"], "give frame indices, each once"),
        (["--views", "many"], "--views is 'many'; give a number of views such as 6"),
        (["--model", "none"], "no bundle at 'none'"),
        (["--max-tokens", "99999"], "max_tokens is 99999; this bundle takes 1 to 12288"),
        (["--selection", "best"], "it must be 'random' or 'confident'"),
        (["--threads", "0"], "threads is 0"),
        (["--views", ""], "--views is ''; give a number of views"),
        (["--seed", "-1"], "seed is -1; it must be a whole number from 0"),
    ],
)
def test_run_refuses_bad_options(tmp_path, options, message):
    done = call("geolrm", "run", CAPTURES / "banana", "-o", tmp_path / "a.ply", *options)
    assert_refused(done, message)
    assert not (tmp_path / "a.ply").exists()


def test_run_writes_ply_only(tmp_path):
    done = call("geolrm", "run", CAPTURES / "banana", "-o", tmp_path / "a.obj")
    assert_refused(done, "the file name must end in .ply")


def test_info_describes_a_bundle(bundles):
    done = call("geolrm", "info", bundles["head"], "--json")
    facts = json.loads(done.stdout)
    assert facts["self_attention"] == "head" and facts["padded_tokens"] == 64
    assert facts["tokens"] == "1:64:512"


def test_export_writes_a_verified_bundle_and_refuses_to_replace_it(tmp_path):
    arguments = ("geolrm-export", "mini", "-o", "b", "--fp16", "--image-size", "56")
    done = call(*arguments, "--tokens", "1:64:128", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("cosine", "norm ratio", "max abs", "occupancy logits", "fp16"):
        assert word in done.stdout
    assert_refused(
        call(*arguments, cwd=tmp_path), "already holds a bundle; replace it with --force"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fp16", "--fp32"], "--fp32 and --fp16 were both given"),
        (["--backend", "metal"], "--backend is 'metal'; it must be one of "),
        (["--views", "1:6"], "--views is '1:6'; it must be MIN:OPT:MAX"),
        (["--tokens", "8:4:9"], "--tokens is 8:4:9; it must satisfy 1 <= MIN <= OPT <= MAX"),
        (["--self-attention", "both"], "it must be 'token', 'head' or 'auto'"),
        (["--rope-scale", "2"], "--rope-scale is '2'; it must be 0.5 or 1.0"),
        (["--image-size", "100"], "--image-size is 100; it must be a multiple of the patch size"),
        (["-o", "file"], "'file' is a file; name a folder with -o"),
        (["-o", "."], "is a folder that holds other files"),
    ],
)
def test_export_refuses_bad_options(tmp_path, options, message):
    (tmp_path / "file").write_text("")
    assert_refused(call("geolrm-export", "mini", *options, cwd=tmp_path), message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("seconds", [2, 7])
def test_an_interrupted_export_says_so_and_leaves_nothing(tmp_path, seconds):
    command = [str(BIN / "geolrm-export"), "mini", "-o", "b"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted; no unfinished file was left"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_checked_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    refused = "cannot write"
    assert_refused(call("geolrm-export", "mini", "-o", tmp_path / "file" / "b"), refused)
    assert_refused(
        call("geolrm", "run", CAPTURES / "lion", "-o", tmp_path / "file" / "a.ply"), refused
    )


def test_export_refuses_a_missing_checkpoint(tmp_path):
    assert_refused(call("geolrm-export", "none.ckpt", cwd=tmp_path), "no checkpoint at 'none.ckpt'")


@pytest.mark.parametrize("command", [("geolrm",), ("geolrm", "run"), ("geolrm-export",)])
def test_help_has_an_example(command):
    done = call(*command, "--help")
    assert done.returncode == 0
    if len(command) > 1 or command[0] == "geolrm-export":
        assert "Example:" in done.stdout
