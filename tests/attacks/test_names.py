"""Names that are not UTF-8, or that a terminal or a page would obey: they work, and are only shown.

Every command takes them for every file that it reads and writes, to its end; what it prints can be
printed, holds no control, and no markup of the library that draws its tables counts.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from harness.processes import call, call_here
from PIL import Image
from samples.gaussians import random_gaussians

import geolrm
from geolrm.examples import capture_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")

# Not UTF-8; a colour, a title and a click for a terminal; a turn of direction; markup of rich; a
# script for a page; a formula for a plot; a new line with an error of its own.
HOSTILE = os.fsdecode(
    b"caf\xe9\x1b[31m\x1b]0;x\x07\xc2\x9b1m\xe2\x80\xae[bold]<script>$x$\nerror: x"
)
MINI = Path(geolrm.__file__).parent / "models" / "mini"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def place(tmp_path):
    found = tmp_path / HOSTILE
    found.mkdir()
    return found


@pytest.fixture
def splats(place):
    path = place / f"{HOSTILE}.ply"
    random_gaussians().save(path)
    return path


@pytest.fixture
def capture(place):
    """A few frames of a capture, every one of a hostile name."""
    source, folder = capture_path("banana"), place / HOSTILE
    folder.mkdir()
    content = json.loads((source / "transforms.json").read_text())
    content["frames"] = content["frames"][:: len(content["frames"]) // 4][:4]
    for index, frame in enumerate(content["frames"]):
        name = f"{index}{HOSTILE}.png"
        shutil.copy(source / frame["file_path"], folder / name)
        frame["file_path"] = name
        frame.pop("mask_path", None)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def assert_plain(done, code=0):
    assert done.returncode == code, done.stderr
    for text in (done.stdout, done.stderr):
        text.encode()
        assert not CONTROL.search(text), ascii(CONTROL.search(text)[0])
        assert "Traceback" not in text
    starts = [line for line in done.stderr.splitlines() if line.startswith("error: x")]
    assert not starts, "a line that a name brought"


def test_convert(place, splats):
    for suffix in (".ply", ".spz", ".splat", ".glb", ".sog", ".npz", ".usda", ".usdz"):
        output = place / f"out{HOSTILE}{suffix}"
        done = call_here("geolrm", "convert", splats, output)
        assert_plain(done)
        assert output.is_file() and r"caf\xe9\x1b[31m" in done.stdout


def test_render(place, splats):
    done = call_here(
        "geolrm", "render", splats, "--orbit", 1, "--size", 16, "-o", place / f"o{HOSTILE}"
    )
    assert_plain(done)
    assert len(list((place / f"o{HOSTILE}").iterdir())) == 1


def test_mesh(place, splats):
    pytest.importorskip("skimage")
    done = call_here("geolrm", "mesh", splats, "--size", 16, "--views", 4,
                     "-o", place / f"o{HOSTILE}.glb")  # fmt: skip
    assert_plain(done, code=done.returncode if done.returncode == 1 else 0)
    assert done.returncode == 0 or "shows no opaque surface" in done.stderr


def assert_sound_page(page):
    text = page.read_text(encoding="utf-8")
    assert "<script>$x$" not in text, "the name ran"
    head = text[: text.index("<style")]
    assert not CONTROL.search(head.replace("\r", "")), "the name is obeyed"
    assert r"caf\xe9\x1b[31m" in text


def test_view(place, splats, capture):
    done = call_here("geolrm", "view", splats, "--cameras", capture, "-o",
                     place / f"p{HOSTILE}.html")  # fmt: skip
    assert_plain(done)
    assert_sound_page(place / f"p{HOSTILE}.html")


def test_check(place, capture):
    done = call_here("geolrm", "check", capture, "-o", place / f"c{HOSTILE}.png")
    assert_plain(done)
    assert Image.open(place / f"c{HOSTILE}.png").width == 1600


def test_info(place):
    bundle = shutil.copytree(MINI, place / f"bundle{HOSTILE}")
    done = call_here("geolrm", "info", bundle)
    assert_plain(done)
    assert r"caf\xe9" in "".join(done.stdout.split())


def test_run_to_the_end(place, capture):
    """With all that it can write; ``--view`` failed after all the work."""
    out = {name: place / f"{name}{HOSTILE}{suffix}" for name, suffix in
           (("o", ".ply"), ("s", ".safetensors"), ("w", ""))}  # fmt: skip
    done = call("geolrm", "run", capture, "-o", out["o"], "--view", "--scene", out["s"],
                "--write-capture", out["w"], "--refine", 0, "--max-tokens", 64)  # fmt: skip
    assert_plain(done)
    assert_sound_page(out["o"].with_suffix(".html"))
    page = place / f"again{HOSTILE}.html"
    assert_plain(call_here("geolrm", "view", out["s"], "-o", page))
    assert_sound_page(page)
    assert_plain(call_here("geolrm", "check", out["w"], "-o", place / "w.png"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "{}.ply", "a.ply"],
        ["convert", "{}", "a.ply"],
        ["convert", "a.ply", "{}"],
        ["render", "{}.ply", "-o", "o"],
        ["view", "{}.ply", "-o", "a.html"],
        ["view", "{}.safetensors", "-o", "a.html"],
        ["view", "a.ply", "-o", "{}"],
        ["mesh", "{}.ply", "-o", "a.glb"],
        ["check", "{}"],
        ["run", "{}", "-o", "a.ply"],
        ["run", "a", "-o", "{}"],
        ["run", "a", "-o", "a.ply", "--scene", "{}"],
        ["eval", "{}"],
        ["info", "{}"],
        ["info", "--views", "{}"],
        ["--{}"],
        ["{}"],
        ["run", "--{}"],
        ["check", "a", "{}"],
    ],
)
def test_errors_show_names(tmp_path, arguments):
    given = [argument.format(HOSTILE) for argument in arguments]
    done = call_here("geolrm", *given, cwd=tmp_path)
    assert_plain(done, code=2)
    assert done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("program", ["geolrm-export", "geolrm-train"])
def test_errors_of_the_other_programs(tmp_path, program):
    more = ["--data", HOSTILE, "-o", "o"] if program == "geolrm-train" else []
    done = call_here(program, f"{HOSTILE}.ckpt", *more, cwd=tmp_path)
    assert_plain(done, code=2)


def test_warnings_and_refusals_quote_what_files_hold(tmp_path):
    """Names within files: of frames, of models, of properties."""
    frame = {"file_path": f"{HOSTILE}.png", "transform_matrix": np.eye(4).tolist()}
    content = {"camera_angle_x": 0.8, "camera_model": HOSTILE, "frames": [frame]}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    done = call_here("geolrm", "check", tmp_path, "-o", tmp_path / "a.png")
    assert_plain(done, code=2)
    Image.new("RGB", (8, 8)).save(tmp_path / f"{HOSTILE}.png")
    done = call_here("geolrm", "check", tmp_path, "-o", tmp_path / "a.png")
    assert_plain(done, code=2)
    assert r"camera_model is 'caf\xe9" in done.stderr or "camera_model is" in done.stderr


def test_tables_and_steps_know_no_markup(capsys):
    from geolrm.commands.console import print_table, steps

    print_table(HOSTILE, ["a"], [[HOSTILE], ["[/]"]])
    with steps() as step:
        step(HOSTILE)
    found = capsys.readouterr()
    assert not CONTROL.search(found.out) and not CONTROL.search(found.err)
    assert "[bold]" in "".join(found.out.split()) and "[/]" in found.out


def test_a_spinner_knows_no_markup(monkeypatch):
    """What is drawn on a terminal."""
    import io

    from rich import console as rich_console

    from geolrm.commands import console

    drawn = io.StringIO()
    real = rich_console.Console

    def terminal(**options):
        return real(file=drawn, force_terminal=True, color_system=None, width=200)

    monkeypatch.setattr(rich_console, "Console", terminal)
    with console.steps() as step:
        step(f"[/]{HOSTILE}")
    with console.progress_bar("[/]", 1) as advance:
        advance()
    assert "\x1b[31m" not in drawn.getvalue() and "\x1b]0;" not in drawn.getvalue()


def test_a_written_capture_takes_names_of_any_length(tmp_path):
    from geolrm.engine.captures import load_capture
    from geolrm.engine.captures.capture import Capture
    from geolrm.engine.captures.writing import write_capture
    from geolrm.engine.geometry.cameras import Cameras

    image = np.full((8, 8, 4), 255, np.uint8)
    names = ["x" * 4000 + ".png", os.fsdecode(b"\xff" * 300), HOSTILE]
    made = Capture(tmp_path, names, [image] * 3, Cameras.orbit([0.0, 90, 180], 0.0, 1.8, 50.0))
    write_capture(made, tmp_path / "w")
    assert len(load_capture(tmp_path / "w")) == 3
    assert all(len(os.fsencode(p.name)) <= 255 for p in Path(tmp_path / "w" / "images").iterdir())
