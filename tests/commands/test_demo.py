"""``geolrm demo``, in a process of its own and here."""

import json
from pathlib import Path

import numpy as np
from harness.processes import assert_refused, call, call_here
from PIL import Image


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
