"""No bytes crash, hang or fill the memory: splats, or one sentence.

2,000 inputs for each reader; ``make fuzz`` takes 100,000. What was found is kept as examples.
"""

import copy
import gzip
import json
import struct

import numpy as np
import pytest
from harness.fuzzing import bounded, damaged, fuzz
from hypothesis import example, given
from hypothesis import strategies as st
from samples.gaussians import random_gaussians
from samples.splat_files import compressed_ply, element, ply_file, sog, splat_rows, spz4, zstd

from geolrm import InputError
from geolrm.engine.formats import archive
from geolrm.engine.formats.splat_files import decode, encode
from geolrm.engine.gaussian_arrays import GaussianArrays

pytestmark = pytest.mark.filterwarnings("ignore:.*left out .* splats")


def scenes():
    few = np.arange(3)
    return [random_gaussians(sh).select(few) for sh in (None, 4, 16)]


def read(content, suffix, **options):
    """A refusal is fine; what is read must be sound enough to be written again."""
    try:
        with bounded():
            found = decode(content, suffix, **options)
    except InputError as error:
        assert 10 < len(str(error)) < 600
        return
    assert isinstance(found, GaussianArrays)
    assert np.isfinite(found.means).all() and np.isfinite(found.scales).all()
    if len(found):
        encode(found, ".ply")


PLY = [encode(s, ".ply") for s in scenes()] + [encode(scenes()[0], ".ply", raw=True, up="y")]
ROWS = splat_rows(scenes()[0])
FACES = ("face", 2, [("list uchar int", "vertex_indices")], bytes([1, 0, 0, 0, 0, 0]))
OTHER_PLY = [
    ply_file(FACES, element("vertex", ROWS, {"opacity": "double"}), newline="\r\n"),
    ply_file(element("vertex", ROWS, order=">"), FACES, order=">"),
    *(compressed_ply(s, color_ranges=ranges) for s in scenes() for ranges in (False, True)),
]


@fuzz
@given(damaged(*PLY, *OTHER_PLY), st.sampled_from([None, True, False]))
@example(OTHER_PLY[0].replace(b"face 2", b"face 999999999999"), None)
@example(OTHER_PLY[0].replace(b"list uchar", b"list uint"), None)
@example(OTHER_PLY[2].replace(b"uint packed_scale", b"float packed_scale"), None)
def test_ply(content, raw):
    read(content, ".ply", raw=raw)


SPZ = [encode(s, ".spz") for s in scenes()]
PAYLOADS = [gzip.decompress(content) for content in SPZ]
VERSION_4 = [spz4(s, extension=e) for s in scenes() for e in (b"", bytes(8))]
VERSION_4 += [encode(s, ".spz", spz_version=4) for s in scenes()]
VERSION_2 = struct.pack("<4sIIBBBB", b"NGSP", 2, 3, 0, 12, 0, 0) + bytes(range(57))


@fuzz
@given(
    st.one_of(
        damaged(*SPZ),
        damaged(*VERSION_4),
        damaged(*PAYLOADS, VERSION_2).map(lambda payload: gzip.compress(payload, 1, mtime=0)),
    )
)
def test_spz(content):
    read(content, ".spz")


@fuzz
@given(st.integers(0, 5), damaged(*(zstd.compress(bytes(range(n))) for n in (0, 3, 9, 27, 81))))
@example(1, zstd.compress(bytes(10**8)))
def test_streams_of_spz_4(index, packed):
    """Damage within a stream that the file's own table states rightly."""

    def change(header, sizes, streams):
        streams[index], sizes[index][0] = packed, len(packed)

    read(spz4(scenes()[1], change=change), ".spz")


SPLAT = [encode(scenes()[0], ".splat")]


@fuzz
@given(st.one_of(damaged(*SPLAT), st.binary(max_size=3).map(lambda word: word * 32)))
def test_splat(content):
    read(content, ".splat")


GLB = [encode(s, ".glb") for s in scenes()]


def json_of(content):
    return content[20 : 20 + struct.unpack_from("<I", content, 12)[0]]


def with_json(text):
    """The first file with another JSON, in headers that are right."""
    text += b" " * (-len(text) % 4)
    rest = GLB[0][20 + len(json_of(GLB[0])) :]
    size = 20 + len(text) + len(rest)
    return struct.pack("<4sIIII", b"glTF", 2, size, len(text), 0x4E4F534A) + text + rest


def leaves(value, path=()):
    """Every place of a document."""
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(child, (*path, key))


DOCUMENT = json.loads(json_of(GLB[0]))
DOCUMENT["nodes"] = [
    {"children": [1], "matrix": np.eye(4).ravel().tolist()},
    {"mesh": 0, "translation": [1, 2, 3], "rotation": [0, 0, 0, 1], "scale": [2, 2, 2]},
]
PLACES = [path for path in leaves(DOCUMENT) if path]
TRANSFORMS = [[1e300] * 16, [0.0] * 16, [2, 0, 0, 0] * 4, [0, 0, 0, 1], [1, 2, 3], [1e30] * 3]
VALUES = [
    *TRANSFORMS,
    None,
    -1,
    0,
    1,
    2,
    3,
    1.5,
    2**31,
    2**53,
    1e300,
    "",
    "VEC2",
    "MAT4",
    [],
    {},
    [0],
    True,
]


@st.composite
def documents(draw):
    """The JSON with up to three values replaced or left out."""
    changed = json.loads(json.dumps(DOCUMENT))
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        place = changed
        try:
            for key in path[:-1]:
                place = place[key]
            if draw(st.booleans()):
                place[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            else:
                del place[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took that place away
    return with_json(json.dumps(changed).encode())


@fuzz
@given(
    st.one_of(
        damaged(*GLB),
        damaged(json_of(GLB[0])).map(with_json),
        documents(),
    )
)
def test_glb(content):
    read(content, ".glb")


def inner(*files):
    """Archives with damage in a member that the list of members states rightly."""
    opened = [archive.read(content, "it") for content in files]

    def changed(members, name, body):
        return archive.write(members | {name: body})

    return st.one_of(
        [
            st.builds(changed, st.just(members), st.just(name), damaged(body))
            for members in opened
            for name, body in members.items()
        ]
    )


SOG = [encode(s, ".sog") for s in scenes()]
META = json.loads(archive.read(SOG[1], "it")["meta.json"])
META_PLACES = [path for path in leaves(META) if path and not isinstance(path[-1], int)]


@st.composite
def metas(draw):
    """The JSON of a SOG with up to three values replaced or left out."""

    def change(meta, members):
        for path in draw(st.lists(st.sampled_from(META_PLACES), min_size=1, max_size=3)):
            place = meta
            try:
                for key in path[:-1]:
                    place = place[key]
                if draw(st.booleans()):
                    place[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
                else:
                    del place[path[-1]]
            except (KeyError, IndexError, TypeError):
                continue

    return sog(scenes()[1], change)


@fuzz
@given(st.one_of(damaged(*SOG), inner(*SOG), metas()))
def test_sog(content):
    read(content, ".sog")


NPZ = [encode(s, ".npz") for s in scenes()]


@fuzz
@given(st.one_of(damaged(*NPZ), inner(*NPZ)))
@example(NPZ[0].replace(b"(3, 3)", b"(9**9)"))
def test_npz(content):
    read(content, ".npz")


@fuzz
@given(st.binary(max_size=200), st.sampled_from([".ply", ".spz", ".splat", ".glb", ".sog", ".npz"]))
@example(b"PK\5\6" + bytes(18), ".sog")
@example(b"PK\3\4" + bytes(90), ".npz")
@example(b"", ".ply")
@example(b"ply\nend_header\n", ".ply")
@example(b"\x1f\x8b", ".spz")
def test_any_bytes(content, suffix):
    read(content, suffix)
