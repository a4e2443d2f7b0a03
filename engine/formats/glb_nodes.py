"""Where the nodes of a glTF scene put a mesh."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats.orientation import move_in_place
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry.similarity import split_similarity

Index = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]
Row3 = Annotated[list[float], msgspec.Meta(min_length=3, max_length=3)]
Row4 = Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]
Row16 = Annotated[list[float], msgspec.Meta(min_length=16, max_length=16)]


class Node(msgspec.Struct):
    """A place in the scene, within that of its parent."""

    mesh: Index | None = None
    children: list[Index] = []
    matrix: Row16 | None = None  # column by column
    rotation: Row4 | None = None  # xyzw
    translation: Row3 | None = None
    scale: Row3 | None = None

    def local(self) -> NDArray[np.float64]:
        """Compose its own [4, 4] matrix."""
        if self.matrix is not None:
            return np.array(self.matrix, np.float64).reshape(4, 4).T
        found = np.eye(4)
        x, y, z, w = _unit(self.rotation or [0, 0, 0, 1])
        found[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        found[:3, :3] *= self.scale or [1, 1, 1]
        found[:3, 3] = self.translation or [0, 0, 0]
        return found


def _unit(quat: list[float]) -> NDArray[np.float64]:
    array = np.array(quat, np.float64)
    norm = np.linalg.norm(array)
    return array / norm if norm > 0 and np.isfinite(norm) else array


class Scene(msgspec.Struct):
    """The nodes that are shown, with what hangs below them."""

    nodes: list[Index] = []


def world_matrix(
    nodes: list[Node], mesh: int, roots: list[int] | None, name: str
) -> NDArray[np.float64]:
    """Compose the [4, 4] matrix that puts a mesh into the scene; identity where no node does.

    Args:
        nodes: All of them.
        mesh: The index of the mesh.
        roots: The nodes of the shown scene; None where the file has no scenes: all nodes count.
        name: What errors call the file.

    Raises:
        InputError: Several nodes show the mesh, or the nodes are no tree.
    """
    parents = _parents(nodes)
    if parents is None:
        raise InputError(f"{name} has nodes that are no tree; it is damaged")
    shown = set(range(len(nodes)) if roots is None else (r for r in roots if r < len(nodes)))
    waiting = list(shown)
    while waiting:  # downwards, each node once
        below = [child for child in nodes[waiting.pop()].children if child not in shown]
        shown.update(below)
        waiting += below
    places = [index for index in sorted(shown) if nodes[index].mesh == mesh]
    if len(places) > 1:
        raise InputError(
            f"{name} shows its splats at {len(places)} nodes; files that show them once are read"
        )
    matrix = np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):  # `moved` refuses what is not finite
        for index in _chain(places[0], parents) if places else []:
            matrix = nodes[index].local() @ matrix
    return matrix


def _parents(nodes: list[Node]) -> dict[int, int] | None:
    """Find the parent of each node that has one; None where they form no tree."""
    parents: dict[int, int] = {}
    for index, node in enumerate(nodes):
        for child in node.children:
            if child >= len(nodes) or child in parents:
                return None
            parents[child] = index
    reached = [index for index in range(len(nodes)) if index not in parents]
    for index in reached:  # from the roots downwards; what is in a circle is not reached
        reached += nodes[index].children
    return parents if len(reached) == len(nodes) else None


def _chain(index: int, parents: dict[int, int]) -> list[int]:
    """List a node and those above it, upwards."""
    chain = [index]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
    return chain


def moved(
    gaussians: GaussianArrays, matrix: NDArray[np.float64], furthest: float, name: str
) -> GaussianArrays:
    """Move splats by the matrix of a scene, which turns and scales them and their harmonics.

    Args:
        gaussians: In the frame of their mesh.
        matrix: [4, 4].
        furthest: How far from 0 a value may lie afterwards.
        name: What errors call the file.

    Raises:
        InputError: The matrix mirrors, shears, or scales axes differently, or moves too far.
    """
    if np.array_equal(matrix, np.eye(4)):
        return gaussians
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            scale, _, translation = split_similarity(matrix)
    except InputError:
        raise InputError(
            f"{name} has nodes that mirror or shear its splats or scale their axes differently, "
            "which splats cannot be: apply that transform in the program that wrote it, or export "
            "without it"
        ) from None
    reach = scale * max(np.abs(gaussians.means).max(initial=0), gaussians.scales.max(initial=0))
    if not reach + np.abs(translation).max() <= furthest:
        raise InputError(
            f"{name} has nodes that move its splats beyond {furthest:g}; it is damaged"
        )
    return move_in_place(gaussians, matrix)
