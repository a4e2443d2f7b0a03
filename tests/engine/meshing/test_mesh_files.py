"""Another reader of meshes (trimesh) finds axes, colours and normals as they are meant."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.meshing.mesh import Mesh, surface_points
from geolrm.engine.meshing.mesh_files import WRITERS, encode

trimesh = pytest.importorskip("trimesh")

# A tetrahedron with its top red, its right corner green, its front (-y) corner blue, the rest grey.
VERTICES = np.array([[0, 0, 1], [0.6, 0, 0], [0, -0.4, 0], [-0.1, 0.1, -0.1]], np.float32)
COLORS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.uint32)
MESH = Mesh(VERTICES, FACES, COLORS)
Y_UP = VERTICES[:, [0, 2, 1]] * (1, 1, -1)


@pytest.fixture
def read(tmp_path):
    def save_and_load(suffix):
        MESH.save(tmp_path / f"a{suffix}")
        return trimesh.load(tmp_path / f"a{suffix}", force="mesh", process=False)

    return save_and_load


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj"])
def test_axes_winding_and_normals(read, suffix):
    loaded = read(suffix)
    expected = VERTICES if suffix == ".ply" else Y_UP
    np.testing.assert_allclose(loaded.vertices, expected, atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, FACES)
    assert loaded.is_watertight and loaded.volume > 0.05  # counter-clockwise from outside
    np.testing.assert_allclose(np.linalg.norm(loaded.vertex_normals, axis=1), 1, atol=1e-3)
    outward = loaded.vertices - loaded.vertices.mean(axis=0)
    assert (np.einsum("ni,ni->n", loaded.vertex_normals, outward) > 0).all()


def test_stl_has_triangles_alone_z_up(read):
    loaded = read(".stl")
    np.testing.assert_array_equal(loaded.triangles, VERTICES[FACES])
    crosses = np.cross(*(VERTICES[FACES][:, k] - VERTICES[FACES][:, 0] for k in (1, 2)))
    expected = crosses / np.linalg.norm(crosses, axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.face_normals, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_usd_core_finds_linear_colours_that_shine(tmp_path, suffix):
    Usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdGeom, UsdShade

    MESH.save(tmp_path / f"a{suffix}")
    stage = Usd.Stage.Open(str(tmp_path / f"a{suffix}"))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/Object/Surface"))
    np.testing.assert_allclose(mesh.GetPointsAttr().Get(), Y_UP, atol=1e-6)
    colors = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("displayColor").Get())
    np.testing.assert_allclose(colors[:3], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(colors[3], 0.21404, atol=2e-5)  # of sRGB 0.5
    material = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()[0]
    surface = material.ComputeSurfaceSource()[0]
    source = UsdShade.Shader(surface.GetInput("emissiveColor").GetConnectedSources()[0][0].source)
    assert source.GetInput("varname").Get() == "displayColor"
    validation = pytest.importorskip("pxr.UsdValidation")
    context = validation.ValidationContext(validation.ValidationRegistry().GetOrLoadAllValidators())
    assert [error.GetMessage() for error in context.Validate(stage)] == []


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_colours_are_srgb(read, suffix):
    colors = read(suffix).visual.vertex_colors[:, :3]
    np.testing.assert_allclose(colors, COLORS * 255, atol=1)


def test_colours_of_gltf_are_linear_light():
    content = encode(MESH, ".glb")
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    (primitive,) = document["meshes"][0]["primitives"]
    accessor = document["accessors"][primitive["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["normalized"]) == (5123, True)
    view = document["bufferViews"][accessor["bufferView"]]
    stored = np.frombuffer(content, "<u2", 16, 28 + size + view["byteOffset"]).reshape(4, 4)
    np.testing.assert_allclose(stored[:3, :3] / 65535, np.eye(3))
    np.testing.assert_allclose(stored[3, :3] / 65535, 0.21404, atol=2e-5)  # of sRGB 0.5
    assert (stored[:, 3] == 65535).all()
    assert document["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]


@pytest.mark.parametrize("suffix", WRITERS)
def test_nothing_is_written_of_no_triangles(tmp_path, suffix):
    empty = Mesh(VERTICES, FACES[:0], COLORS)
    with pytest.raises(InputError, match="the mesh has no triangles; there is nothing to write"):
        empty.save(tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.glb, \.ply, \.obj, \.stl, \.usda, \.usdc"):
        MESH.save(tmp_path / "a.txt")
    assert list(Path(tmp_path).iterdir()) == []


def test_points_on_the_surface_are_spread_by_area():
    points = surface_points(VERTICES, FACES, 4000, np.random.default_rng(0))
    corners = VERTICES[FACES].astype(float)
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(crosses, axis=1)
    heights = np.abs(np.einsum("nfi,fi->nf", points[:, None] - corners[:, 0], crosses) / areas)
    assert heights.min(axis=1).max() < 1e-6
    shares = np.bincount(heights.argmin(axis=1), minlength=4) / 4000
    np.testing.assert_allclose(shares, areas / areas.sum(), atol=0.03)
