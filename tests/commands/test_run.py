"""``geolrm run`` on the bundled captures, in a process of its own once."""

import json
import shutil

import pytest
from harness.processes import assert_refused, call, call_here

from geolrm import Gaussians
from geolrm.examples import CAPTURES


@pytest.mark.parametrize("capture", ["shoe", "banana", "lion"])
def test_run_reports_in_json(tmp_path, capture):
    done = (call if capture == "shoe" else call_here)(
        "geolrm", "run", CAPTURES / capture, "-o", tmp_path / "a.ply", "--views", "0,6,12,",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["views"] == [0, 6, 12]
    assert report["gaussians"] > 500
    assert (tmp_path / "a.ply").stat().st_size > 500 * 17 * 4


def test_run_spreads_the_default_number_of_views_and_prints_them(tmp_path):
    done = call_here(
        "geolrm", "run", CAPTURES / "lion", "-o", tmp_path / "a.ply", "--max-tokens", 100,
        "--refine", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("views: "))
    assert line.count(",") == 5 and "of 38 (spread over the directions)" in line
    assert "1,600 Gaussians from 100 anchors" in done.stdout


def corrupt_json(folder):
    (folder / "transforms.json").write_text("{")


def remove_every_image(folder):
    shutil.rmtree(folder / "rgb")


def truncate_image(folder):
    image = folder / "rgb" / "020.png"
    image.write_bytes(image.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (corrupt_json, "transforms.json is no valid JSON"),
        (remove_every_image, "every one of the 38 listed images is missing"),
        (truncate_image, "frame 20: image"),
        (shutil.rmtree, "is no capture (there is no such path)"),
    ],
)
def test_run_refuses_damaged_captures_and_writes_nothing(capture_copy, tmp_path, damage, message):
    damage(capture_copy)
    output = tmp_path / "results" / "a.ply"
    done = call_here("geolrm", "run", capture_copy, "-o", output, "--views", "2")
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
        (["--spz-version", "4"], "--spz-version was given, but .ply files are no SPZ: leave it "),
        (["--sh-degree", "4"], "--sh-degree is 4; it must be 0, 1, 2 or 3"),
        (["--sh-degree", "0", "--raw-ply"], "--sh-degree was given, but a raw PLY holds no harm"),
    ],
)
def test_run_refuses_bad_options(tmp_path, options, message):
    done = call_here("geolrm", "run", CAPTURES / "banana", "-o", tmp_path / "a.ply", *options)
    assert_refused(done, message)
    assert not (tmp_path / "a.ply").exists()


def test_the_file_is_as_it_was_asked_for(tmp_path):
    done = call_here(
        "geolrm", "run", CAPTURES / "banana", "-o", tmp_path / "a.spz", "--views", "0,6,12",
        "--refine", "0", "--spz-version", "4", "--sh-degree", "2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "a.spz").read_bytes()
    assert content[:4] == b"NGSP" and content[4] == 4  # not packed by gzip as a whole, as 3 is
    assert Gaussians.load(tmp_path / "a.spz").sh.shape[1] == 9


def test_run_writes_ply_only(tmp_path):
    done = call_here("geolrm", "run", CAPTURES / "banana", "-o", tmp_path / "a.obj")
    assert_refused(done, "the file name must end in .ply")


def test_the_output_is_checked_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    done = call_here("geolrm", "run", CAPTURES / "lion", "-o", tmp_path / "file" / "a.ply")
    assert_refused(done, "cannot write")
