"""Files that nobody vouches for: each is refused in one sentence, before memory is taken."""

import gzip
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from samples.gaussians import random_gaussians
from samples.splat_files import sog

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import FORMATS, decode, encode

GB = 1 << 30


def spz(**changes):
    """An SPZ file whose payload was changed before it was compressed."""
    payload = bytearray(gzip.decompress(encode(random_gaussians(changes.pop("sh", None)), ".spz")))
    fields = {"magic": (0, "4s"), "version": (4, "I"), "count": (8, "I"), "degree": (12, "B"),
              "bits": (13, "B"), "flags": (14, "B"), "reserved": (15, "B")}  # fmt: skip
    cut = changes.pop("cut", None)
    for name, value in changes.items():
        offset, layout = fields[name]
        struct.pack_into(f"<{layout}", payload, offset, value)
    return gzip.compress(bytes(payload[:cut]))


def glb(change=lambda document: None, **header):
    """A GLB file with another JSON or other numbers in its headers."""
    content = encode(random_gaussians(), ".glb")
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + size :]
    fields = {"version": 2, "size": 20 + len(text) + len(rest), "json": len(text)} | header
    head = struct.pack(
        "<4sIIII", b"glTF", fields["version"], fields["size"], fields["json"], 0x4E4F534A
    )
    return head + text + rest


def edit(path, value):
    """A change of the document at a path of keys."""

    def change(document):
        place = document
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


ATTRIBUTES = ("meshes", 0, "primitives", 0, "attributes")
PROPERTIES = ("meshes", 0, "primitives", 0, "extensions", "KHR_gaussian_splatting")

SPZ = [
    (lambda: b"", "is no SPZ file; it must begin with a gzip stream or NGSP"),
    (lambda: b"NGSP" + bytes(40), "is SPZ of version 0; versions 2 to 4 are read"),
    (lambda: b"\x1f\x8b" + bytes(40), "cannot be decompressed: Error -3"),
    (lambda: spz()[:-20], "does not hold the 1000 bytes that its 50 splats need; it is truncated"),
    (lambda: spz()[:12], "is no SPZ file; its stream does not begin with NGSP"),
    (lambda: spz(cut=-1), "does not hold the 1000 bytes that its 50 splats need"),
    (lambda: spz(count=49), "does not hold the 980 bytes that its 49 splats need"),
    (lambda: spz(count=51), "does not hold the 1020 bytes that its 51 splats need"),
    (lambda: spz(count=2**32 - 1), "states 4,294,967,295 splats; at most 20,000,000 are read"),
    (lambda: spz(count=19_000_000), "states 19,000,000 splats, which are 380000000 bytes, but has"),
    (lambda: spz(magic=b"NGSQ"), "its stream does not begin with NGSP"),
    (lambda: spz(version=1), "is SPZ of version 1; versions 2 to 4 are read"),
    (lambda: spz(degree=4), "has harmonics of degree 4; at most 3 are read"),
    (lambda: spz(bits=200), "has 200 fraction bits, flags 0x0 and reserved 0"),
    (lambda: spz(flags=128), "flags 0x80"),
    (lambda: spz(reserved=7), "reserved 7; at most"),
    (lambda: spz() + b"more", "has 4 bytes after its gzip stream; it is damaged"),
    (lambda: spz(count=1) + bytes(99_999), "but its 1 splats take at most 65572"),
]  # fmt: skip

SPLAT = [
    (lambda: encode(random_gaussians(), ".splat")[:-1], "has 1599 bytes; a .splat file has 32"),
    (lambda: b"ply\n" + bytes(28), "is a PLY file; give it the suffix .ply"),
    (lambda: b"\xff" * 32, "has no splat of finite values within .*: splat 0 has a posit"),
    (lambda: struct.pack("<6f8x", 0, 0, 0, -1, 0, 0), "splat 0 has scale -1; it must not be neg"),
]

GLB = [
    (lambda: b"glTF", "is no GLB file; it must begin with glTF"),
    (lambda: b"", "is no GLB file; it must begin with glTF"),
    (lambda: glb(version=1), "is GLB of version 1; version 2 is read"),
    (lambda: glb()[:-1], "states .* bytes but has .*; it is truncated or damaged"),
    (lambda: glb(json=2**31), "states 2147483648 bytes of JSON; at most 1048576 within the file"),
    (lambda: glb(json=0)[:-1] + b"", "it is truncated or damaged"),
    (lambda: glb(edit(("accessors", 0, "count"), 10**9)), "states 1,000,000,000 splats; at most"),
    (lambda: glb(edit(("accessors", 0, "count"), 51)), "reaches beyond its .* bytes of numbers"),
    (lambda: glb(edit(("accessors", 0, "count"), 49)), r"attributes of different lengths: \[49, 5"),
    (lambda: glb(edit(("accessors", 0, "byteOffset"), 4)), "reaches beyond its"),
    (lambda: glb(edit(("bufferViews", 0, "byteStride"), 8)), "reaches beyond its"),
    (lambda: glb(edit(("bufferViews", 0, "byteOffset"), 2**39)), "reaches beyond its"),
    (lambda: glb(edit(("bufferViews", 0, "buffer"), 1)), "reaches beyond its"),
    (lambda: glb(edit(("accessors", 0, "componentType"), 5121)), "not stored as plain VEC3 of fl"),
    (lambda: glb(edit(("accessors", 0, "sparse"), {})), "not stored as plain VEC3 of float, or"),
    (lambda: glb(edit(("accessors", 0, "bufferView"), 77)), "has no buffer view 77; the file is"),
    (lambda: glb(edit((*ATTRIBUTES, "POSITION"), 77)), "has no accessor 77; the file is damaged"),
    (lambda: glb(edit((*ATTRIBUTES, "POSITION"), None)), "lacks the attribute 'POSITION'"),
    (lambda: glb(edit((*ATTRIBUTES, "POSITION"), -1)), "has JSON that is no glTF: Expected `int`"),
    (lambda: glb(edit(("meshes",), "x")), "has JSON that is no glTF: Expected `array`"),
    (lambda: glb(edit(("meshes",), [])), "has 0 primitives with KHR_gaussian_splatting"),
    (lambda: glb(edit((*PROPERTIES, "colorSpace"), "lin")), "has colours in 'lin'; 'srgb_rec709"),
    (lambda: glb(edit((*PROPERTIES, "extensions"), {"x": {}})), "compressed splats are not read"),
    (lambda: glb(edit(("nodes", 0, "scale"), [2, 3, 2])), "has nodes that mirror or shear its spl"),
    (
        lambda: glb(edit((*ATTRIBUTES, "KHR_gaussian_splatting:SH_DEGREE_1_COEF_0"), 0)),
        "has 2 harmonics a splat; it must have 1, 4, 9 or 16",
    ),
]  # fmt: skip

CASES = [(".spz", *case) for case in SPZ] + [(".splat", *case) for case in SPLAT]
CASES += [(".glb", *case) for case in GLB]


@pytest.mark.parametrize(
    ("suffix", "content", "message"), CASES, ids=[f"{s[1:]}-{m[:40]}" for s, _, m in CASES]
)
def test_damaged_files_are_refused(tmp_path, suffix, content, message):
    (tmp_path / f"a{suffix}").write_bytes(content())
    with pytest.raises(InputError, match=message):
        Gaussians.load(tmp_path / f"a{suffix}")


def test_deep_json_is_refused():
    text = b"[" * 100_000
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + 8, len(text), 0x4E4F534A)
    content = head + text + struct.pack("<II", 0, 0x004E4942)
    with pytest.raises(InputError, match="has JSON that is no glTF"):
        decode(content, ".glb")


def properties(count):
    return "".join(f"property float p{index}\n" for index in range(count)).encode()


HEADER = b"ply\nformat binary_little_endian 1.0\nelement vertex %d\n"
BOMBS = {
    # name: (suffix, first bytes, size of the sparse file, message)
    "40 GB of SPZ": (".spz", lambda: spz(), 40 * GB, "but its 50 splats take at most"),
    "40 GB of SPZ with an extension": (".spz", lambda: spz(flags=2), 40 * GB, "take at most"),
    "40 GB of splats": (".splat", lambda: b"", 40 * GB, "at most 20,000,000 are read"),
    "40 GB of PLY": (
        ".ply",
        lambda: HEADER % 15_000_000 + properties(700) + b"end_header\n",
        15_000_000 * 700 * 4 + len(HEADER % 15_000_000 + properties(700) + b"end_header\n"),
        "has 700 properties; at most 100 are read",
    ),
    "40 GB of other PLY": (
        ".ply",
        lambda: encode(random_gaussians(), ".ply"),
        40 * GB,
        "the file is truncated or damaged",
    ),
    "40 GB of GLB": (".glb", lambda: glb(), 40 * GB, "it is truncated or damaged"),
    "zeros that deflate a thousandfold": (
        ".spz",
        lambda: zeros(60_000_000),
        None,
        "does not hold the 1000 bytes that its 50 splats need",
    ),
    "40 GB of SOG": (".sog", lambda: encode(random_gaussians(), ".sog"), 40 * GB, "at most 7"),
    "40 GB of npz": (".npz", lambda: encode(random_gaussians(), ".npz"), 40 * GB, "at most 94"),
    "an image of 268 million pixels": (
        ".sog",
        lambda: sog(random_gaussians(), lambda _, members: members.update({"sh0.webp": HUGE})),
        None,
        "too few, too many or in other rows than 50 need",
    ),
    "an npz that deflates a thousandfold": (
        ".npz",
        lambda: deflated(GB >> 3),
        None,
        "may hold 64 times its size",
    ),
    "a count to match": (".spz", lambda: spz(count=20_000_000), None, "may hold 64 times its size"),
}

# A lossless WebP that states 16383 pixels a side, in headers alone.
HUGE = b"RIFF" + struct.pack("<I", 40) + b"WEBPVP8L" + struct.pack("<I", 28) + b"\x2f"
HUGE += struct.pack("<I", 16382 | 16382 << 14) + bytes(23)


def deflated(size):
    """An archive of one member of so many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    body = b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()
    facts = (8, 0, 33, 0, len(body), size, 9)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, *facts, 0) + b"means.npy" + body
    listed = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, *facts, *[0] * 6)
    listed += b"means.npy"
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(local), 0)
    return local + listed + end


LIMITED = """
import resource, sys
from geolrm import Gaussians, InputError
Gaussians.load(sys.argv[2])  # a sound file: what is imported is imported
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64_000_000, used + 64_000_000))
try:
    Gaussians.load(sys.argv[1])
except InputError as error:
    print(error)
"""


def zeros(count):
    """A gzip stream of a header for 50 splats and many zeros, without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 50, 0, 12, 0, 0))]
    block = bytes(1_000_000)
    parts += [packer.compress(block) for _ in range(count // len(block))]
    return b"".join(parts) + packer.flush()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_within_64_mb(tmp_path, name):
    suffix, head, size, message = BOMBS[name]
    path, sound = tmp_path / f"bomb{suffix}", tmp_path / f"sound{suffix}"
    random_gaussians().save(sound)
    with path.open("wb") as file:
        file.write(head())
        if size is not None:
            file.truncate(size)  # sparse: it takes no room on the disk
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(sound)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert message in done.stdout


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat", ".glb", ".sog", ".npz"])
def test_paths_that_are_no_files_are_refused(tmp_path, suffix):
    with pytest.raises(InputError, match="cannot read .*: No such file or directory"):
        Gaussians.load(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="is not a regular file; name a splat file"):
        Gaussians.load(tmp_path / f"folder{suffix}")
    with pytest.raises(InputError, match="is not a usable path: it holds a null character"):
        Gaussians.load("a\0b" + suffix)


def test_other_suffixes_are_refused(tmp_path):
    message = (
        "names no splat format; the file name must end in .ply, .spz, .splat, .glb, .sog, .npz"
    )
    with pytest.raises(InputError, match=message + "$"):  # those of USD are not read
        Gaussians.load(tmp_path / "a.obj")
    with pytest.raises(InputError, match=message + ", .usda, .usdc, .usdz$"):
        random_gaussians().save(tmp_path / "a")
    with pytest.raises(InputError, match=r"'\.obj' is no splat format"):
        decode(b"", ".obj")


WRONG = [
    ({"opacities": 1.5}, "the Gaussians: splat 7 has opacity 1.5; it must be in"),
    ({"scales": -0.1}, "the Gaussians: splat 7 has scale -0.1; it must not be negative"),
    ({"means": np.nan}, "splat 7 has a value of means of nan; every value must be finite"),
    ({"colors": 1e30}, r"splat 7 has a value of colors of 1e\+30; .* within 1e\+18 of 0"),
]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("change", "message"), WRONG, ids=[next(iter(c)) for c, _ in WRONG])
def test_what_is_no_splat_is_not_written(tmp_path, suffix, change, message):
    scene = random_gaussians()
    for name, value in change.items():
        getattr(scene, name)[7] = value
    with pytest.raises(InputError, match=message):
        scene.save(tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_spz_refuses_what_its_fixed_point_cannot_reach():
    scene = random_gaussians()
    scene.means[3, 1] = 1e7
    with pytest.raises(InputError, match=r"a splat is 1e\+07 from the origin; SPZ reaches to 8388"):
        encode(scene, ".spz")
