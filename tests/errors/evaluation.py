"""geolrm eval."""

import io
import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from errors.case import Case
from PIL import Image
from samples.known_shapes import protocol_cameras

from geolrm.bench import fleet_kills, photos, scaling, soak
from geolrm.bench.photos.cut_views import read_depths
from geolrm.bench.photos.real_photographs import split
from geolrm.bench.photos.records import Records
from geolrm.bench.quality import evaluation
from geolrm.bench.quality.dataset import find_subjects, load_subject
from geolrm.bench.quality.input_changes import InputChanges
from geolrm.bench.quality.outputs import check_folder, staged
from geolrm.bench.quality.perceptual import Lpips
from geolrm.bench.quality.protocol import input_frames
from geolrm.engine.captures import arrays, load_capture
from geolrm.engine.captures.arrays import read_points
from geolrm.engine.system import extras
from geolrm.examples import CAPTURES


def points(**arrays):
    def trigger(place):
        np.savez(place.tmp / "points.npz", **arrays)
        return read_points(place.tmp / "points.npz")

    return trigger


def without_tasks(place):
    place.patch.setattr(scaling, "TASKS", place.tmp / "none")
    return scaling.thread_seconds()


def without_processes(place):
    place.patch.setattr(fleet_kills, "PROCESSES", place.tmp / "none")
    return fleet_kills.descendants(1)


def without_status(place):
    place.patch.setattr(soak, "STATUS", place.tmp / "none")
    return soak.held()


def without_depth(place):
    (place.tmp / "transforms.json").write_text('{"frames": [{"file_path": "a.png"}]}')
    return read_depths(place.tmp, 1)


def rows_of(content):
    def trigger(place):
        (place.tmp / "rows.jsonl").write_bytes(content)
        return Records(place.tmp / "rows.jsonl", {"geolrm": "0.1"})

    return trigger


def no_zip(place):
    (place.tmp / "points.npz").write_bytes(b"nothing")
    return read_points(place.tmp / "points.npz")


def subject(frames=38, size=16, group=None, mode="RGBA"):
    """The captures of the evaluation, of noise: transparent, or with no background to tell."""

    def trigger(place):
        groups = ["orbit_up"] * 24 + ["orbit_level"] * 12 + ["top", "bottom"]
        pixels = np.zeros((size, size, len(mode)), np.uint8)
        pixels[..., :3] = np.random.default_rng(0).integers(0, 255, (size, size, 3))
        Image.fromarray(pixels).save(place.tmp / "a.png")
        poses = protocol_cameras().c2w[:frames]
        listed = [
            {"file_path": "a.png", "group": group or name, "transform_matrix": pose.tolist()}
            for name, pose in zip(groups[:frames], poses, strict=True)
        ]
        content = {"camera_angle_x": 0.8, "frames": listed}
        (place.tmp / "transforms.json").write_text(json.dumps(content))
        return load_subject("a", place.tmp)

    return trigger


def other_poses(name):
    def trigger(place):
        (place.tmp / "transforms.json").write_text("{}")
        return find_subjects(place.tmp, None, name)

    return trigger


def cut_without_alpha(place):
    capture = load_capture(CAPTURES / "shoe").subset([0])
    plain = replace(capture, images=[capture.images[0][..., :3]])
    return InputChanges(cut=0.3).apply(plain, 0)


def cut_to_a_strip(place):
    capture = load_capture(CAPTURES / "shoe").subset([0])
    full = replace(capture, images=[np.full((8, 64, 4), 255, np.uint8)])
    return InputChanges(cut=0.9).apply(full, 0)


def turned_away(place):
    capture = load_capture(CAPTURES / "shoe")
    for seed in range(100):
        InputChanges(pose_degrees=30.0).apply(capture, seed)


def linked(place):
    """A capture whose image is a link to elsewhere."""
    (place.tmp / "a").mkdir()
    Image.new("RGB", (8, 8)).save(place.tmp / "elsewhere.png")
    (place.tmp / "a" / "b.png").symlink_to(place.tmp / "elsewhere.png")
    frame = {"file_path": "b.png", "transform_matrix": protocol_cameras().c2w[0].tolist()}
    content = {"camera_angle_x": 0.8, "frames": [frame]}
    (place.tmp / "a" / "transforms.json").write_text(json.dumps(content))
    return load_subject("a", place.tmp / "a")


def other_object(place):
    (place.tmp / "shoe").mkdir()
    (place.tmp / "shoe" / "transforms.json").write_text("{}")
    return find_subjects(place.tmp, ["boot"])


def stored(content):
    """An archive whose array of points is these bytes."""

    def trigger(place):
        with zipfile.ZipFile(place.tmp / "points.npz", "w") as archive:
            archive.writestr("points.npy", content)
            archive.writestr("visible.npy", npy(SEEN))
        return read_points(place.tmp / "points.npz")

    return trigger


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def many_points(place):
    place.patch.setattr(arrays, "LARGEST_ARRAY", 100)
    return points(points=ONE, visible=SEEN)(place)


def file_there(call):
    def trigger(place):
        (place.tmp / "scores").write_text("")
        return call(place.tmp / "scores")

    return trigger


def nowhere(folder):
    with staged(folder / "below"):
        pass


def over_a_folder(place):
    (place.tmp / "scores" / "metrics.json" / "a").mkdir(parents=True)
    with staged(place.tmp / "scores") as temporary:
        (temporary / "metrics.json").write_text("{}")


def lpips(place):
    import torch

    torch.save({"a": torch.zeros(1)}, place.tmp / "a.pt")
    return Lpips(place.tmp / "a.pt")


def lpips_of_nan(place):
    import torch

    shapes = {"net.slice1.0.weight": (64, 3, 3, 3), "net.slice1.0.bias": (64,)}
    shapes["lin0.model.1.weight"] = (1, 64, 1, 1)
    tensors = {name: torch.full(shape, torch.nan) for name, shape in shapes.items()}
    torch.save(tensors, place.tmp / "a.pt")
    return Lpips(place.tmp / "a.pt")


def other_count(place):
    views = SimpleNamespace(min=1, max=8)
    engine = SimpleNamespace(manifest=SimpleNamespace(views=views))
    return evaluation.Evaluation._check_views(SimpleNamespace(inputs={12: ()}), engine)


def small_targets(place):
    picture = np.zeros((8, 8, 3), np.float32)
    return Lpips.__call__(SimpleNamespace(), [picture], [picture])


def without_scipy(place):
    place.patch.setattr(extras, "installed_version", lambda package: None)
    return extras.require("scipy", "the evaluation")


ONE, SEEN = np.zeros((1, 3), np.float32), np.ones(1, bool)

CASES = [
    Case("… has … photographs with masks; give more than …, of which every …th is held out",
         "Of the score of real photographs: images with alpha, or a folder `masks`.",
         lambda place: split(load_capture(CAPTURES / "shoe").subset([0, 1, 2]))),
    Case("… is no dataset; give a capture folder (transforms.json, rgb/, points.npz), or a …",
         "The path is no folder.", lambda place: find_subjects(place.tmp / "none", None)),
    Case("… holds no capture: neither transforms.json nor a folder with one; give a capture …",
         "Nothing to score.", lambda place: find_subjects(place.tmp, None)),
    Case("… views were asked for; the protocol has … input frames (…), so give 1 to …",
         "The rest are targets.", lambda place: input_frames(99)),
    Case("object 'boot' was asked for, but … holds …", "Of --objects.", other_object),
    Case("transforms is …; it must be the name of a .json file in every capture, such as …",
         "Of --transforms.", other_poses("../a.json")),
    Case("no capture in … has a file …; name one that some have",
         "Of --transforms.", other_poses("b.json")),
    Case("exposure is …; it must be stops, 0 to 5 (--exposure)",
         "So is --cut checked.",
         lambda place: InputChanges(exposure=9.0)),
    Case("pose_shift is nan; it must be cube sides, 0 to 0.3 (--pose-noise DEGREES,SHIFT)",
         "So are its degrees checked.",
         lambda place: InputChanges(pose_shift=float("nan"))),
    Case("…: after --pose-noise 30,0 the camera of …, one of … views, stands in the object cube or "
         "has it out of view; every camera must stand outside and show it: change the inputs …",
         "All objects are checked before anything is computed.", turned_away),
    Case("…: image 0 has no alpha, which tells what is cut off it; give images with alpha to cut …",
         "Of --cut.", cut_without_alpha),
    Case("…: cut by …, image 0 keeps … of its 64 x 8 pixels, too narrow a strip for a camera: "
         "cut less (--cut)",
         "Its principal point would lie far outside.", cut_to_a_strip),
    Case("… lies outside the capture in …; a capture of a data set holds all its files: put the "
         "file itself there (cp -L …)",
         "Of geolrm eval and geolrm-train: a link, or a path with .. in it.", linked),
    Case("… has 3 frames; the protocol needs 38: 0 to 23 orbit_up, 24 to 35 orbit_level, 36 top, …",
         "See docs/evaluation.md.", subject(frames=3)),
    Case("…: frame 0 has group 'side'; the protocol needs 'orbit_up' there. Give transforms.json …",
         "See docs/evaluation.md.", subject(group="side")),
    Case("…: target frame … has 8 x 8 pixels; SSIM needs at least 11 x 11: render it larger",
         "Of the images that are scored.", subject(size=8)),
    Case("…: image 0 has no alpha and its border is neither white nor of one colour (median …); …",
         "Of the images that are scored.", subject(mode="RGB")),
    Case("…: frame 0 has no depth image; give captures with 'depth_file_path', which tells …",
         "Of the benchmark of cut views.", without_depth),
    Case("there is nothing to measure: give --data, a folder of posed scans as geolrm eval …",
         "Of geolrm bench photos.", lambda place: photos.main([])),
    Case("this system does not tell the time of a thread; measure on Linux",
         "Of geolrm bench scaling.", without_tasks),
    Case("this system does not list the processes of another; measure on Linux",
         "Of geolrm bench fleet, where it kills workers.", without_processes),
    Case("this system does not tell what a process holds; soak on Linux",
         "Of make soak.", without_status),
    Case("… is no file of rows; remove it, or give another folder",
         "Of rows.jsonl, in which geolrm bench photos keeps what it measured.", rows_of(b"none\n")),
    Case("… holds rows of …, and these are of …; give another folder, or remove the file",
         "Of another version or model; see above.", rows_of(b'{"geolrm": "0.0"}\n')),
    Case("views are [4, 4]; give numbers of views, each once", "Of Evaluation.",
         lambda place: evaluation.Evaluation(place.tmp, views=[4, 4])),
    Case("12 views were asked for; this bundle takes 1 to 8: leave 12 out, or export it again …",
         "The graphs take a range of views.", other_count),
    Case("the evaluation needs scipy, which is not installed; run: pip install 'geolrm[eval]'",
         "An extra.", without_scipy),
    Case("…scores' is a file; name a folder with -o", "Of geolrm eval.",
         file_there(check_folder)),
    Case("cannot write …below': …", "The system's reason follows.", file_there(nowhere)),
    Case("cannot write …scores': …", "The system's reason follows.", over_a_folder),
    Case("no LPIPS weights at …; give a state dict of LPIPS with VGG-16", "Of --lpips.",
         lambda place: Lpips(place.tmp / "none.pt")),
    Case("… holds no LPIPS with VGG-16: tensor … is missing, it must have shape …; give a state …",
         "Of --lpips.", lpips),
    Case("…: tensor … holds NaN or infinity; weights of LPIPS must be finite: restore the file",
         "Of --lpips.", lpips_of_nan),
    Case("a target has 8 x 8 pixels; LPIPS needs at least … x …: leave --lpips out",
         "Of --lpips.", small_targets),
    Case("… is missing; give samples of the true surface: an .npz with points [N, 3] and, if …",
         "Shapes are scored against them.", lambda place: read_points(place.tmp / "none.npz")),
    Case("… cannot be read: [Errno …] …; restore it", "Of poses.npy and its like, too.",
         lambda place: arrays.read_matrices(place.tmp, ((4, 4),))),
    Case("… lacks an array: …; write it again", "It must be named points.",
         points(visible=SEEN)),
    Case("… cannot be read: …; restore it", "Damaged.", no_zip),
    Case("… holds points of shape … and visible of shape …; they must be [N, 3] and [N]",
         "Shapes must agree.", points(points=ONE, visible=np.ones(2, bool))),
    Case("… holds no visible point; sample the surface again", "All are hidden.",
         points(points=ONE, visible=~SEEN)),
    Case("… holds points outside the object cube; every coordinate must be finite and in …",
         "Scale the object to the cube.", points(points=ONE + 3, visible=SEEN)),
    Case("…: points has dtype …; it must hold …", "Other numbers.",
         points(points=np.zeros((1, 3), int), visible=SEEN)),
    Case("…: points has … bytes in …; at most … of such are read: store less, or with "
         "numpy.savez",
         "512 MiB are the most, and 64 times the compressed size and 16 MiB.",
         many_points),
    Case("…: points is no .npy file that can be read: …; save it again with numpy.save",
         "Damaged.", stored(b"nothing")),
    Case("…: points states an array of … bytes, but … follow; it is damaged, restore it",
         "Truncated.",
         stored(npy(ONE)[:-4])),
]  # fmt: skip
