"""Headers and rows as other programs write them: order, types, elements, line ends."""

import struct

import numpy as np
import pytest
from samples.gaussians import COUNT, random_gaussians
from samples.splat_files import element, ply_file, splat_rows

from geolrm import InputError
from geolrm.engine.formats.ply_header import read_header
from geolrm.engine.formats.splat_files import decode

SCENE = random_gaussians()
ROWS = splat_rows(SCENE)
FACES = ("face", 2, [("list uchar int", "vertex_indices"), ("uchar", "flags")],
         b"".join(struct.pack(f"<B{n}iB", n, *range(n), 0) for n in (3, 4)))  # fmt: skip


def assert_same(read):
    np.testing.assert_allclose(read.means, SCENE.means, atol=1e-7)
    np.testing.assert_allclose(read.opacities, SCENE.opacities, rtol=1e-5)
    np.testing.assert_allclose(read.scales, SCENE.scales, rtol=1e-5)
    np.testing.assert_allclose(read.quats, SCENE.quats, atol=1e-6)
    np.testing.assert_allclose(read.colors, SCENE.colors, atol=1e-6)


VERTICES = element("vertex", ROWS)
SIZES = element("image_size", {"image_size": [640, 480]}, {"image_size": "uint"})


@pytest.mark.parametrize(
    "content",
    [
        ply_file(VERTICES, SIZES, element("version", {"version": [1]}, {"version": "uchar"})),
        ply_file(SIZES, VERTICES),
        ply_file(FACES, VERTICES),
        ply_file(VERTICES, FACES),
        ply_file(VERTICES, newline="\r\n"),
        ply_file(VERTICES, comments=["comment by another program", "obj_info 1 2"]),
        ply_file(element("vertex", ROWS, order=">"), order=">"),
        ply_file(element("vertex", ROWS, dict.fromkeys(ROWS, "double"))),
        ply_file(element("vertex", {"red": np.arange(COUNT), **ROWS, "id": np.arange(COUNT)},
                         {"red": "uchar", "id": "int"})),
        ply_file(element("vertex", dict(reversed(ROWS.items())))),
    ],
    ids=["more elements", "an element before", "lists before", "lists after", "CRLF", "comments",
         "big endian", "double", "bytes and integers beside", "another order"],
)  # fmt: skip
def test_what_other_programs_write_is_read(content):
    assert_same(decode(content, ".ply"))


def test_the_words_of_types_have_two_spellings():
    content = ply_file(VERTICES).replace(b"property float ", b"property float32 ")
    assert_same(decode(content, ".ply"))


def test_up_is_found_between_other_lines():
    content = ply_file(VERTICES, newline="\r\n", comments=["comment geolrm up y"])
    turned = decode(content, ".ply")
    x, y, z = SCENE.means.T
    np.testing.assert_allclose(turned.means, np.stack([x, -z, y], axis=1), atol=1e-7)


def test_a_header_lists_its_elements():
    header = read_header(ply_file(FACES, VERTICES), "a")
    faces, vertices = header.elements
    assert (faces.name, faces.count, faces.has_lists()) == ("face", 2, True)
    assert faces.least_bytes() == 4 and vertices.least_bytes() == COUNT * 14 * 4
    assert vertices.names() == list(ROWS)
    assert header.find("edge") is None


def words(old, new):
    return lambda content: content.replace(old, new)


SOUND = ply_file(SIZES, VERTICES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a is no PLY file, or its header is damaged"),
        (b"ply\nformat binary_little_endian 1.0\n", "a is no PLY file, or its header is damaged"),
        (SOUND.replace(b"binary_little_endian", b"ascii"), "a is a PLY file of text; binary ones "
         "are read: convert it, in Python with plyfile"),
        (SOUND.replace(b"little", b"middle"), "a states no binary format of PLY; its header is"),
        (SOUND.replace(b"float opacity", b"half opacity"), "a has 'property half opacity' in its "
         "header; it is damaged"),
        (SOUND.replace(b"vertex 50", b"vertex"), "a has 'element vertex' in its header"),
        (SOUND.replace(b"image_size 2", b"image_size x"), "a states 'x' rows of 'image_size'"),
        (SOUND.replace(b"vertex 50", b"vertex -5"), "a states '-5' vertices; it is damaged"),
        (SOUND.replace(b"element vertex", b"element points"), "a states no vertices; it is no"),
        (SOUND.replace(b"element image_size 2\n", b""), "in its header; it is damaged"),
        (SOUND.replace(b"element image_size", b"element vertex"), "a states an element twice"),
        (SOUND.replace(b"float y", b"float x"), "a states a property of 'vertex' twice"),
        (SOUND.replace(b"float x", b"list uchar int x"), "a has lists among its vertices"),
        (SOUND.replace(b"float x", b"list float int x"), "in its header; it is damaged"),
        (SOUND[:-1], r"a has \d+ bytes; 50 splats of 14 properties and what else it holds need "
         r"\d+: the file is truncated or damaged"),
        (SOUND + b"x", "the file is truncated or damaged"),
        (ply_file(VERTICES, FACES)[:-30], "need at least .*: the file is truncated or damaged"),
        (ply_file((*FACES[:3], struct.pack("<B", 255) + FACES[3][1:]), VERTICES),
         "a ends within its 50 rows of 'vertex'; it is truncated or damaged"),
        (ply_file(("face", 2, [("list int double", "v")], struct.pack("<i", -1) * 2), VERTICES),
         "a ends within its 50 rows of 'vertex'; it is truncated or damaged"),
        (ply_file(("face", 2, [("list uint double", "v")], b"\xff" * 8), VERTICES),
         "a ends within its 50 rows of 'vertex'; it is truncated or damaged"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        decode(content, ".ply", name="a")
