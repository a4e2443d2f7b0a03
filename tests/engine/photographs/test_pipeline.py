"""Photographs of a box whose poses are known: COLMAP runs, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from samples.textured_box import orbit, write_photographs

from geolrm import InputError, load_capture
from geolrm.engine.photographs import PhotographOptions, capture_photographs

COUNT, BLURRED, TWIN = 9, "05b.png", "zz.png"


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """The folder, the report, the true poses."""
    folder = tmp_path_factory.mktemp("box")
    poses = orbit(COUNT, degrees=110)
    paths = write_photographs(folder / "photos", poses, alpha=True)
    with Image.open(paths[5]) as image:
        small = image.convert("RGB").resize((24, 18))
    small.resize((480, 360)).save(folder / "photos" / BLURRED)
    Image.open(paths[8]).save(folder / "photos" / TWIN)
    (folder / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    report = capture_photographs(
        folder / "photos", folder / "box.capture", PhotographOptions(masks="none", threads=2)
    )
    return folder, report, poses


def test_every_photograph_is_posed_or_named_with_a_reason(posed):
    _, report, _ = posed
    assert report["photographs"] == COUNT + 3 and report["posed"] == COUNT
    reasons = {entry["name"]: entry["reason"] for entry in report["left_out"]}
    assert reasons[BLURRED] == "blurred" and reasons[TWIN] == "equal to 08.png"
    assert "broken.png' cannot be decoded: " in reasons["broken.png"]
    assert report["rungs"][0]["posed"] == COUNT and report["reprojection_error_px"] < 1
    assert f"hold still, or use more light: {BLURRED} blurred" in report["photograph_again"]
    assert any("no photograph for 2" in each for each in report["photograph_again"])


def test_the_poses_are_the_true_ones_up_to_a_similarity(posed):
    folder, _, poses = posed
    capture = load_capture(folder / "box.capture")
    assert len(capture) == COUNT and all(image.shape[2] == 4 for image in capture.images)
    true, found = poses[:, :3, 3], capture.cameras.c2w[:, :3, 3]
    a, b = true - true.mean(0), found - found.mean(0)
    left, sizes, right = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(left @ right))])
    turn = left @ flip @ right
    scale = (sizes * np.diag(flip)).sum() / (b**2).sum()
    off = np.linalg.norm(scale * b @ turn.T - a, axis=1)
    assert off.max() < 0.02 * 2.2, off  # hundredths of the distance to the object
    turned = turn @ capture.cameras.c2w[:, :3, :3]
    cosines = (np.einsum("vij,vij->v", turned, poses[:, :3, :3]) - 1) / 2
    assert (
        np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 2
    )  # focal length and distance trade


def test_what_is_done_is_not_done_again(posed, tmp_path):
    folder, report, _ = posed
    again = capture_photographs(
        folder / "photos", folder / "box.capture", PhotographOptions(masks="none", threads=2)
    )
    assert report["steps_done_before"] == []
    assert {"photographs", "features", "pairs", "undistorted"} <= set(again["steps_done_before"])
    assert again["posed"] == report["posed"] and again["points"] == report["points"]


def test_what_is_written_is_what_nerfstudio_reads(posed):
    folder = posed[0] / "box.capture"
    content = json.loads((folder / "transforms.json").read_text())
    assert content["camera_model"] == "PINHOLE" and len(content["frames"]) == COUNT
    frame = content["frames"][0]
    assert {"fl_x", "fl_y", "cx", "cy", "w", "h", "file_path", "transform_matrix"} <= set(frame)
    assert (folder / frame["file_path"]).is_file()
    assert (folder / content["ply_file_path"]).read_bytes().startswith(b"ply\n")


def test_an_interrupted_call_goes_on(tmp_path):
    write_photographs(tmp_path / "photos", orbit(6, degrees=75), alpha=True)
    code = "from geolrm.commands import main; main()"
    arguments = ["capture", "photos", "-o", "a.capture", "--masks", "none", "--threads", "2"]
    command = [sys.executable, "-c", code, *arguments]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, PYTHONUNBUFFERED="1"))  # fmt: skip
    for line in first.stderr:
        if line.startswith("matching photographs"):
            break
    time.sleep(0.2)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted; no unfinished file was left"
    assert not (tmp_path / "a.capture").exists()
    second = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    report = json.loads(second.stdout)
    assert {"photographs", "features", "pairs"} <= set(report["steps_done_before"])
    assert report["posed"] == 6


def test_photographs_of_nothing_in_common(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        noise = Image.fromarray(rng.integers(0, 255, (45, 60, 3), np.uint8)).resize((240, 180))
        noise.save(folder / f"{index}.png")
    with pytest.raises(InputError) as raised:
        capture_photographs(folder, tmp_path / "a.capture", PhotographOptions(threads=2))
    assert str(raised.value) == (
        f"no three of the 4 photographs of {str(folder)!r} could be posed together; move the "
        "camera between photographs, by about 15 degrees around the object, and see "
        "docs/photographs.md"
    )
    assert not (tmp_path / "a.capture").exists()
