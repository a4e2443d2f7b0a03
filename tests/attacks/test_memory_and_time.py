"""Files and arguments that are small and ask for much: refused, or read within stated bounds.

Each attack runs in a process of its own, which may take a stated number of megabytes beyond what it
has after its imports, and a stated number of seconds of CPU; beyond them it ends with an error.
"""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from samples.gaussians import random_gaussians
from samples.mazes import spiral
from samples.splat_files import compressed_ply, spz4, zstd

from geolrm.engine.formats.splat_files import encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")

LIMITED = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
from geolrm import Gaussians, InputError
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.arrays import read_points
from geolrm.engine.captures.colmap_model import read_model
from geolrm.engine.views.preprocessing import prepare_views
from geolrm.engine.geometry.cameras import Cameras
from PIL import Image
import zipfile, json
try:
    from geolrm.viewer import load_scene
except ImportError:
    pass
Image.init()
path, megabytes, seconds, call = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with open("/proc/self/statm") as file:
    used = int(file.read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * 10**6,) * 2)
cpu = resource.getrusage(resource.RUSAGE_SELF)
before = cpu.ru_utime + cpu.ru_stime
resource.setrlimit(resource.RLIMIT_CPU, (int(before) + seconds + 1,) * 2)
warnings.simplefilter("ignore")
try:
    print("read", eval(call))
except InputError as error:
    print("refused", error)
"""


def attack(path, call, megabytes, seconds):
    command = [sys.executable, "-c", LIMITED, path, str(megabytes), str(seconds), call]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def gzipped(head, zeros):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts, block = [packer.compress(head)], bytes(1 << 20)
    parts += [packer.compress(block[: min(zeros - at, len(block))])
              for at in range(0, zeros, len(block))]  # fmt: skip
    return b"".join(parts) + packer.flush()


def spz_of(splats, degree):
    """An SPZ of splats that are all zeros: a thousandth of them in bytes."""
    width = 20 + {0: 0, 3: 45}[degree]
    head = struct.pack("<4sIIBBBB", b"NGSP", 3, splats, degree, 12, 0, 0)
    return gzipped(head, splats * width)


def spz4_of(splats):
    def change(header, sizes, streams):
        header["count"] = splats
        widths = [9, 1, 3, 3, 4, 45]
        for index, width in enumerate(widths):
            streams[index] = zstd.compress(bytes(width * splats))
            sizes[index] = [len(streams[index]), width * splats]

    return spz4(random_gaussians(16), change=change)


LOAD = "len(Gaussians.load(path))"


@pytest.mark.parametrize("megabytes", [1, 4, 16])
@pytest.mark.parametrize(("degree", "width"), [(0, 20), (3, 65)])
def test_spz_that_shrank_a_thousandfold_is_refused(tmp_path, degree, width, megabytes):
    """A file of 126 kB took 2.4 GB; one of 1.26 MB more than 11."""
    splats = megabytes * 16_000_000 // width
    (tmp_path / "a.spz").write_bytes(content := spz_of(splats, degree))
    may_be_read = splats * width <= 64 * len(content) + (1 << 24)
    assert may_be_read == (megabytes == 1)
    bound = 400 if may_be_read else 32
    said = attack(tmp_path / "a.spz", LOAD, bound, 10)
    assert said == f"read {splats}" if may_be_read else "may hold 64 times its size" in said


def test_spz_4_that_shrank_a_thousandfold_is_refused(tmp_path):
    (tmp_path / "a.spz").write_bytes(spz4_of(400_000))
    assert "may hold 64 times its size and 16777216 bytes more" in attack(
        tmp_path / "a.spz", LOAD, 32, 5
    )


@pytest.mark.parametrize("degree", [0, 3])
def test_the_largest_spz_that_is_read_takes_a_stated_memory(tmp_path, degree):
    """The 16 MB that a small file may hold become Gaussians and one part of them on the way."""
    splats = (1 << 24) // (20 if degree == 0 else 65)
    (tmp_path / "a.spz").write_bytes(spz_of(splats, degree))
    floats = {0: 14, 3: 11 + 48}[degree]
    bound = (4 * floats * splats + 2 * (1 << 24)) // 10**6 + 96
    assert attack(tmp_path / "a.spz", LOAD, bound, 20) == f"read {splats}"


@pytest.mark.parametrize("kind", ["ply", "compressed", "splat", "glb"])
def test_formats_without_compression_take_memory_by_their_size(tmp_path, kind):
    """A few megabytes of splats become at most 15 times that, as where GLB's attributes overlap."""
    made = random_gaussians(16).select(np.zeros(256, np.int64))
    if kind == "compressed":
        content, suffix = compressed_ply(made), ".ply"
        head, _, _ = content.partition(b"end_header\n")
        assert len(head) < 10_000
    elif kind == "glb":
        content, suffix = overlapping_glb(200_000), ".glb"
    else:
        made = random_gaussians(None if kind == "splat" else 16).select(np.zeros(40_000, int))
        suffix = f".{kind}"
        content = encode(made, suffix)
    (tmp_path / f"a{suffix}").write_bytes(content)
    bound = 17 * len(content) // 10**6 + 96
    assert attack(tmp_path / f"a{suffix}", LOAD, bound, 20).startswith("read ")


def overlapping_glb(splats):
    """Every attribute of every splat in the same bytes."""
    content = encode(random_gaussians(16), ".glb")
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    for view in document["bufferViews"]:
        view |= {"byteOffset": 0, "byteLength": 16 * splats}
    for accessor in document["accessors"]:
        accessor |= {"count": splats, "bufferView": 0, "byteOffset": 0}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    numbers = np.full(4 * splats, 0.5, "<f4").tobytes()
    total = 20 + len(text) + 8 + len(numbers)
    head = struct.pack("<4sIIII", b"glTF", 2, total, len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(numbers), 0x004E4942) + numbers


def test_a_chain_of_nodes_that_all_show_the_splats_takes_linear_time(tmp_path):
    content = encode(random_gaussians(), ".glb")
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    count = 30_000
    document["nodes"] = [{"mesh": 0, "children": [k + 1]} for k in range(count - 1)] + [{"mesh": 0}]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    assert len(text) < 1 << 20
    rest = content[20 + size :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    (tmp_path / "a.glb").write_bytes(head + text + rest)
    said = attack(tmp_path / "a.glb", LOAD, 96, 5)
    assert f"shows its splats at {count} nodes; files that show them once are read" in said


def test_rows_of_lists_before_the_splats_are_not_stepped_over_by_the_million(tmp_path):
    rows = 3_000_000
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement face {rows}\n"
        "property list uchar int vertex_indices\n"
    ).encode()
    sound = encode(random_gaussians(), ".ply")
    splats = sound[sound.index(b"element vertex") :]
    start = splats.index(b"end_header\n") + len(b"end_header\n")
    content = head + splats[:start] + bytes(rows) + splats[start:]
    (tmp_path / "a.ply").write_bytes(content)
    said = attack(tmp_path / "a.ply", LOAD, 64, 3)
    assert (
        f"has {rows} lists in rows of 'face' before its splats; at most 1048576 are stepped over"
        in said
    )


def test_points_that_shrank_a_thousandfold_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", points=np.zeros((8_000_000, 3), np.float32))
    said = attack(tmp_path / "a.npz", "len(read_points(Path(path)))", 32, 5)
    assert said.startswith("refused") and "points has 96000128 bytes in 93" in said
    assert "of such are read: store less, or with numpy.savez" in said


def png(width, height, mode="L", **options):
    """A white image whose rows shrink a thousandfold, made without holding it."""
    kind = {"L": 0, "RGB": 2, "RGBA": 6}[mode]
    row = b"\0" + b"\xff" * (width * len(mode))
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    chunks += options.get("more", []) + [(b"IDAT", body), (b"IEND", b"")]
    packed = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + packed


POSE = [[1, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]]


def capture_of(folder, frames, **fields):
    content = {"camera_angle_x": 0.8, **fields, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


READ = "len(list(read_capture(path).images))"


def test_images_of_too_many_pixels_are_refused_by_their_header(tmp_path):
    content = png(16384, 8193)
    assert len(content) < 500_000
    (tmp_path / "a.png").write_bytes(content)
    capture_of(tmp_path, [{"file_path": "a.png", "transform_matrix": POSE}])
    said = attack(tmp_path, READ, 48, 3)
    assert "has 16384 x 8193 pixels, more than are supported; make it smaller" in said


def test_a_webp_of_too_many_pixels_is_refused(tmp_path):
    """Its decoder may reserve the canvas when it is opened; nothing touches it."""
    file = io.BytesIO()
    Image.new("RGB", (16383, 1), "white").save(file, "WEBP", lossless=True)
    content = bytearray(file.getvalue())
    at = content.index(b"VP8L") + 8
    assert content[at] == 0x2F
    bits = struct.unpack_from("<I", content, at + 1)[0]
    struct.pack_into("<I", content, at + 1, bits & ~(0x3FFF << 14) | (16382 << 14))
    (tmp_path / "a.webp").write_bytes(content)
    capture_of(tmp_path, [{"file_path": "a.webp", "transform_matrix": POSE}])
    assert attack(tmp_path, READ, 4000, 5).startswith("refused")


def test_text_chunks_of_png_are_not_expanded_for_every_frame(tmp_path):
    """Each may hold a megabyte, of a thousandth of it in the file."""
    text = (b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    (tmp_path / "a.png").write_bytes(png(8, 8, "RGB", more=[text] * 40))
    capture_of(tmp_path, [{"file_path": "a.png", "transform_matrix": POSE}] * 2000)
    assert attack(tmp_path, READ, 200, 20) == "read 2000"


def test_a_jpeg_of_many_scans_is_refused(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "JPEG", progressive=True)
    content = file.getvalue()
    at = content.rindex(b"\xff\xda")
    scan = content[at:-2]
    (tmp_path / "a.jpg").write_bytes(content[:-2] + scan * 5000 + content[-2:])
    capture_of(tmp_path, [{"file_path": "a.jpg", "transform_matrix": POSE}])
    said = attack(tmp_path, READ, 48, 3)
    assert "scans, a JPEG has 100 at most here; save it again" in said
    (tmp_path / "a.jpg").write_bytes(content)
    assert attack(tmp_path, READ, 48, 3) == "read 1"


def test_an_image_is_decoded_once_however_many_frames_name_it(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2000, 2000, "RGB"))
    (tmp_path / "m.png").write_bytes(png(2000, 2000))
    frame = {"file_path": "a.png", "mask_path": "m.png", "transform_matrix": POSE}
    capture_of(tmp_path, [frame] * 10_000)
    call = "(lambda c: (len({id(image) for image in c.images}), len(c)))(read_capture(path))"
    assert attack(tmp_path, call, 400, 60) == "read (1, 10000)"


def test_frames_are_limited(tmp_path):
    (tmp_path / "a.png").write_bytes(png(8, 8, "RGB"))
    capture_of(tmp_path, [{"file_path": "a.png", "transform_matrix": POSE}] * 10_001)
    said = attack(tmp_path, READ, 48, 5)
    assert said.endswith("lists 10,001 frames; at most 10,000 are read: leave some out")


def test_json_that_parses_to_much_more_is_refused(tmp_path):
    (tmp_path / "transforms.json").write_bytes(b'{"frames": [' + b"[]," * 6_000_000 + b"[]]}")
    said = attack(tmp_path, READ, 48, 5)
    assert said.endswith("is larger than 16777216 bytes; it cannot be a capture")


def test_fields_of_the_file_are_not_copied_for_every_frame(tmp_path):
    (tmp_path / "a.png").write_bytes(png(8, 8, "RGB"))
    frame = {"file_path": "a.png", "transform_matrix": POSE}
    fields = {f"k{index}": 0 for index in range(200_000)}
    capture_of(tmp_path, [frame] * 5000, **fields)
    assert attack(tmp_path, READ, 250, 15) == "read 5000"


def test_long_paths_are_not_looked_for_from_every_component(tmp_path):
    names = ["/".join(["a"] * 2000) + f"/{index}.png" for index in range(2000)]
    (tmp_path / "a" / "a" / "a").mkdir(parents=True)
    capture_of(tmp_path, [{"file_path": name, "transform_matrix": POSE} for name in names])
    said = attack(tmp_path, READ, 100, 30)
    assert "every one of the 2000 listed images is missing" in said


def test_points_of_a_model_take_the_memory_of_numbers(tmp_path):
    model = tmp_path / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 8 8 8 8 4 4\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 2 1 a.png\n\n")
    (model / "points3D.txt").write_bytes(b"1 0 0 0 0\n" * 1_000_000)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png(8, 8, "RGB"))
    assert attack(model, "len(read_model(Path(path)).points)", 260, 20) == "read 1000000"


PREPARE = "prepare_views([{}], Cameras.orbit([0.0], 0.0, 1.8, 50.0), 252, 336).images.shape"


@pytest.mark.parametrize(
    "image",
    [
        "np.full((8192, 16384, 3), 255, np.uint8)",
        "np.full((16384, 8192, 4), 255, np.uint8)",
        "np.broadcast_to(np.float32(1), (3, 8192, 16384))",
        "np.broadcast_to(np.float64(1), (3, 8192, 16384))",
    ],
)
def test_the_largest_images_given_to_an_engine(tmp_path, image):
    """One of 16384 px a side took 104 s and 10.5 GB."""
    said = attack(tmp_path, PREPARE.format(image), 1700, 15)
    assert said == "read (1, 3, 252, 252)"


@pytest.mark.parametrize(
    "image",
    [
        "np.broadcast_to(np.uint8(1), (16384, 16384, 3))",
        "np.broadcast_to(np.uint8(1), (65537, 1, 3))",
    ],
)
def test_larger_images_are_refused_before_anything_is_made_of_them(tmp_path, image):
    said = attack(tmp_path, PREPARE.format(image), 48, 2)
    assert (
        "sides must be 1 to 65536, and at most 134217728 pixels are taken: make it smaller" in said
    )


def test_a_maze_of_background_takes_no_pass_for_every_corner(tmp_path):
    white = spiral(2047)
    np.save(tmp_path / "a.npy", np.repeat(white[..., None] * np.uint8(255), 3, axis=2))
    call = PREPARE.format("np.load(path)")
    assert attack(tmp_path / "a.npy", call, 1000, 30) == "read (1, 3, 252, 252)"


def test_gzip_that_holds_gzip_is_read_once(tmp_path):
    inner = spz_of(10, 0)
    (tmp_path / "a.spz").write_bytes(gzip.compress(inner))
    assert "its stream does not begin with NGSP" in attack(tmp_path / "a.spz", LOAD, 32, 2)
