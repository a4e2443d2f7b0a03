"""Other readers (trimesh, usd-core) find triangles, axes, colours and their place as meant."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference.glb import parse

from geolrm import InputError
from geolrm.engine.meshing import textured_files
from geolrm.engine.meshing.textured_mesh import TexturedMesh

trimesh = pytest.importorskip("trimesh")

# A tetrahedron with each corner in the middle of one quarter of the texture.
VERTICES = np.array([[0, 0, 1], [0.6, 0, 0], [0, -0.4, 0], [-0.1, 0.1, -0.1]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.uint32)
UV = np.array([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25], [0.75, 0.25]], np.float32)
QUARTERS = np.array([[255, 0, 0], [0, 200, 0], [0, 0, 150], [90, 90, 90]], np.uint8)
NORMALS = VERTICES / np.linalg.norm(VERTICES, axis=1, keepdims=True)
TEXTURE = QUARTERS.reshape(2, 2, 3).repeat(8, axis=0).repeat(8, axis=1)
MESH = TexturedMesh(VERTICES, FACES, NORMALS, UV, TEXTURE)
Y_UP = VERTICES[:, [0, 2, 1]] * (1, 1, -1)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_trimesh_finds_each_corner_in_its_colour(tmp_path, suffix):
    written = MESH.save(tmp_path / f"a{suffix}")
    assert names(tmp_path) == sorted(path.name for path in written)
    loaded = trimesh.load(tmp_path / f"a{suffix}", force="mesh", process=False)
    np.testing.assert_allclose(loaded.vertices, Y_UP, atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, FACES)
    assert loaded.volume > 0.05
    material = loaded.visual.material
    image = getattr(material, "baseColorTexture", None) or material.image
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), TEXTURE)
    column = (loaded.visual.uv[:, 0] * 16).astype(int)
    row = ((1 - loaded.visual.uv[:, 1]) * 16).astype(int)  # trimesh has v up everywhere
    np.testing.assert_array_equal(TEXTURE[row, column], QUARTERS)


def test_glb_is_unlit_srgb_and_does_not_repeat(tmp_path):
    MESH.save(tmp_path / "a.glb")
    content = (tmp_path / "a.glb").read_bytes()
    document, array = parse(content)
    (material,) = document["materials"]
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]
    assert material["extensions"] == {"KHR_materials_unlit": {}}
    (sampler,) = document["samplers"]
    assert sampler == {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
    (image,) = document["images"]
    view = document["bufferViews"][image["bufferView"]]
    start = content.index(b"\x89PNG")
    assert start == len(content) - document["buffers"][0]["byteLength"] + view["byteOffset"]
    png = content[start : start + view["byteLength"]]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), TEXTURE)
    (primitive,) = document["meshes"][0]["primitives"]
    stored = array(primitive["attributes"]["TEXCOORD_0"])
    np.testing.assert_allclose(stored, [[u, 1 - v] for u, v in UV], atol=1e-7)  # v down


def test_obj_is_unlit_and_names_files_without_blanks(tmp_path):
    written = MESH.save(tmp_path / "my shoe #2.obj")
    assert [path.name for path in written] == [
        "my shoe #2.obj", "my_shoe__2.mtl", "my_shoe__2_texture.png",
    ]  # fmt: skip
    assert names(tmp_path) == sorted(path.name for path in written)
    text = written[0].read_text()
    assert "\nmtllib my_shoe__2.mtl\n" in text and "\nusemtl surface\n" in text
    look = written[1].read_text().splitlines()
    assert {"newmtl surface", "illum 0", "map_Kd my_shoe__2_texture.png"} <= set(look)


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_usd_core_finds_a_mesh_that_shines(tmp_path, suffix):
    Usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdGeom, UsdShade

    written = MESH.save(tmp_path / f"a{suffix}")
    stage = Usd.Stage.Open(str(written[0]))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/Object/Surface"))
    np.testing.assert_allclose(mesh.GetPointsAttr().Get(), Y_UP, atol=1e-6)
    np.testing.assert_array_equal(mesh.GetFaceVertexIndicesAttr().Get(), FACES.reshape(-1))
    np.testing.assert_array_equal(mesh.GetFaceVertexCountsAttr().Get(), [3] * 4)
    coordinates = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
    np.testing.assert_array_equal(coordinates.Get(), UV)  # v up
    assert coordinates.GetInterpolation() == "vertex" == mesh.GetNormalsInterpolation()
    assert mesh.GetSubdivisionSchemeAttr().Get() == "none"
    material = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()[0]
    surface = material.ComputeSurfaceSource()[0]
    assert surface.GetInput("diffuseColor").Get() == (0, 0, 0)
    assert surface.GetInput("specularColor").Get() == (0, 0, 0)
    image = UsdShade.Shader(surface.GetInput("emissiveColor").GetConnectedSources()[0][0].source)
    assert image.GetInput("sourceColorSpace").Get() == "sRGB"
    asset = image.GetInput("file").Get()
    if suffix == ".usdz":
        with zipfile.ZipFile(written[0]) as package:
            assert package.namelist() == ["mesh.usda", "texture.png"]
            content = package.read("texture.png")
        assert asset.path == "./texture.png" and asset.resolvedPath
    else:
        content = Path(asset.resolvedPath).read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), TEXTURE)
    validation = pytest.importorskip("pxr.UsdValidation")
    context = validation.ValidationContext(validation.ValidationRegistry().GetOrLoadAllValidators())
    assert [error.GetMessage() for error in context.Validate(stage)] == []


@pytest.mark.parametrize("suffix", textured_files.WRITERS)
def test_the_same_bytes_every_time(tmp_path, suffix):
    if suffix == ".usdc":
        pytest.importorskip("pxr")
    first, second = (MESH.save(tmp_path / folder / f"a{suffix}") for folder in "xy")
    for one, other in zip(first, second, strict=True):
        assert one.name == other.name and one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["a.ply", "a.stl", "a"])
def test_what_holds_no_texture_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot hold a texture; the file name must end in .glb"):
        MESH.save(tmp_path / name)
    assert names(tmp_path) == []


def test_all_files_or_none(tmp_path, monkeypatch):
    MESH.save(tmp_path / "a.obj")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    darker = TexturedMesh(VERTICES, FACES, NORMALS, UV, TEXTURE // 2)
    whole = textured_files.encode(darker, ".obj", ["a.mtl", "a_texture.png"])
    del whole["a_texture.png"]
    monkeypatch.setattr(textured_files, "encode", lambda *arguments: whole)
    with pytest.raises(KeyError):  # as a full disk would, in the last of three files
        darker.save(tmp_path / "a.obj")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_in_the_way_is_found_before_the_work(tmp_path):
    (tmp_path / "a.mtl").mkdir()
    with pytest.raises(InputError, match=r"a\.mtl' is a folder, and .*a\.obj' needs a file of"):
        textured_files.check_files(tmp_path / "a.obj")
    assert names(tmp_path) == ["a.mtl"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [("shoe.obj", "shoe"), ("Schuh größe.obj", "Schuh_gr__e"), ("...obj", "mesh"),
     ("a/b c.obj", "b_c"), ("x" * 200 + ".obj", "x" * 100)],
)  # fmt: skip
def test_names_beside_need_no_escape(name, stem):
    assert textured_files.plain_stem(Path(name)) == stem
