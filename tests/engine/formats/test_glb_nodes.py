"""Splats lie where the nodes of the scene put them, turned and scaled with their harmonics."""

import json
import struct

import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import InputError
from geolrm.engine.formats.splat_files import decode, encode
from geolrm.engine.geometry.similarity import make_similarity

QUARTER = [0, np.sqrt(0.5), 0, np.sqrt(0.5)]  # xyzw: about y, z turns to x
TURN = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
TO_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def glb(splats, nodes, scenes=({"nodes": [0]},), **fields):
    """The file of a scene with other nodes."""
    content = encode(splats, ".glb")
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size]) | {"nodes": nodes, "scenes": list(scenes)}
    if not scenes:
        del document["scenes"], document["scene"]
    text = json.dumps(document | fields).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + size :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    return head + text + rest


def columns(matrix):
    return np.asarray(matrix, float).T.ravel().tolist()


MOVE = make_similarity(1.0, np.eye(3), np.array([1.0, 2, 3]))
CASES = {
    "translation": ([{"mesh": 0, "translation": [1, 2, 3]}], MOVE),
    "turn": ([{"mesh": 0, "rotation": QUARTER}], make_similarity(1.0, TURN, np.zeros(3))),
    "a rotation of another length": (
        [{"mesh": 0, "rotation": [0, 2, 0, 2]}], make_similarity(1.0, TURN, np.zeros(3)),
    ),
    "scale, turn, move": (
        [{"mesh": 0, "scale": [2, 2, 2], "rotation": QUARTER, "translation": [1, 2, 3]}],
        make_similarity(2.0, TURN, np.array([1.0, 2, 3])),
    ),
    "matrix": (
        [{"mesh": 0, "matrix": columns(make_similarity(2.0, TURN, np.array([1.0, 2, 3])))}],
        make_similarity(2.0, TURN, np.array([1.0, 2, 3])),
    ),
    "hierarchy": (
        [{"children": [1], "rotation": QUARTER}, {"children": [2], "scale": [3, 3, 3]},
         {"mesh": 0, "matrix": columns(MOVE)}],
        make_similarity(3.0, TURN, 3 * TURN @ [1, 2, 3]),
    ),
    "no node shows them": ([{"translation": [1, 2, 3]}], np.eye(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sh", [None, 16])
def test_the_nodes_are_applied(name, sh):
    nodes, matrix = CASES[name]
    scene = random_gaussians(sh)
    read = decode(glb(scene, nodes), ".glb")
    turn = make_similarity(1.0, TO_Z_UP, np.zeros(3))
    expected = scene.transformed(turn @ matrix @ turn.T)
    np.testing.assert_allclose(read.means, expected.means, atol=1e-5)
    np.testing.assert_allclose(read.scales, expected.scales, rtol=1e-5)
    signs = np.sign((read.quats * expected.quats).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, expected.quats, atol=1e-5)
    if sh is None:
        np.testing.assert_allclose(read.colors, expected.colors, atol=1e-6)
    else:
        np.testing.assert_allclose(read.sh, expected.sh, atol=1e-4)


def test_a_point_moved_by_hand():
    """Up by 5 where y is up, and twice as large: z by 5 in the object frame."""
    scene = random_gaussians()
    read = decode(glb(scene, [{"mesh": 0, "translation": [0, 5, 0], "scale": [2, 2, 2]}]), ".glb")
    np.testing.assert_allclose(read.means, 2 * scene.means + [0, 0, 5], atol=1e-6)
    np.testing.assert_array_equal(read.scales, 2 * scene.scales)


def test_only_the_shown_scene_counts():
    nodes = [{"mesh": 0, "translation": [1, 0, 0]}, {"mesh": 0, "translation": [2, 0, 0]}]
    scene = random_gaussians()
    scenes = [{"nodes": [0]}, {"nodes": [1]}]
    for shown, by in ((0, 1), (1, 2)):
        read = decode(glb(scene, nodes, scenes, scene=shown), ".glb")
        np.testing.assert_allclose(read.means, scene.means + [by, 0, 0], atol=1e-6)


def test_files_without_scenes_show_all_nodes():
    scene = random_gaussians()
    read = decode(glb(scene, [{"mesh": 0, "translation": [1, 0, 0]}], ()), ".glb")
    np.testing.assert_allclose(read.means, scene.means + [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([{"mesh": 0, "scale": [1, 2, 1]}], "a has nodes that mirror or shear its splats or scale "
         "their axes differently, which splats cannot be: apply that transform in the program"),
        ([{"mesh": 0, "scale": [-1, 1, 1]}], "a has nodes that mirror or shear its splats"),
        ([{"mesh": 0, "scale": [0, 0, 0]}], "a has nodes that mirror or shear its splats"),
        ([{"mesh": 0, "scale": [1e300] * 3}], "a has nodes that .* its splats"),
        ([{"mesh": 0, "translation": [1e30, 0, 0]}], r"a has nodes that move its splats beyond 1e"),
        ([{"mesh": 0, "matrix": [1.0] * 15}], "a has JSON that is no glTF: "),
        ([{"mesh": 0, "children": [0]}], "a has nodes that are no tree; it is damaged"),
        ([{"children": [1]}, {"mesh": 0, "children": [0]}], "a has nodes that are no tree"),
        ([{"children": [2]}, {"children": [2]}, {"mesh": 0}], "a has nodes that are no tree"),
        ([{"children": [7]}, {"mesh": 0}], "a has nodes that are no tree; it is damaged"),
        ([{"children": [1, 2]}, {"mesh": 0}, {"mesh": 0}],
         "a shows its splats at 2 nodes; files that show them once are read"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_refused(nodes, message):
    with pytest.raises(InputError, match=message):
        decode(glb(random_gaussians(), nodes), ".glb", name="a")


def test_a_scene_that_is_not_there():
    with pytest.raises(InputError, match="a has no scene 3; the file is damaged"):
        decode(glb(random_gaussians(), [{"mesh": 0}], scene=3), ".glb", name="a")
