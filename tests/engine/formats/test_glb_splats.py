"""The structure of GLB files with KHR_gaussian_splatting, read without this project's reader."""

import json
import struct

import numpy as np
import pytest
from reference.glb import parse
from samples.gaussians import COUNT, random_gaussians

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import decode, encode

PREFIX = "KHR_gaussian_splatting:"


@pytest.mark.parametrize("sh", [None, 1, 4, 9, 16])
def test_one_primitive_of_points_holds_every_attribute(sh):
    scene = random_gaussians(sh)
    document, array = parse(encode(scene, ".glb"))
    assert document["asset"]["version"] == "2.0"
    assert document["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert document["scenes"][document["scene"]]["nodes"] == [0]
    (primitive,) = document["meshes"][document["nodes"][0]["mesh"]]["primitives"]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"] == {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }
    attributes = primitive["attributes"]
    degrees = {None: 0, 1: 0, 4: 1, 9: 2, 16: 3}[sh]
    harmonics = [
        f"{PREFIX}SH_DEGREE_{degree}_COEF_{place}"
        for degree in range(degrees + 1)
        for place in range(2 * degree + 1)
    ]
    names = ["POSITION", PREFIX + "ROTATION", PREFIX + "SCALE", PREFIX + "OPACITY", *harmonics]
    assert list(attributes) == [*names, "COLOR_0"]
    x, y, z = scene.means.T
    np.testing.assert_array_equal(array(attributes["POSITION"]), np.stack([x, z, -y], axis=1))
    position = document["accessors"][attributes["POSITION"]]
    np.testing.assert_allclose(position["min"], array(attributes["POSITION"]).min(axis=0))
    np.testing.assert_allclose(position["max"], array(attributes["POSITION"]).max(axis=0))
    np.testing.assert_array_equal(array(attributes[PREFIX + "SCALE"]), scene.scales)
    np.testing.assert_array_equal(array(attributes[PREFIX + "OPACITY"])[:, 0], scene.opacities)
    dc = array(attributes[PREFIX + "SH_DEGREE_0_COEF_0"])
    colors = scene.colors if sh is None else scene.sh[:, 0] * 0.28209479177387814 + 0.5
    np.testing.assert_allclose(dc * 0.28209479177387814 + 0.5, colors, atol=1e-6)
    assert dc.shape == (COUNT, 3)
    points = document["accessors"][attributes["COLOR_0"]]
    assert (points["type"], points["componentType"], points["normalized"]) == ("VEC4", 5123, True)
    light = array(attributes["COLOR_0"]) / 65535
    clipped = colors.clip(0, 1)  # and in linear light, as glTF states colours of vertices
    linear = np.where(clipped <= 0.04045, clipped / 12.92, ((clipped + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(light[:, :3], linear, atol=0.51 / 65535 + 1e-6)
    np.testing.assert_allclose(light[:, 3], scene.opacities, atol=0.51 / 65535)


def test_rotations_are_xyzw():
    scene = Gaussians(
        means=np.zeros((1, 3)), opacities=np.ones(1), scales=np.ones((1, 3)),
        quats=np.array([[np.sqrt(0.5), 0, 0, np.sqrt(0.5)]]),  # a quarter turn about z, up
        colors=np.zeros((1, 3)),
    )  # fmt: skip
    document, array = parse(encode(scene, ".glb"))
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    rotation = array(attributes[PREFIX + "ROTATION"])[0]
    # Local axes turn with the object: first by the quarter turn, then z up to y up.
    np.testing.assert_allclose(np.abs(rotation), [0.5, 0.5, 0.5, 0.5], atol=1e-6)
    x, y, z, w = rotation
    local_x = [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)]
    np.testing.assert_allclose(local_x, [0, 0, -1], atol=1e-6)  # object +y is -z where y is up


def test_interleaved_attributes_of_other_programs_are_read():
    scene = random_gaussians()
    document, array = parse(encode(scene, ".glb"))
    accessors = document["accessors"]
    color = document["meshes"][0]["primitives"][0]["attributes"].pop("COLOR_0")
    assert color == len(accessors) - 1 and accessors.pop()["componentType"] == 5123
    columns = [array(index) for index in range(len(accessors))]
    row = np.hstack(columns).astype("<f4")
    offset = 0
    for accessor, column in zip(accessors, columns, strict=True):
        accessor["bufferView"], accessor["byteOffset"] = 0, offset
        offset += 4 * column.shape[1]
    document["bufferViews"] = [
        {"buffer": 0, "byteLength": row.nbytes, "byteStride": row.shape[1] * 4}
    ]
    document["buffers"] = [{"byteLength": row.nbytes}]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + row.nbytes, len(text), 0x4E4F534A)
    content = head + text + struct.pack("<II", row.nbytes, 0x004E4942) + row.tobytes()
    read = decode(content, ".glb")
    np.testing.assert_array_equal(read.means, scene.means)
    np.testing.assert_array_equal(read.scales, scene.scales)


QUANTISED = {  # as the extension allows: attribute, type, whether normalized, numbers, meaning
    "rotation in bytes": ("ROTATION", 5120, "i1", True, (0, 0, 127, -127), (-1, 0, 0, 1)),
    "rotation in shorts": ("ROTATION", 5122, "<i2", True, (0, 32767, 0, -32768), (-1, 0, 1, 0)),
    "scale in bytes": ("SCALE", 5121, "u1", True, (0, 51, 255), (0, 0.2, 1)),
    "scale in whole shorts": ("SCALE", 5122, "<i2", False, (0, 3, 7), (0, 3, 7)),
    "opacity in bytes": ("OPACITY", 5121, "u1", True, (51,), (0.2,)),
    "opacity in shorts": ("OPACITY", 5123, "<u2", True, (13107,), (0.2,)),
}


@pytest.mark.parametrize("case", QUANTISED)
def test_quantised_attributes_are_read(case):
    name, code, dtype, normalized, numbers, meaning = QUANTISED[case]
    row = np.zeros(8 // np.dtype(dtype).itemsize, dtype)  # what is written as words of four bytes
    row[: len(numbers)] = numbers

    def change(document):
        attributes = document["meshes"][0]["primitives"][0]["attributes"]
        accessor = document["accessors"][attributes[PREFIX + name]]
        view = dict(document["bufferViews"][0], byteOffset=0, byteLength=8 * COUNT, byteStride=8)
        accessor |= {"componentType": code, "normalized": normalized,
                     "bufferView": len(document["bufferViews"])}  # fmt: skip
        document["bufferViews"].append(view)
        attributes["POSITION"] = attributes[PREFIX + "SCALE"]  # whose numbers are overwritten here
        if name == "SCALE":
            attributes["POSITION"] = attributes[PREFIX + "SH_DEGREE_0_COEF_0"]

    content = changed(encode(random_gaussians(), ".glb"), change, np.tile(row, COUNT).tobytes())
    read = decode(content, ".glb")
    found = {"ROTATION": read.quats, "SCALE": read.scales, "OPACITY": read.opacities[:, None]}[name]
    if name == "ROTATION":  # wxyz, turned from y up to z up, and of either sign
        half = np.sqrt(0.5)
        w, x, y, z = np.array(meaning) / np.linalg.norm(meaning)
        expected = half * np.array([w - x, w + x, y - z, y + z])
        found = found * np.sign(found @ expected)[:, None]
        meaning = expected
    np.testing.assert_allclose(found, np.tile(meaning, (COUNT, 1)), atol=1e-4)


def changed(content, change, numbers):
    """A GLB with another JSON, whose chunk of numbers begins with others."""
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = numbers + content[28 + size + len(numbers) :]
    total = 28 + len(text) + len(body)
    head = struct.pack("<4sIIII", b"glTF", 2, total, len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(body), 0x004E4942) + body


def test_no_splats_are_no_glb():
    empty = random_gaussians().select(np.zeros(COUNT, bool))
    with pytest.raises(InputError, match="glTF has no empty primitives: write a .ply"):
        encode(empty, ".glb")
