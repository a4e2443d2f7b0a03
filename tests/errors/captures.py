"""Captures: files and folders of posed images."""

import json
import struct
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from errors.case import Case, without
from PIL import Image
from samples.capture_files import (
    box_cameras,
    box_photos,
    write_clip,
    write_gobjaverse_views,
    write_transforms,
)

from geolrm import Cameras, load_capture
from geolrm.engine.captures import background, load_complete_capture, recognition, undistortion
from geolrm.engine.captures import images as image_files
from geolrm.engine.captures.colmap_model import SparseCamera
from geolrm.engine.captures.undistortion import undistorted
from geolrm.engine.geometry.cameras import FLIP_YZ

POSE = [[1, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]]  # from the front, at y = -2


def outside(place):
    folder = place.tmp / "capture"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(place.tmp / "b.png")
    write(folder, {"file_path": "../b.png"})
    return load_capture(folder)


def outside_by_a_link(place):
    """The link is found by its name alone."""
    folder = place.tmp / "capture"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(place.tmp / "elsewhere.png")
    (folder / "b.png").symlink_to(place.tmp / "elsewhere.png")
    write(folder, {"file_path": "images/b.png"})
    return load_capture(folder)


def many_scans(place):
    write(place.tmp, {"file_path": "b.jpg"})
    file = place.tmp / "b.jpg"
    Image.new("RGB", (8, 8)).save(file, progressive=True)
    content = file.read_bytes()
    scans = content.count(b"\xff\xda")
    last = content[content.rindex(b"\xff\xda") : -2]
    file.write_bytes(content[:-2] + last * (101 - scans) + content[-2:])
    return load_capture(place.tmp)


def write(folder, frame=None, size=(8, 8), mode="RGBA", transparent=False, **fields):
    """A capture of one frame; fields that are None are left out."""
    picture = Image.new(mode, size)
    if mode == "RGBA" and not transparent:
        picture.paste((90, 40, 20, 255), (2, 2, size[0] - 2, size[1] - 2))
    picture.save(folder / "a.png")
    frame = {"file_path": "a.png", "transform_matrix": POSE} | (frame or {})
    content = {"fl_x": 10.0, "frames": [frame]} | fields
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def incomplete(place):
    frames = [{"file_path": name, "transform_matrix": POSE} for name in ("a.png", "b.png")]
    return load_complete_capture(write(place.tmp, frames=frames))


def load(frame=None, **fields):
    return lambda place: load_capture(write(place.tmp, frame, **fields))


def load_file(name, content):
    def trigger(place):
        (place.tmp / name).write_bytes(content)
        return load_capture(place.tmp / name)

    return trigger


def sparse_json(place):
    with (place.tmp / "transforms.json").open("wb") as file:
        file.truncate(65 << 20)
    return load_capture(place.tmp)


def image(content):
    def trigger(place):
        write(place.tmp)
        (place.tmp / "a.png").write_bytes(content)
        return load_capture(place.tmp)

    return trigger


def truncated_png(place):
    write(place.tmp, size=(64, 64))
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(place.tmp / "a.png")
    (place.tmp / "a.png").write_bytes((place.tmp / "a.png").read_bytes()[:2000])
    return load_capture(place.tmp)


def mask_of_other_size(place):
    Image.new("L", (4, 4)).save(place.tmp / "m.png")
    return load({"mask_path": "m.png"})(place)


def images(count, *, poses=None, intrinsics=None, size=(8, 8)):
    def trigger(place):
        for index in range(count):
            Image.new("RGBA", size).save(place.tmp / f"{index}.png")
        if poses is not None:
            np.save(place.tmp / "poses.npy", poses)
        if intrinsics is not None:
            np.save(place.tmp / "intrinsics.npy", intrinsics)
        return load_capture(place.tmp)

    return trigger


def poses_file(content):
    def trigger(place):
        (place.tmp / "poses.npy").write_bytes(content)
        return load_capture(place.tmp)

    return trigger


def network(photographs=1, size=(8, 8), **changed):
    """Depth Anything 3's arrays of one view, those that are None left out."""
    members = {
        "extrinsics": np.eye(3, 4, dtype=np.float32)[None],
        "intrinsics": np.array([[[8, 0, 4], [0, 8, 4], [0, 0, 1]]], np.float32),
        "depth": np.ones((1, 8, 8), np.float32),
    } | changed

    def trigger(place):
        for index in range(photographs):
            Image.new("RGB", size).save(place.tmp / f"{index}.png")
        kept = {key: value for key, value in members.items() if value is not None}
        np.savez(place.tmp / "predictions.npz", **kept)
        return load_capture(place.tmp)

    return trigger


def bounds(rows=None, count=1, width=8, down=1):
    """LLFF's file: rows of down, right, backwards, place and (height, width, focal length)."""
    matrix = [[0, 1, 0, 0, 8], [0, 0, -1, -2, width], [-down, 0, 0, 0, 10]]

    def trigger(place):
        for index in range(count):
            Image.new("RGBA", (8, 8)).save(place.tmp / f"{index}.png")
        row = np.array([*np.ravel(matrix), 1, 2], float)[None]
        np.save(place.tmp / "poses_bounds.npy", row if rows is None else rows)
        return load_capture(place.tmp)

    return trigger


def two_captures(place):
    np.save(write(place.tmp) / "poses.npy", np.array([POSE]))
    return load_capture(place.tmp)


def two_parts(place):
    for part in ("test", "val"):
        (place.tmp / f"transforms_{part}.json").write_text("{}")
    return load_capture(place.tmp)


CAMERA = b"1 PINHOLE 8 8 10 10 4 4\n"
IMAGE = b"1 1 0 0 0 0 0 2 1 a.png\n\n"


def colmap(cameras=CAMERA, images=IMAGE, points=b"", picture=True):
    def trigger(place):
        model = place.tmp / "sparse" / "0"
        model.mkdir(parents=True)
        for name, content in (("cameras", cameras), ("images", images), ("points3D", points)):
            (model / f"{name}.txt").write_bytes(content)
        (place.tmp / "images").mkdir()
        if picture:
            Image.new("RGB", (8, 8)).save(place.tmp / "images" / "a.png")
        return load_capture(place.tmp)

    return trigger


def header_only(place):
    array = np.zeros((3, 4, 4))
    np.save(place.tmp / "poses.npy", array)
    content = (place.tmp / "poses.npy").read_bytes()
    (place.tmp / "poses.npy").write_bytes(content[:200])
    return load_capture(place.tmp)


def view_beyond(place):
    return load_capture(write(place.tmp)).subset([3])


def huge_png(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def little_memory(place):
    place.patch.setattr(image_files.ImageReader.__init__, "__defaults__", (1000, None))
    return load(size=(64, 64))(place)


def folder_of_a_clip(place):
    (place.tmp / "orbit.mp4").write_bytes(b"")
    return load_capture(place.tmp)


def unlisted(place):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    place.patch.setattr(recognition, "list_images", refuse)
    return load_capture(place.tmp)


def unreadable(name, call):
    """A file that the system does not give out, to whoever may read everything too."""
    from pathlib import Path

    read = Path.read_bytes

    def refuse(path):
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return read(path)

    def trigger(place):
        place.patch.setattr(Path, "read_bytes", refuse)
        return call(place)

    return trigger


def sparse_points(place):
    (place.tmp / "sparse" / "0").mkdir(parents=True)
    with (place.tmp / "sparse" / "0" / "points3D.bin").open("wb") as file:
        file.truncate((1 << 30) + 1)
    for name in ("cameras", "images"):
        (place.tmp / "sparse" / "0" / f"{name}.bin").write_bytes(binary_model()[name])
    return load_capture(place.tmp)


def binary_model():
    camera = struct.pack("<Q", 1) + struct.pack("<IiQQ4d", 1, 1, 8, 8, 10, 10, 4, 4)
    pose = struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"a.png\0" + struct.pack("<Q", 0)
    return {"cameras": camera, "images": struct.pack("<Q", 1) + pose}


def gobjaverse(change, name="00000"):
    """The folder of an object of one view, whose files of these names are changed."""

    def trigger(place):
        cameras = box_cameras(1)
        folder = write_gobjaverse_views(place.tmp, np.full((1, 8, 8, 4), 255, np.uint8), cameras)
        change(folder / name / name)
        return load_capture(folder)

    return trigger


def camera_with(**fields):
    def change(stem):
        file = stem.with_suffix(".json")
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return gobjaverse(change)


def picture_of(mode, size):
    return gobjaverse(lambda stem: Image.new(mode, size).save(stem.with_suffix(".png")))


def clip(count, size=(64, 64)):
    def trigger(place):
        pytest.importorskip("av")
        frames = [np.full((*size, 3), 200, np.uint8)] * count
        return load_capture(write_clip(place.tmp / "a.mp4", frames))

    return trigger


def clip_of_large_frames(place):
    pytest.importorskip("av")
    from geolrm.engine.captures import video

    place.patch.setattr(video, "MAX_FRAME_PIXELS", 1000)
    return clip(21)(place)


def unknown_codec(place):
    pytest.importorskip("av")
    file = write_clip(place.tmp / "a.mp4", [np.full((64, 64, 3), 200, np.uint8)] * 21)
    file.write_bytes(file.read_bytes().replace(b"avc1", b"none").replace(b"avcC", b"nonC"))
    return load_capture(file)


def sound_alone(place):
    av = pytest.importorskip("av")
    with av.open(str(place.tmp / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return load_capture(place.tmp / "a.mp4")


def rembg_without_weights(place):
    def new_session(model):
        raise ConnectionError("no network")

    place.patch.setattr(background, "require", lambda *_, **__: None)
    place.patch.setitem(sys.modules, "rembg", SimpleNamespace(new_session=new_session))
    return background.load_segmenter()


def odd_lens(place):
    def refuse(**fields):
        raise ValueError("no such model")

    place.patch.setattr(undistortion, "require", lambda *_, **__: None)
    place.patch.setitem(sys.modules, "pycolmap", SimpleNamespace(Camera=refuse))
    camera = SparseCamera("LATER", 8, 8, (10.0, 4.0, 4.0, 0.1))
    return undistorted(np.zeros((8, 8, 3), np.uint8), camera, "here")


def unfit(place):
    folder = write(place.tmp, mode="RGB")
    return load_capture(folder, fit=True)


def opencv_box(folder):
    """Write a box at (4, 1, 1.5) with OpenCV poses, by mistake."""
    cameras = box_cameras()
    poses = cameras.c2w.copy()
    poses[:, :3, 3] += (4, 1, 1.5)
    wrong = Cameras(poses @ FLIP_YZ, cameras.intrinsics)
    return write_transforms(folder, box_photos(cameras), wrong)


POINTS = b"".join(b"%d 1 1 1 0 0 0 0\n" % index for index in range(20))
LENS = b"1 SIMPLE_RADIAL 8 8 10 4 4 0.1\n"


CASES = [
    "Finding a capture",
    Case("… is no capture (there is no such path); give a folder that holds transforms.json with …",
         "The path does not exist.", lambda place: load_capture(place.tmp / "none")),
    Case("… is no capture; give a folder that holds transforms.json with …",
         "Nothing in the folder, or nothing about the file, is a kind of capture that is known.",
         lambda place: load_capture(place.tmp)),
    Case("… holds more than one capture; give the one that is meant: …",
         "Two kinds of capture lie in one folder: name the file or sub-folder.", two_captures),
    Case("… holds 5 images without poses; give transforms.json, a COLMAP model in sparse/0 or …",
         "The cameras are not known.", images(5)),
    Case("… holds 'orbit.mp4'; give that file itself if it is an SV3D clip",
         "Clips are not looked for in folders.", folder_of_a_clip),
    Case("… holds transforms_test.json, transforms_val.json; give the one file that is meant",
         "There is neither transforms.json nor transforms_train.json to prefer.", two_parts),
    Case("… is neither a file nor a folder; give a folder that holds transforms.json with …",
         "A device or a pipe.", lambda place: load_capture("/dev/null")),
    Case("…a.txt' is no capture; give a folder that holds …", "No file of a kind that is known.",
         load_file("a.txt", b"")),
    Case("… cannot be listed: …", "The system's reason follows.", unlisted),
    Case("… is not a usable path: …", "The system cannot look such a name up.",
         lambda place: load_capture("a\0b")),
    Case("view … was asked for, but … has frames 0 to …", "Frames count from 0.", view_beyond),
    "transforms.json",
    Case("… is larger than … bytes; it cannot be a capture", "A JSON file of more than 16 MiB.",
         sparse_json),
    Case("… is no valid JSON: …; repair or re-create it", "The position follows in the message.",
         load_file("transforms.json", b"{")),
    Case("…transforms.json cannot be read: …; restore it", "The system's reason follows.",
         unreadable("transforms.json", load())),
    Case("… holds a list; it must be a JSON object", "The file is JSON, but no capture.",
         load_file("transforms.json", b"[]")),
    Case("… lists no frames; it needs a non-empty list 'frames'", "See the NeRF layout.",
         load(frames=[])),
    Case("…transforms.json lists 10,001 frames; at most 10,000 are read: leave some out",
         "A capture of one object needs a few hundred at most.", load(frames=[1] * 10_001)),
    Case("… lies outside the capture in …; copy it there, or allow it: --allow-outside (…)",
         "A path with .. leads out of the capture's folder.", outside),
    Case("…b.png' lies outside the capture in …; copy it there, or allow it: --allow-outside (…)",
         "A link leads out of the capture's folder.", outside_by_a_link),
    Case("…, frame 0: image … has 101 scans, a JPEG has 100 at most here; save it again",
         "Each scan of a progressive JPEG goes over all pixels.", many_scans),
    Case("…, frame 0 is int; it must be an object", "An entry of 'frames' is damaged.",
         load(frames=[1])),
    Case("…, frame 0 has no file_path; it must name the frame's image", "Add the path.",
         load({"file_path": ""})),
    Case("…, frame 0: transform_matrix must be a 4x4 camera-to-world matrix of numbers; it has …",
         "Missing, ragged or of another shape.", load({"transform_matrix": [1]})),
    Case("…, frame 0: mask_path is 3; it must name the frame's mask", "Or leave it out.",
         load({"mask_path": 3})),
    Case("…, frame 0: mask … has 4 x 4 pixels, its image 8 x 8; they must agree",
         "Save the mask at the image's size.", mask_of_other_size),
    Case("…, frame 0: w and h are … x …, but the image has … x … pixels, another shape; …",
         "The size may differ from the image's, the aspect may not.", load(w=16, h=8)),
    Case("…, frame 0: camera_model is …; it must be one of …: make pinhole images of them first",
         "Panoramas and orthographic cameras.", load(camera_model="EQUIRECTANGULAR")),
    Case("…, frame 0: k4 is 0.1, which only OPENCV_FISHEYE has; correct camera_model, or …",
         "Other lenses have k1, k2, k3, p1 and p2.", load(k4=0.1)),
    Case("…, frame 0 has lens distortion (…), and correcting it needs pycolmap, which is not …",
         "Lenses of transforms.json and of COLMAP.",
         without("pycolmap", load(k1=0.1))),
    Case("… has lens distortion (…) that cannot be undone: …; undistort the images with COLMAP, …",
         "pycolmap is too old for this lens, or its numbers are wrong.", odd_lens),
    Case("…: applied_transform cannot be undone: it must be a rotation and a translation; …",
         "Of load_capture(undo_applied_transform=True).",
         lambda place: load_capture(write(place.tmp, applied_transform=np.zeros((4, 4)).tolist()),
                                    undo_applied_transform=True)),
    Case("…, frame 0 has neither fl_x (pixels) nor camera_angle_x (radians); one is needed",
         "The focal length is not known.", load(fl_x=None)),
    Case("…, frame 0: camera_angle_x is …; it must be in radians, between 0 and pi",
         "Often degrees were stored.", load(fl_x=None, camera_angle_x=50.0)),
    Case("…, frame 0: fl_x is …; it must be a finite number", "Not a number, or NaN.",
         load(fl_x="wide")),
    Case("…, frame 0: fl_x is -1; it must be positive", "A size or focal length of 0 or less.",
         load(fl_x=-1)),
    Case("…: view 0 has a mask that shows no object (…); the object must be opaque or white in …",
         "Nothing of any image is the object; a single such view is left out.",
         load(mode="RGBA", transparent=True)),
    Case("…: pose 0 …. What is likely wrong: geolrm check; an object with masks that lies …",
         "Of a capture whose cameras do not see the cube.",
         load({"transform_matrix": np.diag([1, -1, -1, 1]).tolist()})),
    Case("…transforms.json: pose 0 holds NaN or infinity; every entry must be finite",
         "What the group Cameras lists comes with the name of the file.",
         load({"transform_matrix": np.full((4, 4), np.nan).tolist()})),
    Case("… has no points, and its masks do not tell where the object is; give images with …",
         "Of --fit, and load_capture(fit=True).", unfit),
    Case("…: the masks agree on no object, and would if …",
         "The same, where the poses are in another convention or order, which is named.",
         lambda place: load_capture(opencv_box(place.tmp), fit=True)),
    "poses.npy",
    Case("… has … images but … poses in poses.npy; there must be one pose for each image, in …",
         "Images are taken in natural order of their names.", images(2, poses=np.array([POSE]))),
    Case("… holds … matrices for … images; it must hold one, or one for each image",
         "intrinsics.npy is [3, 3] or [V, 3, 3].",
         images(1, poses=np.array([POSE]), intrinsics=np.zeros((2, 3, 3)))),
    Case("… holds …; it must be numbers [V, 4, 4] or [V, 3, 4], at least one matrix",
         "An array of another shape.",
         images(1, poses=np.zeros(3))),
    Case("… states an array of … bytes, but … follow; it is damaged, restore it",
         "A truncated .npy file.", header_only),
    Case("… is no .npy file that can be read: …; save it again with numpy.save",
         "Not of NumPy, or damaged; objects are never unpickled.", poses_file(b"x" * 99)),
    Case("… is .npy of version 3.0; save a plain array with numpy.save", "An unusual header.",
         poses_file(b"\x93NUMPY\x03\x00" + bytes(20))),
    Case("…poses.npy: pose 0 has last row …; it must be (0, 0, 0, 1). …",
         "What the group Cameras lists comes with the name of the file.",
         images(1, poses=np.zeros((1, 4, 4)))),
    "poses_bounds.npy (LLFF)",
    Case("… has … images but poses_bounds.npy … rows; there must be one row for each image, in …",
         "Images are taken in natural order of their names.", bounds(count=2)),
    Case("… holds …; it must be numbers [V, 17], at least one row", "An array of another shape.",
         bounds(np.zeros((1, 16)))),
    Case("…: row 0 holds numbers that are not finite, or a height, width or focal length that is …",
         "The file is damaged.", bounds(np.zeros((1, 17)))),
    Case("…: row 0 is of 16 x 8 pixels, but 0.png has 8 x 8, another shape: images and rows do …",
         "Images were added or taken away.", bounds(width=16)),
    Case("…poses_bounds.npy: pose 0 is no rigid motion: …",
         "What the group Cameras lists comes with the name of the file.", bounds(down=3)),
    "VGGT and Depth Anything 3",
    Case("… has no array 'extrinsics' or 'extrinsic'; give the .npz that Depth Anything 3 exports "
         "with its cameras, or VGGT's predictions.npz",
         "The metric and monocular models of Depth Anything 3 estimate no cameras.",
         network(extrinsics=None)),
    Case("… has no array 'intrinsics' beside its extrinsics; export it too, since intrinsics …",
         "Or neither depths nor images, whose size they are of.", network(intrinsics=None)),
    Case("…: depth is …; it must be [V, ..., ...] or [V, ..., ..., 1], of one scene",
         "An array of another shape, or of a batch of scenes.",
         network(depth=np.ones((8, 8), np.float32))),
    Case("…: depth is of 2 views, but the extrinsics of 1; all arrays must be of the same views",
         "Arrays of different runs.", network(depth=np.ones((2, 8, 8), np.float32))),
    Case("… has images of 4 x 4 pixels but depths of 8 x 8; both must be of what the network read",
         "The photographs themselves go into a folder images.",
         network(image=np.zeros((1, 4, 4, 3), np.uint8))),
    Case("…: extrinsics of view 0 hold NaN or infinity; estimate them again", "It diverged.",
         network(extrinsics=np.full((1, 3, 4), np.nan, np.float32))),
    Case("…: extrinsics of view 0 are no rigid motion (singular values …); they must be [R | t], …",
         "Half precision is exact enough.",
         network(extrinsics=np.full((1, 3, 4), 2, np.float32))),
    Case("… has 1 views, and no folder 'images' beside it has as many photographs; put those …",
         "A mini_npz holds no images.", network(photographs=2)),
    Case("…: the network read 8 x 8 pixels of view 0, whose photograph has 8 x 4, another shape; "
         "export its images too (npz instead of mini_npz), which tell whether it was cropped",
         "Intrinsics are of what the network read.", network(size=(8, 4))),
    Case("…predictions.npz: intrinsics 0 …",
         "What the group Cameras lists comes with the name of the file.",
         network(intrinsics=np.zeros((1, 3, 3), np.float32))),
    "COLMAP models",
    Case("… lists no images; reconstruct again with more overlap", "COLMAP placed no image.",
         colmap(images=b"")),
    Case("…: image … is of camera …, which … does not have; the files are of different models",
         "cameras, images and points3D must be of one model.",
         colmap(images=b"1 1 0 0 0 0 0 2 9 a.png\n\n")),
    Case("… is damaged (…); write the model again with COLMAP", "A count or a number is wrong.",
         colmap(cameras=b"1 PINHOLE 8\n")),
    Case("…: image … has a quaternion of length … and translation …; a pose has length 1 and …",
         "A damaged pose.", colmap(images=b"1 0 0 0 0 0 0 2 1 a.png\n\n")),
    Case("…: listed files that are missing: 1 (b.png); every frame is needed here: …",
         "Data sets are read whole; a run would leave such frames out.", incomplete),
    Case("…: every one of the … images of the model is missing (…); put the images into a folder …",
         "The model names an image that is not there.", colmap(picture=False)),
    Case("… has … points where its cameras look, too few to find the object (at least …); give …",
         "Neither points nor masks tell where the object is.", colmap()),
    Case("… has all its points in one place; give images with alpha, masks, or remove the …",
         "Neither points nor masks tell where the object is.", colmap(points=POINTS)),
    Case("… is larger than 1073741824 bytes; reconstruct with fewer images", "Of a COLMAP model.",
         sparse_points),
    Case("…cameras.txt cannot be read: …; restore it", "The system's reason follows.",
         unreadable("cameras.txt", colmap())),
    Case("…sparse/0: intrinsics 0 have fx = …, fy = …; focal lengths divided by the image size …",
         "What the group Cameras lists comes with the name of the model.",
         colmap(cameras=b"1 PINHOLE 8 8 0 0 4 4\n")),
    "GObjaverse objects",
    Case("…00000.png' is missing; restore it or leave its view out", "Remove its .json, too.",
         gobjaverse(lambda stem: stem.with_suffix(".png").unlink())),
    Case("…00000.json' is larger than 1048576 bytes; it is no camera", "Another file.",
         gobjaverse(lambda stem: stem.with_suffix(".json").write_bytes(bytes(1 << 21)))),
    Case("…00000.json' is no camera of GObjaverse (…); it needs x, y, z, origin (3 numbers each) …",
         "Damaged, or of another data set.",
         gobjaverse(lambda stem: stem.with_suffix(".json").write_text("{}"))),
    Case("…00000.json': x, y, z and origin must be lists of 3 numbers", "Damaged.",
         camera_with(x=[1, 2])),
    Case("…00000.json': x_fov is …; it must be in radians, 0.017 to pi", "Often degrees.",
         camera_with(x_fov=50)),
    Case("…: pose 0 is no rigid motion: …", "As in the group Cameras; of all views of an object.",
         camera_with(x=[2, 0, 0])),
    Case("…00000.png' is RGB with 8 x 8 px; it must be RGBA, 8 bit, 8 x 8", "Save it with alpha.",
         picture_of("RGB", (8, 8))),
    Case("…00000.png' cannot be decoded: …; restore it", "Damaged, or no PNG.",
         gobjaverse(lambda stem: stem.with_suffix(".png").write_bytes(b"no image"))),
    "Removing backgrounds",
    Case("removing backgrounds needs rembg, which is not installed; run: pip install …",
         "Of --remove-background.", without("rembg", lambda place: background.load_segmenter())),
    Case("rembg could not load its model …, which it downloads at first use (…); connect to the …",
         "Of --remove-background.", rembg_without_weights),
    "Clips and sheets",
    Case("reading .mp4 needs PyAV, which is not installed; run: pip install 'geolrm[video]', or …",
         "Or give the frames as images.", without("av", load_file("a.mp4", b""))),
    Case("… holds no video; give an SV3D clip", "Sound alone.", sound_alone),
    Case("… holds video that no decoder here knows; convert it to H.264, or restore it",
         "Of another codec, or damaged.", unknown_codec),
    Case("… has 3 frames; an SV3D orbit has 21: cut it to those, or give the poses of the frames …",
         "Other clips have no known poses.", clip(3)),
    Case("… has more than 21 frames; an SV3D orbit has 21: cut it to those, or give the poses …",
         "Other clips have no known poses.", clip(22)),
    Case("… has frames of … x … pixels, more than are supported; make it smaller",
         "16 million pixels are the most.", clip_of_large_frames),
    Case("frame 0 of … has 64 x 32 pixels; frames of SV3D must be square: crop or pad it",
         "Of an orbit.", clip(21, (32, 64))),
    Case("… cannot be decoded: …; it may be damaged, restore it", "No video of its container.",
         load_file("a.mp4", b"nothing")),
    Case("… has … x … pixels; a single image can only be a Zero123++ sheet, 640 x 960 …",
         "One image alone has no pose.",
         lambda place: load_capture(write(place.tmp) / "a.png")),
    "Images and masks",
    Case("…, frame 0: image … states more pixels than are supported; make it smaller",
         "Or a damaged header.", image(huge_png(1 << 30, 1 << 30))),
    Case("…, frame 0: image … has 12000 x 12000 pixels, more than are supported; make it smaller",
         "134 million pixels, and 65536 a side, are the most.", image(huge_png(12000, 12000))),
    Case("…, frame 0: with image … the images take more than … GiB of memory; make them smaller, …",
         "Of all images of a capture, 4 GiB.", little_memory),
    Case("…: the image that it lists is missing (…); restore them where the file says, …",
         "Where some are there, the others are left out.",
         load({"file_path": "none.png"})),
    Case("…, frame 0: … is no image that can be read; replace it by PNG, JPEG or WebP",
         "An unknown or damaged format.", image(b"no image")),
    Case("…, frame 0: image … cannot be decoded: …; it may be truncated, restore it",
         "The header is right, the pixels are not.", truncated_png),
    Case("…, frame 0: image … has more than 8 bits a channel (mode …); convert it to 8-bit RGB …",
         "16-bit and float images are not read.", load(mode="I;16")),
]  # fmt: skip
