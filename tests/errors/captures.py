"""Captures: files and folders of posed images."""

import json

import numpy as np
from errors.case import Case
from PIL import Image

from geolrm import load_capture

POSE = [[1, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]]  # from the front, at y = -2


def write(folder, frame=None, size=(8, 8), mode="RGBA", **fields):
    """A capture of one frame; fields that are None are left out."""
    Image.new(mode, size).save(folder / "a.png")
    frame = {"file_path": "a.png", "transform_matrix": POSE} | (frame or {})
    content = {"fl_x": 10.0, "frames": [frame]} | fields
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


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


def without_av(place):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    place.patch.setattr(importlib.metadata, "version", missing)
    return load_file("a.mp4", b"")(place)


CASES = [
    Case("… is no capture (there is no such path); give a folder that holds transforms.json with …",
         "The path does not exist.", lambda place: load_capture(place.tmp / "none")),
    Case("… is no capture; give a folder that holds transforms.json with …",
         "Nothing in the folder, or nothing about the file, is a kind of capture that is known.",
         lambda place: load_capture(place.tmp)),
    Case("… holds more than one capture; give the one that is meant: …",
         "Two kinds of capture lie in one folder: name the file or sub-folder.", two_captures),
    Case("… holds 5 images without poses; give transforms.json, a COLMAP model in sparse/0 or …",
         "The cameras are not known.", images(5)),
    Case("… holds transforms_test.json, transforms_val.json; give the one file that is meant",
         "There is neither transforms.json nor transforms_train.json to prefer.", two_parts),
    Case("… is not a usable path: …", "The system cannot look such a name up.",
         lambda place: load_capture("a\0b")),
    Case("view … was asked for, but … has frames 0 to …", "Frames count from 0.", view_beyond),
    # transforms.json
    Case("… is larger than … bytes; it cannot be a capture", "A JSON file of more than 64 MiB.",
         sparse_json),
    Case("… is no valid JSON: …; repair or re-create it", "The position follows in the message.",
         load_file("transforms.json", b"{")),
    Case("… holds a list; it must be a JSON object", "The file is JSON, but no capture.",
         load_file("transforms.json", b"[]")),
    Case("… lists no frames; it needs a non-empty list 'frames'", "See the NeRF layout.",
         load(frames=[])),
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
    Case("…, frame 0: camera_model is …; only pinhole cameras are supported (…): undistort the …",
         "Fisheye and panoramas must become pinhole images first.",
         load(camera_model="EQUIRECTANGULAR")),
    Case("…, frame 0: lens distortion k1 = … is not supported; undistort the images first …",
         "Run ns-process-data or COLMAP's image_undistorter.", load(k1=0.1)),
    Case("…, frame 0 has neither fl_x (pixels) nor camera_angle_x (radians); one is needed",
         "The focal length is not known.", load(fl_x=None)),
    Case("…, frame 0: camera_angle_x is …; it must be in radians, between 0 and pi",
         "Often degrees were stored.", load(fl_x=None, camera_angle_x=50.0)),
    Case("…, frame 0: fl_x is …; it must be a finite number", "Not a number, or NaN.",
         load(fl_x="wide")),
    Case("…, frame 0: fl_x is -1; it must be positive", "A size or focal length of 0 or less.",
         load(fl_x=-1)),
    # poses.npy
    Case("… has … images but … poses in poses.npy; there must be one pose for each image, in …",
         "Images are taken in natural order of their names.", images(2, poses=np.array([POSE]))),
    Case("… holds … matrices for … images; it must hold one, or one for each image",
         "intrinsics.npy is [3, 3] or [V, 3, 3].",
         images(1, poses=np.array([POSE]), intrinsics=np.zeros((2, 3, 3)))),
    Case("… holds …; it must be numbers [V, 4, 4] or [V, 3, 4]", "An array of another shape.",
         images(1, poses=np.zeros(3))),
    Case("… states an array of … bytes, but … follow; it is damaged, restore it",
         "A truncated .npy file.", header_only),
    Case("… is no .npy file that can be read: …; save it again with numpy.save",
         "Not of NumPy, or damaged; objects are never unpickled.", poses_file(b"x" * 99)),
    Case("… is .npy of version 3.0; save a plain array with numpy.save", "An unusual header.",
         poses_file(b"\x93NUMPY\x03\x00" + bytes(20))),
    # COLMAP
    Case("… lists no images; reconstruct again with more overlap", "COLMAP placed no image.",
         colmap(images=b"")),
    Case("…: image … is of camera …, which … does not have; the files are of different models",
         "cameras, images and points3D must be of one model.",
         colmap(images=b"1 1 0 0 0 0 0 2 9 a.png\n\n")),
    Case("… is damaged (…); write the model again with COLMAP", "A count or a number is wrong.",
         colmap(cameras=b"1 PINHOLE 8\n")),
    Case("…: image … has a quaternion of length … and translation …; a pose has length 1 and …",
         "A damaged pose.", colmap(images=b"1 0 0 0 0 0 0 2 1 a.png\n\n")),
    Case("…: image … of the model is missing; put the images into a folder 'images' …",
         "The model names an image that is not there.", colmap(picture=False)),
    Case("… has … points where its cameras look, too few to find the object (at least …); give …",
         "Neither points nor masks tell where the object is.", colmap()),
    # clips and sheets
    Case("reading .mp4 needs PyAV, which is not installed; run: pip install 'geolrm[video]', or …",
         "Or give the frames as images.", without_av),
    Case("… cannot be decoded: …; it may be damaged, restore it", "No video of its container.",
         load_file("a.mp4", b"nothing")),
    Case("… has … x … pixels; a single image can only be a Zero123++ sheet, 640 x 960 …",
         "One image alone has no pose.",
         lambda place: load_capture(write(place.tmp) / "a.png")),
    # images
    Case("…, frame 0: image … is missing; restore it or remove the frame", "Every frame is read.",
         load({"file_path": "none.png"})),
    Case("…, frame 0: … is no image that can be read; replace it by PNG, JPEG or WebP",
         "An unknown or damaged format.", image(b"no image")),
    Case("…, frame 0: image … cannot be decoded: …; it may be truncated, restore it",
         "The header is right, the pixels are not.", truncated_png),
    Case("…, frame 0: image … has more than 8 bits a channel (mode …); convert it to 8-bit RGB …",
         "16-bit and float images are not read.", load(mode="I;16")),
]  # fmt: skip
