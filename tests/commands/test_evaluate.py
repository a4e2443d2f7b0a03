"""``geolrm eval`` as a user runs it."""

import json
import shutil
import sys

import numpy as np
import pytest
from harness.processes import assert_refused, call, call_here
from PIL import Image
from samples.known_shapes import ball_surface, make_splats, write_capture

from geolrm.bench.quality.memory import run_peak_bytes
from geolrm.bench.quality.outputs import METRICS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("captures")
    for name, radius in (("large", 0.4), ("small", 0.2)):
        points = ball_surface(2000, radius)
        write_capture(root / name, make_splats(points, 0.5 + points, 0.02), points)
    return root


def test_scores_a_bundle_in_json_and_fills_a_folder(dataset, bundles, tmp_path):
    folder = tmp_path / "deep" / "scores"
    done = call(
        "geolrm", "eval", dataset, "--model", bundles["token"], "--views", "1,3", "--seed", 3,
        "--threads", 2, "--hull-steps", 1, "--json", "-o", folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # nothing else is on standard output
    assert list(report["views"]) == ["1", "3"] and list(report["objects"]) == ["large", "small"]
    assert report["protocol"]["seed"] == 3
    view = report["views"]["3"]
    hull = view["baselines"]["visual_hull"]
    assert hull["psnr"] > view["baselines"]["white"]["psnr"]
    assert view["seconds"] > 0
    if sys.platform == "linux":
        assert 1e6 < view["peak_bytes"] < 1e9
    assert json.loads((folder / METRICS).read_text()) == report
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    plots = {f"{measure}_over_views.png" for measure in ("psnr", "ssim", "cd")}
    assert names == {METRICS} | plots | {
        f"sheets/{name}_V{count}.png" for name in ("large", "small", "worst") for count in (1, 3)
    }
    with Image.open(folder / "sheets" / "small_V3.png") as sheet:
        assert sheet.size == (18 * 132 + 4, 4 * 132 + 4)
        pixels = np.asarray(sheet)
    assert pixels[:132, : 3 * 132].min() < 100 and pixels[:132, 3 * 132 + 4 :].min() == 255
    with Image.open(folder / "psnr_over_views.png") as plot:
        assert plot.width > 300
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]  # no temporary folder stayed


def test_prints_tables_of_the_baselines(dataset, tmp_path):
    done = call(
        "geolrm", "eval", dataset, "--baselines-only", "--views", "4", "--objects", "large",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in (
        "PSNR",
        "orbit_level",
        "SSIM",
        "IoU 32^3",
        "F 0.02",
        "visual hull",
        "white image",
        "hull, refined",
    ):
        assert word in done.stdout
    assert "LPIPS" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_capture_is_refused_before_anything_is_computed(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "captures")
    image = copy / "small" / "rgb" / "030.png"
    image.write_bytes(image.read_bytes()[:200])
    done = call_here(
        "geolrm", "eval", copy, "--baselines-only", "-o", tmp_path / "scores", "--json"
    )
    assert_refused(done, "small/transforms.json, frame 30: image")
    assert done.stdout == "" and not (tmp_path / "scores").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "4,x"], "--views is '4,x'; give numbers of views, each once"),
        (["--views", "24"], "24 views were asked for; the protocol has 20 input frames"),
        (["--objects", ","], "--objects is ','; give names of objects"),
        (["--baselines-only", "--model", "mini"], "were both given; choose one"),
        (["--model", "none"], "no bundle at 'none'"),
        (["--pose-noise", "1"], "--pose-noise is '1'; it must be DEGREES,SHIFT, such as 1,0.01"),
        (["--pose-noise", "99,0"], "pose_degrees is 99.0; it must be degrees, 0 to 30"),
        (
            ["--pose-noise", "1,nan"],
            "pose_shift is nan; it must be cube sides, 0 to 0.3 (--pose-noise",
        ),
        (["--cut", "1"], "cut is 1.0; it must be a share of the silhouette, 0 to 0.9"),
        (["--exposure", "-1"], "exposure is -1.0; it must be stops, 0 to 5"),
        (["--lpips", "none.pth"], "no LPIPS weights at 'none.pth'"),
        (["-o", "file"], "'file' is a file; name a folder with -o"),
    ],
)
def test_refuses_bad_options(dataset, tmp_path, options, message):
    (tmp_path / "file").write_text("")
    assert_refused(call_here("geolrm", "eval", dataset, *options, cwd=tmp_path), message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_refuses_what_is_no_dataset(tmp_path):
    assert_refused(call_here("geolrm", "eval", tmp_path), "holds no capture")
    assert_refused(call_here("geolrm", "eval", tmp_path / "none"), "is no dataset")


def test_peak_memory_is_not_known_when_the_run_fails(dataset, tmp_path):
    assert run_peak_bytes(tmp_path / "none", dataset / "large", [0], threads=1) is None
