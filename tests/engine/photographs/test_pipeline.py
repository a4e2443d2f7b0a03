"""Photographs of a box whose poses are known: COLMAP runs, in a process of its own."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from samples.textured_box import orbit, render, write_photographs

from geolrm import InputError, load_capture
from geolrm.engine.photographs import PhotographOptions, capture_photographs, ladder

COUNT, BLURRED, TWIN = 9, "05b.png", "zz.png"
SIZE = {"width": 400, "height": 300, "focal": 500 * 38 / np.hypot(36, 24), "film": 38}
PHASES = ("reading the photographs", "finding features", "choosing pairs", "matching photographs",
          "building a model (chosen pairs)", "cutting out the object", "fitting the object into "
          "the cube", "writing")  # fmt: skip


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """The folder, the report, the true poses, and the phases that were interrupted before."""
    folder = tmp_path_factory.mktemp("box")
    poses = orbit(COUNT, degrees=117)
    paths = write_photographs(folder / "photos", poses, alpha=True, **SIZE)
    with Image.open(paths[5]) as image:
        small = image.convert("RGB").resize((20, 15))
    small.resize((400, 300)).save(folder / "photos" / BLURRED)
    Image.open(paths[8]).save(folder / "photos" / TWIN)
    (folder / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    interrupted = [phase for phase in PHASES if is_interrupted(folder, phase)]
    return folder, pose(folder), poses, interrupted


def pose(folder, progress=lambda title, done, total: None, name="box.capture"):
    options = PhotographOptions(masks="none", threads=2)
    return capture_photographs(folder / "photos", folder / name, options, progress)


def is_interrupted(folder, phase):
    """Interrupt a call as soon as a phase begins, and say whether it came to that."""

    def interrupt(title, done, total):
        if title == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pose(folder, interrupt)
    return not (folder / "box.capture").exists()


def test_every_photograph_is_posed_or_named_with_a_reason(posed):
    _, report, _, _ = posed
    assert report["photographs"] == COUNT + 3 and report["posed"] == COUNT
    reasons = {entry["name"]: entry["reason"] for entry in report["left_out"]}
    assert reasons[BLURRED] == "blurred" and reasons[TWIN] == "equal to 08.png"
    assert "broken.png' cannot be decoded: " in reasons["broken.png"]
    assert report["rungs"][0]["posed"] == COUNT and report["reprojection_error_px"] < 1
    assert f"hold still, or use more light: {BLURRED} blurred" in report["photograph_again"]
    assert any("no photograph for 2" in each for each in report["photograph_again"])


def test_the_poses_are_the_true_ones_up_to_a_similarity(posed):
    folder, _, poses, _ = posed
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
    # COLMAP finds the focal length of so few small photographs to some percent, and bends the ring.
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 2


def test_a_call_goes_on_where_it_was_interrupted_in_any_phase(posed):
    _, report, _, interrupted = posed
    assert interrupted == list(PHASES)
    steps = ["photographs", "features", "pairs", "pairs_matches", "incremental_model", "masks",
             "undistorted"]  # fmt: skip
    assert report["steps_done_before"] == steps  # by the calls that were interrupted


def test_what_is_done_is_not_done_again(posed):
    folder, report, _, _ = posed
    jobs = []
    again = pose(folder, lambda title, done, total: jobs.append(title))
    assert set(jobs) == {PHASES[0], *PHASES[-2:]}
    assert {**again, "steps_done_before": None} == {**report, "steps_done_before": None}


def test_what_is_written_is_what_nerfstudio_reads(posed):
    folder = posed[0] / "box.capture"
    content = json.loads((folder / "transforms.json").read_text())
    assert content["camera_model"] == "PINHOLE" and len(content["frames"]) == COUNT
    frame = content["frames"][0]
    assert {"fl_x", "fl_y", "cx", "cy", "w", "h", "file_path", "transform_matrix"} <= set(frame)
    assert (folder / frame["file_path"]).is_file()
    assert (folder / content["ply_file_path"]).read_bytes().startswith(b"ply\n")


def test_a_process_that_is_killed_or_interrupted_goes_on(tmp_path):
    write_photographs(tmp_path / "photos", orbit(5, degrees=40), alpha=True, width=320, height=240,
                      focal=347)  # fmt: skip
    code = "from geolrm.commands import main; main()"
    arguments = ["capture", "photos", "-o", "a.capture", "--masks", "none", "--threads", "2"]
    command = [sys.executable, "-c", code, *arguments]

    def stop(phase, number):
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                                   env=dict(os.environ, PYTHONUNBUFFERED="1"))  # fmt: skip
        for line in process.stderr:
            if line.startswith(phase):
                break
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert not (tmp_path / "a.capture").exists()
        return process.returncode, errors.splitlines()[-1:]

    assert stop("choosing pairs", signal.SIGKILL) == (-signal.SIGKILL, [])
    code, said = stop("matching photographs", signal.SIGINT)
    assert (code, said) == (130, ["error: interrupted; no unfinished file was left"])
    last = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    report = json.loads(last.stdout)
    assert report["steps_done_before"][:3] == ["photographs", "features", "pairs"]
    assert report["posed"] >= 4  # COLMAP does not pose the same ones each time


def test_an_object_that_turns_before_a_still_background(tmp_path):
    """Without --turntable the background wins, and nothing seems to have moved."""
    rng = np.random.default_rng(3)
    wall = Image.fromarray(rng.integers(0, 255, (80, 107, 3), np.uint8)).resize((320, 240), 3)
    for index, c2w in enumerate(orbit(6, degrees=48)):
        box = Image.fromarray(render(c2w, 320, 240, 347.0))
        picture = wall.copy()
        picture.paste(box, mask=box.getchannel("A"))
        for name, image in (("images", picture), ("masks", box.getchannel("A"))):
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / f"{index}.png")
    options = PhotographOptions(turntable=True, threads=2)
    report = capture_photographs(tmp_path, tmp_path / "a.capture", options)
    assert report["posed"] == 6 and report["masked"] == 6
    found = load_capture(tmp_path / "a.capture").cameras.c2w[:, :3, :3]
    turns = np.einsum("vij,vij->v", found[1:], found[:-1])
    degrees = np.degrees(np.arccos(np.clip((turns - 1) / 2, -1, 1)))
    true = orbit(6, degrees=48)[:, :3, :3]
    cosine = (np.einsum("vij,vij->v", true[1:], true[:-1]) - 1) / 2
    np.testing.assert_allclose(degrees, np.degrees(np.arccos(cosine)), atol=1.5)


def test_photographs_of_nothing_in_common(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "RUNGS", (ladder.RUNGS[0], ladder.RUNGS[3]))  # both mappers
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
