"""Every reader of files that nobody vouches for, under very many damaged inputs.

500 for each reader; ``make fuzz`` takes 100,000. An input that fails is named by its number, which
brings it again. What is drawn by hypothesis, and shrunk, is in ``test_fuzz.py`` of each room.
"""

import gzip
import io
import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from harness.mutation import attack, edited, edited_json
from PIL import Image
from samples.capture_files import box_cameras, write_clip, write_gobjaverse_views
from samples.gaussians import random_gaussians
from samples.splat_files import compressed_ply, element, ply_file, splat_rows, spz4, zstd

from geolrm import GeoLRMError
from geolrm.engine.captures import load_capture
from geolrm.engine.captures.arrays import read_matrices, read_points, read_table
from geolrm.engine.captures.colmap_model import MODELS, SparseCamera, read_model
from geolrm.engine.captures.gobjaverse import read_object
from geolrm.engine.captures.images import ImageReader
from geolrm.engine.captures.prediction_file import read_prediction
from geolrm.engine.captures.undistortion import undistorted
from geolrm.engine.captures.video import read_clip
from geolrm.engine.formats import archive
from geolrm.engine.formats.splat_files import decode, encode
from geolrm.viewer import Exhibit, load_scene, save_scene

COUNT = int(os.environ.get("GEOLRM_FUZZ_INPUTS", "500"))  # for each reader

SCENES = [random_gaussians(sh).select(np.arange(3)) for sh in (None, 4, 16)]
ROWS = splat_rows(SCENES[0])
FACES = ("face", 2, [("list uchar int", "vertex_indices")], bytes([1, 0, 0, 0, 0, 0]))
PLY = [
    *(encode(scene, ".ply") for scene in SCENES),
    encode(SCENES[0], ".ply", raw=True, up="y"),
    ply_file(FACES, element("vertex", ROWS, {"opacity": "double"}), newline="\r\n"),
    ply_file(element("vertex", ROWS, order=">"), FACES, order=">"),
]
COMPRESSED = [compressed_ply(s, color_ranges=r) for s in SCENES for r in (False, True)]
SPZ = [encode(scene, ".spz") for scene in SCENES]
PAYLOADS = [
    *(gzip.decompress(content) for content in SPZ),
    struct.pack("<4sIIBBBB", b"NGSP", 2, 3, 0, 12, 0, 0) + bytes(range(57)),
]
SPZ_4 = [spz4(scene, extension=extension) for scene in SCENES for extension in (b"", bytes(8))]
SPZ_4 += [encode(scene, ".spz", spz_version=4) for scene in SCENES]
SPLAT = [encode(SCENES[0], ".splat")]
SOG = [encode(scene, ".sog") for scene in SCENES]
SOG_MEMBERS = archive.read(SOG[1], "it")
META = json.loads(SOG_MEMBERS["meta.json"])
BOOKS = {key: META[key].pop("codebook") for key in ("scales", "sh0", "shN")}
NPZ = [encode(scene, ".npz") for scene in SCENES]
GLB = [encode(scene, ".glb") for scene in SCENES]


def json_of(content):
    return content[20 : 20 + struct.unpack_from("<I", content, 12)[0]]


def with_json(text):
    text += b" " * (-len(text) % 4)
    rest = GLB[0][20 + len(json_of(GLB[0])) :]
    size = 20 + len(text) + len(rest)
    return struct.pack("<4sIIII", b"glTF", 2, size, len(text), 0x4E4F534A) + text + rest


DOCUMENT = json.loads(json_of(GLB[0]))
DOCUMENT["nodes"] = [
    {"children": [1], "matrix": np.eye(4).ravel().tolist()},
    {"mesh": 0, "translation": [1, 2, 3], "rotation": [0, 0, 0, 1], "scale": [2, 2, 2]},
]


def one_of(seeds):
    return lambda chance: edited(chance, chance.choice(seeds))


def spz_3(chance):
    if chance.random() < 0.2:
        return edited(chance, chance.choice(SPZ))
    return gzip.compress(edited(chance, chance.choice(PAYLOADS)), 1, mtime=0)


def spz_4(chance):
    """Damage in the file, or within a stream that its table states rightly."""
    if chance.random() < 0.5:
        return edited(chance, chance.choice(SPZ_4))
    index = chance.randrange(6)
    packed = edited(chance, zstd.compress(bytes(range(chance.choice([0, 3, 9, 27, 81])))))

    def change(header, sizes, streams):
        streams[index], sizes[index][0] = packed, len(packed)

    return spz4(SCENES[1], change=change)


def glb(chance):
    kind = chance.randrange(3)
    if kind == 0:
        return edited(chance, chance.choice(GLB))
    if kind == 1:
        return with_json(edited(chance, json_of(GLB[0])))
    return with_json(edited_json(chance, DOCUMENT))


def inside(seeds):
    """Damage in an archive, or in a member whose size and checksum its list states rightly."""
    opened = [archive.read(content, "it") for content in seeds]

    def make(chance):
        if chance.random() < 0.3:
            return edited(chance, chance.choice(seeds))
        members = chance.choice(opened)
        name = chance.choice(list(members))
        return archive.write(members | {name: edited(chance, members[name])})

    return make


damaged_sog = inside(SOG)


def sogs(chance):
    """Damage in a member, or in the values of meta.json, short of its codebooks."""
    if chance.random() < 0.6:
        return damaged_sog(chance)
    meta = json.loads(edited_json(chance, META))
    for key in BOOKS:
        if isinstance(meta, dict) and isinstance(meta.get(key), dict):
            meta[key].setdefault("codebook", BOOKS[key])
    return archive.write(SOG_MEMBERS | {"meta.json": json.dumps(meta).encode()})


def splats(suffix):
    def read(content):
        found = decode(content, suffix)
        assert np.isfinite(found.means).all() and np.isfinite(found.scales).all()
        if len(found):
            encode(found, ".ply")

    return read


SPLAT_READERS = {
    "ply": (one_of(PLY), splats(".ply")),
    "compressed ply": (one_of(COMPRESSED), splats(".ply")),
    "spz": (spz_3, splats(".spz")),
    "spz 4": (spz_4, splats(".spz")),
    "splat": (one_of(SPLAT), splats(".splat")),
    "glb": (glb, splats(".glb")),
    "sog": (sogs, splats(".sog")),
    "npz": (inside(NPZ), splats(".npz")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """On the memory file system where there is one: a file is written for every input."""
    fast = "/dev/shm" if os.path.isdir("/dev/shm") else tmp_path_factory.mktemp("fuzz")
    with tempfile.TemporaryDirectory(dir=fast) as made:
        yield Path(made)


def report(name, found):
    was_read, slowest = found
    print(f"{name}: {COUNT:,} inputs, {was_read:,} read, the slowest {slowest * 1e3:.0f} ms")


@pytest.mark.parametrize("name", SPLAT_READERS)
def test_splats(name):
    make, read = SPLAT_READERS[name]
    report(name, attack(make, read, (GeoLRMError,), COUNT))


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
TEXT = json.dumps(TRANSFORMS).encode()


def test_transforms(folder):
    place = folder / "transforms"
    place.mkdir()
    Image.new("RGB", (8, 8), "white").save(place / "a.png")
    Image.new("L", (8, 8), 255).save(place / "m.png")
    file = place / "transforms.json"

    def make(chance):
        return edited(chance, TEXT) if chance.random() < 0.4 else edited_json(chance, TRANSFORMS)

    def read(content):
        file.write_bytes(content)
        load_capture(file, undo_applied_transform=True)

    report("transforms.json", attack(make, read, (GeoLRMError,), COUNT))


def stored(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def file_reader(path, read):
    def call(content):
        path.write_bytes(content)
        read(path)

    return call


ARRAYS = [stored(np.tile(np.eye(4), (3, 1, 1))), stored(np.zeros((2, 3, 4), ">i4")),
          stored(np.ones((3, 17)))]  # fmt: skip
POINTS = np.linspace(-0.5, 0.5, 30, dtype=np.float32).reshape(10, 3)
ARCHIVES = [zipped(points=POINTS), zipped(points=POINTS, visible=np.arange(10) > 4)]


def test_arrays(folder):
    def read(path):
        try:
            read_matrices(path, ((4, 4), (3, 4)))
        except GeoLRMError:
            read_table(path, 17)

    found = attack(one_of(ARRAYS), file_reader(folder / "a.npy", read), (GeoLRMError,), COUNT)
    report("npy", found)


def test_archives(folder):
    call = file_reader(folder / "a.npz", read_points)
    report("npz", attack(one_of(ARCHIVES), call, (GeoLRMError,), COUNT))


PREDICTION = {
    "extrinsics": np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1)),
    "intrinsics": np.tile(np.array([[8, 0, 4], [0, 8, 3], [0, 0, 1]], np.float32), (2, 1, 1)),
    "depth": np.ones((2, 6, 8), np.float32), "conf": np.ones((2, 6, 8), np.float32),
}  # fmt: skip
PICTURES_READ = {"images": np.zeros((1, 2, 3, 6, 8), np.float32)}
PREDICTIONS = [zipped(**PREDICTION), zipped(**PREDICTION, **PICTURES_READ)]


def test_predictions(folder):
    """Cameras and depths of a network, which nobody vouches for, as archives of arrays."""
    call = file_reader(folder / "predictions.npz", read_prediction)
    report("predictions", attack(inside(PREDICTIONS), call, (GeoLRMError,), COUNT))


TEXT_MODEL = (
    b"# comment\n1 PINHOLE 64 48 50 50 32 24\n2 OPENCV 64 48 50 50 32 24 0 0 0 0\n",
    b"1 1 0 0 0 0 0 2 1 a.png\n\n2 0.7 0.7 0 0 0 0 2 2 b c.png\n1.5 2.5 -1 3 4 7\n",
    b"1 0.1 0.2 0.3 10 20 30 0.5 1 0\n2 0 0 0 1 2 3 0.5\n",
)
BINARY_MODEL = (
    struct.pack("<Q", 1) + struct.pack("<IiQQ4d", 1, 1, 64, 48, 50, 50, 32, 24),
    struct.pack("<Q", 1) + struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"a.png\0"
    + struct.pack("<Qddq", 1, 1, 2, -1),
    struct.pack("<QQ3d3Bd", 1, 1, 0.1, 0.2, 0.3, 1, 2, 3, 0.5) + struct.pack("<Qii", 1, 1, 0),
)  # fmt: skip


@pytest.mark.parametrize(("suffix", "files"), [(".txt", TEXT_MODEL), (".bin", BINARY_MODEL)])
def test_colmap_models(folder, suffix, files):
    model = folder / f"model{suffix}"
    model.mkdir()
    names = [f"{name}{suffix}" for name in ("cameras", "images", "points3D")]
    for name, content in zip(names, files, strict=True):
        (model / name).write_bytes(content)
    which = [0]

    def make(chance):
        which[0] = chance.randrange(3)
        return edited(chance, files[which[0]])

    def read(content):
        (model / names[which[0]]).write_bytes(content)
        try:
            read_model(model)
        finally:
            (model / names[which[0]]).write_bytes(files[which[0]])

    report(f"COLMAP {suffix}", attack(make, read, (GeoLRMError,), COUNT))


def pictures():
    for mode, form, options in (
        ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("P", "PNG", {}), ("I;16", "PNG", {}),
        ("RGB", "JPEG", {}), ("RGB", "JPEG", {"progressive": True}), ("L", "WEBP", {}),
    ):  # fmt: skip
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new(mode, (9, 7), 3).save(file, form, exif=exif, **options)
        yield file.getvalue()


PICTURES = list(pictures())


def test_images(folder):
    def read(path):
        picture = ImageReader()
        measured = picture.measure(path, "here", (7, 9))
        assert picture.decode(measured).shape == measured.shape

    call = file_reader(folder / "p.png", read)
    report("images", attack(one_of(PICTURES), call, (GeoLRMError,), COUNT))


def test_masks(folder):
    Image.new("RGB", (9, 7), 3).save(folder / "i.png")

    def read(path):
        reader = ImageReader()
        reader.decode(reader.measure(folder / "i.png", "here", None, path, "m"))

    call = file_reader(folder / "m.png", read)
    report("masks", attack(one_of(PICTURES), call, (GeoLRMError,), COUNT))


PIXELS = np.arange(9 * 7 * 4, dtype=np.uint8).reshape(7, 9, 4)


def test_lenses():
    pytest.importorskip("pycolmap")

    def make(chance):
        """A camera of any model, its numbers mostly those of a lens, as bytes."""
        name, count, focals = MODELS[chance.choice(sorted(MODELS))]
        usual = [8.0] * focals + [4.0, 3.0] + [0.0] * (count - focals - 2)
        for _ in range(chance.randrange(5)):
            wide = struct.unpack("<d", chance.randbytes(8))[0]
            usual[chance.randrange(count)] = chance.choice([chance.uniform(-2, 2), wide])
        numbers = [value if np.isfinite(value) else 0.5 for value in usual]
        return json.dumps([name, numbers]).encode()

    def read(content):
        name, numbers = json.loads(content)
        image, pinhole, _ = undistorted(
            PIXELS[..., :3], SparseCamera(name, 9, 7, tuple(numbers)), "here"
        )
        assert image.shape == (pinhole.height, pinhole.width, 3) and max(image.shape) <= 20

    report("lenses", attack(make, read, (GeoLRMError,), COUNT))


CAMERA = {"x": [1, 0, 0], "y": [0, 0, -1], "z": [0, 1, 0], "origin": [0, -2, 0], "x_fov": 0.8}


def test_gobjaverse(folder):
    place = write_gobjaverse_views(folder / "object", np.stack([PIXELS[:, :7]] * 2), box_cameras(2))
    stem = place / "00001" / "00001"
    sound = stem.with_suffix(".png").read_bytes(), stem.with_suffix(".json").read_bytes()
    which = [".png"]

    def make(chance):
        which[0] = chance.choice([".png", ".json"])
        if which[0] == ".png":
            return edited(chance, sound[0])
        return edited_json(chance, CAMERA) if chance.random() < 0.5 else edited(chance, sound[1])

    def read(content):
        file = stem.with_suffix(which[0])
        file.write_bytes(content)
        try:
            read_object(place)
        finally:
            file.write_bytes(sound[which[0] == ".json"])

    report("GObjaverse", attack(make, read, (GeoLRMError,), COUNT))


def test_clips(folder):
    pytest.importorskip("av")
    frames = [np.full((16, 16, 3), 10 * index, np.uint8) for index in range(21)]
    sound = write_clip(folder / "sound.mp4", frames).read_bytes()

    def read(path):
        assert len(read_clip(path)) == 21

    report("clips", attack(one_of([sound]), file_reader(folder / "a.mp4", read), (GeoLRMError,),
                           COUNT))  # fmt: skip


def test_saved_scenes(folder):
    from geolrm.engine.gaussians.gaussians import Gaussians

    made = Gaussians(**{name: getattr(SCENES[0], name) for name in
                        ("means", "opacities", "scales", "quats", "colors")})  # fmt: skip
    save_scene(Exhibit("a", made, anchors=np.zeros((2, 3), np.float32)), folder / "s.safetensors")
    sound = (folder / "s.safetensors").read_bytes()
    call = file_reader(folder / "a.safetensors", load_scene)
    report("scenes", attack(one_of([sound]), call, (GeoLRMError,), COUNT))


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat", ".glb", ".sog", ".npz"])
def test_any_bytes(suffix):
    def make(chance):
        start = chance.choice([b"", b"ply\n", b"\x1f\x8b\x08", b"NGSP", b"glTF", b"PK\3\4"])
        return start + chance.randbytes(chance.randrange(200))

    report(f"any bytes as {suffix}", attack(make, splats(suffix), (GeoLRMError,), COUNT))
