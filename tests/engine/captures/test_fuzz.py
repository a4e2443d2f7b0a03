"""Damaged captures are refused in one sentence: JSON, arrays, models, lenses, pictures, clips.

2,000 inputs for each reader; ``make fuzz`` takes 100,000.
"""

import copy
import io
import json
import os
import warnings

import numpy as np
import pytest
from harness.fuzzing import EXAMPLES, bounded, damaged, fuzz
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from samples.capture_files import box_cameras, write_clip, write_gobjaverse_views

from geolrm import GeoLRMError
from geolrm.engine.captures import load_capture
from geolrm.engine.captures.arrays import read_matrices
from geolrm.engine.captures.colmap_model import MODELS, SparseCamera, read_model
from geolrm.engine.captures.gobjaverse import read_object
from geolrm.engine.captures.images import ImageReader
from geolrm.engine.captures.undistortion import undistorted
from geolrm.engine.captures.video import read_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """On the memory file system where there is one: a file is written for every input."""
    path = tmp_path_factory.mktemp("fuzz")
    if os.path.isdir("/dev/shm"):
        import tempfile

        with tempfile.TemporaryDirectory(dir="/dev/shm") as fast:
            from pathlib import Path

            yield Path(fast)
    else:
        yield path


def refused_or_read(call):
    with warnings.catch_warnings(), bounded():
        warnings.simplefilter("ignore")
        try:
            return call()
        except GeoLRMError as error:
            assert 10 < len(str(error)) < 1500
            return None


POSE = [[1, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]]
TRANSFORMS = {
    "camera_angle_x": 0.8, "fl_x": 10.0, "fl_y": 10.0, "cx": 4.0, "cy": 4.0, "w": 8, "h": 8,
    "k1": 0.0, "k4": 0.0, "camera_model": "OPENCV", "is_fisheye": False,
    "applied_transform": POSE, "applied_scale": 2.0,
    "frames": [
        {"file_path": "a.png", "transform_matrix": POSE, "mask_path": "m.png"},
        {"file_path": "a", "transform_matrix": POSE, "fl_x": 9.0},
    ],
}  # fmt: skip
VALUES = [None, -1, 0, 0.3, 1e-300, 1e300, 2**70, float("nan"), float("inf"), "", "a.png",
          "../a", "a\0b", "x" * 5000, [], {}, [[1]], [POSE], True,
          "OPENCV_FISHEYE", POSE]  # fmt: skip


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


PLACES = [path for path in places(TRANSFORMS) if path]


@st.composite
def changed_transforms(draw):
    content = json.loads(json.dumps(TRANSFORMS))
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        place = content
        try:
            for key in path[:-1]:
                place = place[key]
            if draw(st.integers(0, 3)):
                # a copy: a later change would reach into the shared list
                place[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            else:
                del place[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
    return json.dumps(content).encode()


@fuzz
@given(st.one_of(changed_transforms(), damaged(json.dumps(TRANSFORMS).encode())))
@example(b"[" * 100_000)
@example(b'{"frames": ' + b"[" * 5000 + b"]" * 5000 + b"}")
@example(b'{"frames": [{"file_path": "a.png", "transform_matrix": 1' + b"0" * 400 + b"}]}")
def test_transforms(folder, content):
    Image.new("RGB", (8, 8), "white").save(folder / "a.png")
    Image.new("L", (8, 8), 255).save(folder / "m.png")
    (folder / "transforms.json").write_bytes(content)
    refused_or_read(lambda: load_capture(folder / "transforms.json", undo_applied_transform=True))


def stored(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


ARRAYS = [
    stored(np.tile(np.eye(4), (3, 1, 1))),
    stored(np.eye(4, dtype=np.float32)),
    stored(np.zeros((2, 3, 4), ">i4")),
]


@fuzz
@given(damaged(*ARRAYS))
def test_poses(folder, content):
    (folder / "poses.npy").write_bytes(content)
    found = refused_or_read(lambda: read_matrices(folder / "poses.npy", ((4, 4), (3, 4))))
    assert found is None or found.ndim == 3


CAMERAS = b"# comment\n1 PINHOLE 64 48 50 50 32 24\n2 OPENCV 64 48 50 50 32 24 0 0 0 0\n"
IMAGES = b"1 1 0 0 0 0 0 2 1 a.png\n\n2 0.7 0.7 0 0 0 0 2 2 b c.png\n1.5 2.5 -1 3 4 7\n"
POINTS = b"1 0.1 0.2 0.3 10 20 30 0.5 1 0\n2 0 0 0 1 2 3 0.5\n"


def binary_model():
    from struct import pack

    cameras = pack("<Q", 1) + pack("<IiQQ4d", 1, 1, 64, 48, 50, 50, 32, 24)
    image = pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"a.png\0"
    images = pack("<Q", 1) + image + pack("<Q", 1) + pack("<ddq", 1, 2, -1)
    points = pack("<Q", 1) + pack("<Q3d3Bd", 1, 0.1, 0.2, 0.3, 1, 2, 3, 0.5)
    return cameras, images, points + pack("<Q", 1) + pack("<ii", 1, 0)


BINARY = binary_model()
FILES = ("cameras", "images", "points3D")


@fuzz
@given(
    st.sampled_from([(".txt", (CAMERAS, IMAGES, POINTS)), (".bin", BINARY)]).flatmap(
        lambda form: st.tuples(
            st.just(form), st.integers(0, 2).flatmap(
                lambda which: st.tuples(st.just(which), damaged(form[1][which]))
            ),
        )
    )
)  # fmt: skip
def test_colmap_models(folder, case):
    (suffix, sound), (which, content) = case
    model = folder / f"model{suffix}"
    model.mkdir(exist_ok=True)
    for index, name in enumerate(FILES):
        (model / f"{name}{suffix}").write_bytes(content if index == which else sound[index])
    found = refused_or_read(lambda: read_model(model))
    assert found is None or found.w2c.shape[1:] == (4, 4)


def pictures():
    for mode, form in (("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "JPEG"),
                       ("L", "WEBP"), ("I;16", "PNG")):  # fmt: skip
        file = io.BytesIO()
        Image.new(mode, (9, 7), 3).save(file, form)
        yield file.getvalue()


@fuzz
@given(damaged(*pictures()))
def test_images(folder, content):
    (folder / "p.png").write_bytes(content)
    found = refused_or_read(lambda: ImageReader().read(folder / "p.png", "here"))
    assert found is None or found.shape[2] in (3, 4)


@st.composite
def lenses(draw):
    """Cameras of every model, their numbers mostly those of a lens."""
    name, count, focals = MODELS[draw(st.sampled_from(sorted(MODELS)))]
    usual = [8.0] * focals + [4.0, 3.0] + [0.0] * (count - focals - 2)
    numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-2, 2)
    for place in draw(st.lists(st.integers(0, count - 1), max_size=4)):
        usual[place] = draw(numbers)
    return SparseCamera(name, 9, 7, tuple(usual))


PIXELS = np.arange(9 * 7 * 4, dtype=np.uint8).reshape(7, 9, 4)


@settings(fuzz, max_examples=max(EXAMPLES // 4, 1))
@given(lenses(), st.sampled_from([3, 4]))
def test_lenses(camera, channels):
    pytest.importorskip("pycolmap")
    found = refused_or_read(lambda: undistorted(PIXELS[..., :channels], camera, "here"))
    if found is not None:
        image, pinhole, known = found
        assert known is None or (known.shape == image.shape[:2] and not known.all())
        assert image.shape == (pinhole.height, pinhole.width, channels)
        assert max(image.shape) <= 20


@pytest.fixture(scope="module")
def object_folder(folder):
    return write_gobjaverse_views(folder / "object", np.stack([PIXELS[:, :7]] * 2), box_cameras(2))


GOBJAVERSE_CAMERA = json.dumps(
    {"x": [1, 0, 0], "y": [0, 0, -1], "z": [0, 1, 0], "origin": [0, -2, 0], "x_fov": 0.8}
).encode()


@fuzz
@given(damaged(GOBJAVERSE_CAMERA), damaged(*pictures()), st.booleans())
@example(b'{"x": [1e999, 0, 0]}', b"", True)
def test_gobjaverse(object_folder, camera, picture, whole):
    stem = object_folder / "00001" / "00001"
    sound = stem.with_suffix(".png").read_bytes()
    stem.with_suffix(".json").write_bytes(camera)
    if not whole:
        stem.with_suffix(".png").write_bytes(picture)
    try:
        refused_or_read(lambda: read_object(object_folder))
    finally:
        stem.with_suffix(".png").write_bytes(sound)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    pytest.importorskip("av")
    frames = [np.full((16, 16, 3), 10 * index, np.uint8) for index in range(21)]
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", frames).read_bytes()


@fuzz
@given(st.data())
def test_clips(folder, clip, data):
    (folder / "a.mp4").write_bytes(data.draw(damaged(clip)))
    found = refused_or_read(lambda: read_clip(folder / "a.mp4"))
    assert found is None or len(found) == 21
