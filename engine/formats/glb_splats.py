"""GLB with the extension KHR_gaussian_splatting, in float32 throughout.

One primitive of points with the attributes POSITION and, under the extension's prefix, ROTATION
(xyzw), SCALE (standard deviations), OPACITY and SH_DEGREE_l_COEF_n. COLOR_0 is for programs that do
not know the extension and show points: linear light, as glTF has it. glTF is y up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import glb
from geolrm.engine.formats.glb_nodes import Index, Node, Scene, moved, world_matrix
from geolrm.engine.formats.light import linear
from geolrm.engine.formats.untrusted import LARGEST_VALUE, Decoded, assemble, check_count
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics

EXTENSION = "KHR_gaussian_splatting"
PREFIX = f"{EXTENSION}:"
COLOR_SPACE = "srgb_rec709_display"
POINTS = 0  # the mode of a primitive
LARGEST_SHORT = 65535
BYTE, UNSIGNED_BYTE, SHORT, UNSIGNED_SHORT, FLOAT = 5120, 5121, 5122, 5123, 5126
TYPES = {BYTE: "i1", UNSIGNED_BYTE: "u1", SHORT: "<i2", UNSIGNED_SHORT: "<u2", FLOAT: "<f4"}
# Which types the extension allows for what; others than float stand for fractions of their range
# where they are normalized, and only scales may do without.
ALLOWED = {
    "ROTATION": (FLOAT, BYTE, SHORT),
    "SCALE": (FLOAT, BYTE, UNSIGNED_BYTE, SHORT, UNSIGNED_SHORT),
    "OPACITY": (FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT),
}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


class View(msgspec.Struct):
    """A stretch of the numbers."""

    buffer: Index
    byteLength: Index
    byteOffset: Index = 0
    byteStride: Index | None = None
    extensions: dict[str, Any] = {}


class Accessor(msgspec.Struct):
    """How a stretch is read."""

    componentType: Index
    count: Index
    type: str
    normalized: bool = False
    bufferView: Index | None = None
    byteOffset: Index = 0
    sparse: dict[str, Any] | None = None


class Primitive(msgspec.Struct):
    """Splats, or other geometry."""

    attributes: dict[str, Index]
    mode: Index = 4
    extensions: dict[str, Any] = {}


class Mesh(msgspec.Struct):
    """Geometry of a node."""

    primitives: list[Primitive]


class Document(msgspec.Struct):
    """The part of glTF that holds splats."""

    meshes: list[Mesh] = []
    nodes: list[Node] = []
    scenes: list[Scene] = []
    scene: Index | None = None
    accessors: list[Accessor] = []
    bufferViews: list[View] = []


check = glb.check


def _harmonic_names() -> Iterator[str]:
    """Yield the attributes of the coefficients in their order, up to degree 3."""
    for degree in range(4):
        for place in range(2 * degree + 1):
            yield f"{PREFIX}SH_DEGREE_{degree}_COEF_{place}"


def encode(gaussians: GaussianArrays) -> bytes:
    """Write a whole file of splats that are y up."""
    if not len(gaussians):
        raise InputError("there are no splats, and glTF has no empty primitives: write a .ply")
    sh = gaussians.sh
    if sh is None:
        sh = harmonics.dc_of_colors(gaussians.colors)[:, None]  # pyright: ignore[reportArgumentType]
    buffer = glb.Buffer()
    attributes = {
        "POSITION": buffer.add(gaussians.means, "VEC3", bounds=True),
        f"{PREFIX}ROTATION": buffer.add(gaussians.quats[:, [1, 2, 3, 0]], "VEC4"),
        f"{PREFIX}SCALE": buffer.add(gaussians.scales, "VEC3"),
        f"{PREFIX}OPACITY": buffer.add(gaussians.opacities, "SCALAR"),
    }
    for place, name in zip(range(sh.shape[1]), _harmonic_names(), strict=False):
        attributes[name] = buffer.add(sh[:, place], "VEC3")
    attributes["COLOR_0"] = buffer.add(_points(sh[:, 0], gaussians), "VEC4", normalized=True)
    properties = {
        "kernel": "ellipse",
        "colorSpace": COLOR_SPACE,
        "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }
    primitive = {"attributes": attributes, "mode": POINTS, "extensions": {EXTENSION: properties}}
    return buffer.file({
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
    })  # fmt: skip


def _points(dc: NDArray, gaussians: GaussianArrays) -> NDArray[np.uint16]:
    """Make the colours of points, [N, 4]: linear light that no direction changes, and opacity."""
    rgba = np.empty((len(dc), 4), np.uint16)
    rgba[:, :3] = np.rint(linear(harmonics.colors_of_dc(dc)) * LARGEST_SHORT)
    rgba[:, 3] = np.rint(gaussians.opacities * LARGEST_SHORT)
    return rgba


def decode(content: bytes, name: str) -> Decoded:
    """Read a whole file, in the frame of its scene (y up): where its nodes put the splats."""
    text, numbers = glb.chunks(content, name)
    try:
        document = msgspec.json.decode(text, type=Document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"{name} has JSON that is no glTF: {str(error)[:200]}") from error
    mesh, attributes = _splats(document, name)
    matrix = world_matrix(document.nodes, mesh, _roots(document, name), name)

    def read(attribute: str, kind: str) -> NDArray[np.float32]:
        if attribute not in attributes:
            raise InputError(f"{name} lacks the attribute {attribute!r} of its splats")
        allowed = ALLOWED.get(attribute.removeprefix(PREFIX), (FLOAT,))
        said = f"{name}: {attribute}"
        return _array(document, numbers, attributes[attribute], kind, allowed, said)

    known = list(_harmonic_names())
    number = sum(key.startswith(f"{PREFIX}SH_") for key in attributes)
    if number not in (1, 4, 9, 16):
        raise InputError(f"{name} has {number} harmonics a splat; it must have 1, 4, 9 or 16")
    arrays = {
        "means": read("POSITION", "VEC3"),
        "quats": read(f"{PREFIX}ROTATION", "VEC4"),
        "scales": read(f"{PREFIX}SCALE", "VEC3"),
        "opacities": read(f"{PREFIX}OPACITY", "SCALAR"),
    }
    harmonic = [read(key, "VEC3") for key in known[:number]]
    lengths = {len(array) for array in (*arrays.values(), *harmonic)}
    if len(lengths) > 1:
        raise InputError(f"{name} has attributes of different lengths: {sorted(lengths)}")

    def part(rows: slice) -> dict[str, NDArray]:
        found = {key: array[rows] for key, array in arrays.items()}
        found["quats"] = found["quats"][:, [3, 0, 1, 2]]
        if number == 1:
            return found | {"colors": harmonics.colors_of_dc(harmonic[0][rows])}
        return found | {"sh": np.stack([array[rows] for array in harmonic], axis=1)}

    found = assemble(name, len(arrays["means"]), part)
    return replace(found, gaussians=moved(found.gaussians, matrix, LARGEST_VALUE, name))


def _roots(document: Document, name: str) -> list[int] | None:
    """List the nodes of the scene that is shown; None where there are no scenes."""
    if not document.scenes:
        return None
    index = document.scene or 0
    if index >= len(document.scenes):
        raise InputError(f"{name} has no scene {index}; the file is damaged")
    return document.scenes[index].nodes


def _splats(document: Document, name: str) -> tuple[int, dict[str, int]]:
    """Find the mesh and the attributes of the one primitive that holds splats."""
    found = [
        (index, primitive)
        for index, mesh in enumerate(document.meshes)
        for primitive in mesh.primitives
        if EXTENSION in primitive.extensions
    ]
    if len(found) != 1:
        raise InputError(
            f"{name} has {len(found)} primitives with {EXTENSION}; files with one are read"
        )
    index, primitive = found[0]
    properties = primitive.extensions[EXTENSION]
    space = properties.get("colorSpace") if isinstance(properties, dict) else None
    if space != COLOR_SPACE:
        raise InputError(f"{name} has colours in {str(space)[:40]!r}; {COLOR_SPACE!r} is read")
    if len(properties.get("extensions") or ()):
        raise InputError(f"{name} extends {EXTENSION}; compressed splats are not read")
    if primitive.mode != POINTS:
        raise InputError(
            f"{name} has splats in a primitive of mode {primitive.mode}; {EXTENSION} is of points, "
            f"mode {POINTS}"
        )
    return index, primitive.attributes


def _array(
    document: Document,
    numbers: memoryview,
    index: int,
    kind: str,
    allowed: tuple[int, ...],
    name: str,
) -> NDArray:
    """View [N, C], or [N] for scalars, by an accessor that stays within the numbers.

    Numbers that are no floats are left as they are stored, but normalized ones become float32.
    """
    if index >= len(document.accessors):
        raise InputError(f"{name} has no accessor {index}; the file is damaged")
    accessor = document.accessors[index]
    code = accessor.componentType
    fraction = accessor.normalized and code != FLOAT
    if (
        accessor.type != kind
        or code not in allowed
        or accessor.sparse is not None
        or not (code == FLOAT or fraction or allowed == ALLOWED["SCALE"])
    ):
        raise InputError(
            f"{name} is not stored as plain {kind} of float, or of what {EXTENSION} allows beside "
            "it; only that is read"
        )
    place = accessor.bufferView
    if place is None or place >= len(document.bufferViews):
        raise InputError(f"{name} has no buffer view {place}; the file is damaged")
    view = document.bufferViews[place]
    if view.extensions:
        packed = next(iter(view.extensions))
        raise InputError(f"{name} is packed by {packed[:60]!r}; export it without")
    check_count(accessor.count, name)
    dtype = np.dtype(TYPES[code])
    width = dtype.itemsize * WIDTHS[kind]
    stride = width if view.byteStride is None else view.byteStride
    needed = accessor.byteOffset + (stride * (accessor.count - 1) + width if accessor.count else 0)
    start = view.byteOffset + accessor.byteOffset
    if (
        view.buffer != 0
        or not width <= stride <= 252
        or needed > view.byteLength
        or view.byteOffset + view.byteLength > len(numbers)
    ):
        raise InputError(
            f"{name} reaches beyond its {len(numbers)} bytes of numbers; it is damaged"
        )
    shape = (accessor.count,) if kind == "SCALAR" else (accessor.count, WIDTHS[kind])
    strides = (stride,) if kind == "SCALAR" else (stride, dtype.itemsize)
    found = np.ndarray(shape, dtype, numbers, start, strides)
    if not fraction:
        return found
    return np.maximum(found / np.float32(np.iinfo(dtype).max), np.float32(-1))
