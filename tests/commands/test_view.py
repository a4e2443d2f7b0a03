"""``geolrm view``, and the pages and scenes of ``geolrm run``."""

import json

import numpy as np
import pytest
from harness.processes import assert_refused, call, call_here
from samples.gaussians import random_gaussians

from geolrm.examples import CAPTURES


@pytest.fixture
def splats(tmp_path):
    random_gaussians().save(tmp_path / "a.ply")
    return tmp_path / "a.ply"


def scene_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(text.split('id="scene">')[1].split("</script>")[0])


def test_run_writes_a_page_and_a_scene_that_gives_the_same_page(tmp_path):
    done = call(
        "geolrm", "run", CAPTURES / "shoe", "-o", tmp_path / "shoe.ply", "--views", "0,9,20",
        "--max-tokens", 100, "--refine", 0, "--view",
        "--scene", tmp_path / "shoe.safetensors", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["page"] == str(tmp_path / "shoe.html")
    assert report["scene"] == str(tmp_path / "shoe.safetensors")
    scene = scene_of(tmp_path / "shoe.html")
    assert scene["title"] == "shoe" and scene["splats"]["count"] == 1600
    assert [view["name"] for view in scene["views"]] == [
        f"rgb/0{i}.png" for i in ("00", "09", "20")
    ]
    assert scene["timings"][-1][0] == "total"
    done = call_here("geolrm", "view", tmp_path / "shoe.safetensors", "-o", tmp_path / "b.html")
    assert done.returncode == 0, done.stderr
    assert "1,600 Gaussians, 3 views -> " in done.stdout
    assert (tmp_path / "b.html").read_bytes() == (tmp_path / "shoe.html").read_bytes()


def test_view_takes_cameras_from_a_capture(splats, tmp_path):
    done = call_here("geolrm", "view", splats, "--cameras", CAPTURES / "banana", "--title", "A < B",
                "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    page = tmp_path / "a.html"
    assert report == {
        "source": str(splats), "gaussians": 50, "views": 38, "output": str(page),
        "bytes": page.stat().st_size,
    }  # fmt: skip
    scene = scene_of(page)
    assert len(scene["views"]) == 38
    assert scene["title"] == "A < B"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "page.txt"], "the page is 'page.txt'; its file name must end in .html"),
        (["--up", "x"], "--up is 'x'; it must be one of z, -z, y, -y"),
        (["--cameras", "none"], "'none' is no capture"),
        (["-o", "a.ply/page.html"], "cannot write 'a.ply/page.html'"),
    ],
)
def test_bad_options(splats, tmp_path, options, message):
    assert_refused(call_here("geolrm", "view", splats, *options, cwd=tmp_path), message)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.ply", "none.ply': No such file"), ("none.safetensors", "there is no scene file at"),
     ("none.obj", "names no splat format")],
)  # fmt: skip
def test_missing_sources(tmp_path, name, message):
    assert_refused(call_here("geolrm", "view", tmp_path / name), message)
    assert list(tmp_path.iterdir()) == []


def test_no_gaussians_are_a_page_and_a_warning(tmp_path):
    random_gaussians().select(np.zeros(0, int)).save(tmp_path / "a.ply")
    done = call_here("geolrm", "view", tmp_path / "a.ply")
    assert done.returncode == 0 and "0 Gaussians, 0 views -> " in done.stdout
    assert "a.ply' holds no Gaussians, and so the page shows none" in done.stderr


def test_run_refuses_other_scene_names_before_the_work(tmp_path):
    done = call_here("geolrm", "run", CAPTURES / "lion", "-o", tmp_path / "a.ply", "--scene",
                tmp_path / "a.npz")  # fmt: skip
    assert_refused(done, "its name must end in .safetensors")
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example():
    assert "Example: geolrm view" in call_here("geolrm", "view", "--help").stdout
