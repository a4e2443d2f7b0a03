"""Options of the commands."""

from pathlib import Path

import numpy as np
import pytest
from errors.captures import opencv_box
from errors.case import Case, without
from samples.capture_files import write_transforms
from samples.gaussians import random_gaussians

from geolrm import Cameras, load_capture
from geolrm.commands import export, render, train
from geolrm.commands.check import check
from geolrm.commands.evaluate import evaluate, parse_counts, parse_names
from geolrm.commands.export import parse_range
from geolrm.commands.info import info
from geolrm.commands.render import check_count
from geolrm.commands.render import check_output as check_frames
from geolrm.commands.run import run
from geolrm.engine.captures.chosen_views import choose_views, parse_views
from geolrm.engine.system import exit_codes
from geolrm.engine.system.file_lock import locked
from geolrm.examples import capture_path


def draw(**options):
    def trigger(place):
        random_gaussians().save(place.tmp / "a.ply")
        return render.render(place.tmp / "a.ply", place.tmp / "frames", **options)

    return trigger


def of_faulty_views(place):
    return choose_views(load_capture(capture_path("shoe")), [0, 1], {0, 1})


def exported(**options):
    return lambda place: export.export(output=place.tmp / "bundle", **options)


def trained(**options):
    arguments = {"recipe": "smoke", "data": ["procedural:1"], "output": Path("run")}
    return lambda place: train.train(**(arguments | options))


def over(make):
    """Export over what is there already."""

    def trigger(place):
        make(place.tmp / "bundle")
        return export.check_output(place.tmp / "bundle", False)

    return trigger


def bundle_there(path):
    path.mkdir()
    (path / "manifest.json").write_text("")


def others_there(path):
    path.mkdir()
    (path / "a.txt").write_text("")


def taken_lock(place):
    """The refusal of whoever finds a folder in use."""
    pytest.importorskip("fcntl")
    refusal = "another export into 'bundle' is under way"
    with locked(place.tmp / "lock", refusal), locked(place.tmp / "lock", refusal):
        pass


def ending(error):
    """What a command prints when it ends so; its sentence becomes the error's text."""

    def trigger(place):
        said = []

        def fail(message, code):
            said.append(message)
            raise SystemExit(code)

        place.patch.setattr(exit_codes, "fail", fail)
        try:
            with exit_codes.one_sentence_errors():
                raise error
        except SystemExit:
            raise RuntimeError(*said) from None

    return trigger


def packages(module):
    """A command whose extra is not installed."""
    return without("onnx", lambda place: module.require_packages())


def frames_at_a_file(place):
    (place.tmp / "a").write_text("")
    check_frames(place.tmp / "a", 64)


def video_at_a_folder(place):
    (place.tmp / "a.mp4").mkdir()
    check_frames(place.tmp / "a.mp4", 64)


def video_of_two_shapes(place):
    photos = [np.full((8, 8, 4), 255, np.uint8), np.full((8, 6, 4), 255, np.uint8)]
    write_transforms(place.tmp / "c", photos, Cameras.orbit([0, 90], 10, 1.5, 40.0))
    random_gaussians().save(place.tmp / "a.ply")
    render.render(place.tmp / "a.ply", place.tmp / "a.mp4", place.tmp / "c", None, 64, as_json=True)


CASES = [
    Case("--refine-poses is …; give auto, on or off", "Of geolrm run.",
         lambda place: run(place.tmp, place.tmp / "a.ply", refine_poses="maybe")),
    Case("--shading is …; give auto, on or off", "Of geolrm run.",
         lambda place: run(place.tmp, place.tmp / "a.ply", shading="maybe")),
    Case("…: the masks agree on no object, and would if …",
         "Of geolrm run, where most cameras do not see the cube either.",
         lambda place: run(opencv_box(place.tmp), place.tmp / "a.ply")),
    Case("… already exists; name a new folder for the capture", "Of geolrm run --write-capture.",
         lambda place: (
             (place.tmp / "old").mkdir(),
             (place.tmp / "old" / "x").touch(),
             run(place.tmp, place.tmp / "a.ply", write_capture_to=place.tmp / "old"),
         )),
    "geolrm run, check, info",
    Case("--views is …; give a number of views such as 6, or frame indices such as 0,4,8",
         "Of geolrm run.", lambda place: parse_views("many", 38)),
    Case("--views is …; give frame indices, each once", "A frame was named twice.",
         lambda place: parse_views("0,0", 38)),
    Case("--views is 50; this capture has 38 frames, so give 1 to 38", "Of geolrm run.",
         lambda place: parse_views("50", 38)),
    Case("every one of the views 0, 1 has a mask that is empty or inverted; choose others",
         "Of geolrm run --views 0,1.", of_faulty_views),
    Case("the overview is …; its file name must end in .png", "Of geolrm check -o.",
         lambda place: check(place.tmp, place.tmp / "a.jpg")),
    Case("--views and --tokens plan the memory of a GPU, and 'mini' has no GPU artifact; export …",
         "Of geolrm info.", lambda place: info("mini", views=6)),
    "geolrm render",
    Case("--orbit is 0; it must be 1 to 100000 frames", "Of geolrm render.",
         lambda place: check_count(0)),
    Case("--cameras and --orbit were both given; choose one", "Of geolrm render.",
         draw(cameras=Path("a"), orbit=3)),
    Case("--size is 0; it must be 1 to 8192 pixels", "Of geolrm render.", draw(size=0)),
    Case("--threads is 0; it must be at least 1", "Of geolrm render.", draw(threads=0)),
    Case("output is …; name a folder for PNG frames or a .mp4 file",
         "Other images and videos are not written.",
         lambda place: check_frames(place.tmp / "a.gif", 64)),
    Case("… is a file; name a folder or a .mp4 file", "Of geolrm render -o.", frames_at_a_file),
    Case("output … is a folder; name a .mp4 file in it", "Of geolrm render -o.", video_at_a_folder),
    Case("writing .mp4 needs PyAV, which is not installed; run: pip install 'geolrm[video]', or …",
         "An extra.", without("av", lambda place: check_frames(place.tmp / "a.mp4", 32))),
    Case("--size is …; video frames need an even number of pixels", "Of geolrm render.",
         lambda place: check_frames(place.tmp / "a.mp4", 63)),
    Case("… has images of different shapes, and a video has one; name a folder for PNG frames",
         "Of geolrm render --cameras.", video_of_two_shapes),
    Case("--backend is …; it must be cpu or cuda", "Of geolrm render.", draw(backend="gpu")),
    "geolrm eval",
    Case("--views is …; give numbers of views, each once, such as 4,6,8,12,16,20",
         "Of geolrm eval.", lambda place: parse_counts("4,4")),
    Case("--objects is …; give names of objects, such as shoe,lion", "Of geolrm eval.",
         lambda place: parse_names(",")),
    Case("--pose-noise is …; it must be DEGREES,SHIFT, such as 1,0.01", "Of geolrm eval.",
         lambda place: evaluate(place.tmp, pose_noise="1")),
    Case("--model and --baselines-only were both given; choose one", "Of geolrm eval.",
         lambda place: evaluate(place.tmp, model="mini", baselines_only=True)),
    "geolrm-export",
    Case("--tokens is …; it must be MIN:OPT:MAX, three whole numbers such as 1:6:21",
         "Of geolrm-export.", lambda place: parse_range("--tokens", "1:2")),
    Case("--tokens is …; it must satisfy 1 <= MIN <= OPT <= MAX", "Of geolrm-export.",
         lambda place: parse_range("--tokens", "3:2:1")),
    Case("--fp32 and --fp16 were both given; choose one", "Of geolrm-export.",
         exported(fp32=True, fp16=True)),
    Case("--self-attention is …; it must be 'token', 'head' or 'auto'", "Of geolrm-export.",
         exported(self_attention="both")),
    Case("--rope-scale is …; it must be 0.5 or 1.0", "Of geolrm-export.",
         exported(rope_scale="2")),
    Case("--occupancy-bias is …; it must be within … of 0", "Of geolrm-export.",
         exported(occupancy_bias=1e9)),
    Case("--refine-steps is …; it must be 0 to …, 0 for none", "Of geolrm-export.",
         exported(refine_steps=-1)),
    Case("…bundle' is a file; name a folder with -o", "Of geolrm-export.",
         over(lambda path: path.write_text(""))),
    Case("…bundle' already holds a bundle; replace it with --force", "Of geolrm-export.",
         over(bundle_there)),
    Case("…bundle' is a folder that holds other files; name a new one with -o",
         "Of geolrm-export.", over(others_there)),
    Case("another export into … is under way", "Of geolrm-export and geolrm-train.", taken_lock),
    Case("geolrm-export needs onnx, which is not installed; run: pip install 'geolrm[export]'",
         "An extra.", packages(export)),
    "geolrm-train",
    Case("--steps is 0; it must be 1 or more", "Of geolrm-train.", trained(steps=0)),
    Case("--minutes is nan; it must be a finite number, 0 or more", "Of geolrm-train.",
         trained(minutes=float("nan"))),
    Case("--device is …; it must be one of auto, cpu, cuda", "Of geolrm-train.",
         trained(device="tpu")),
    Case("--steps and --set steps=... were both given; choose one", "Of geolrm-train.",
         trained(steps=3, changes=["steps=4"])),
    Case("geolrm-train needs onnx, which is not installed; run: pip install 'geolrm[training]'",
         "An extra.", packages(train)),
    "Every command",
    Case("out of memory; …", "What takes less of it follows, by the command.",
         ending(MemoryError()), RuntimeError),
]  # fmt: skip
