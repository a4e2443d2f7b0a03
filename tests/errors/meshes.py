"""Textured meshes: ``geolrm mesh --capture``, and the files that hold a texture."""

import numpy as np
from errors.case import Case, without
from samples.gaussians import random_gaussians

from geolrm import Cameras
from geolrm.commands.mesh import mesh as mesh_command
from geolrm.engine.meshing import textured_files, unwrapping
from geolrm.engine.meshing.decimation import decimate
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.texturing import texture

CORNERS = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3]], np.float32)
SIDES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.uint32)
SOLID = Mesh(CORNERS, SIDES, np.full((4, 3), 0.5, np.float32))
NOTHING = Mesh(CORNERS, SIDES[:0], np.full((4, 3), 0.5, np.float32))
CAMERA = Cameras.orbit(0, 0, 2, 40)
WHITE = np.full((16, 16, 4), 255, np.uint8)


def command(name="a.glb", **options):
    """`geolrm mesh` of a splat file, with options by name."""

    def trigger(place):
        random_gaussians().save(place.tmp / "a.ply")
        return mesh_command(place.tmp / "a.ply", place.tmp / name, 32, 8, None, True, **options)

    return trigger


def baked(mesh=SOLID, images=(WHITE,), size=64):
    return lambda place: texture(mesh, list(images), CAMERA, size=size)


def two_atlases(place):
    class Atlas:
        atlas_count = 2

        def add_mesh(self, *arguments):
            pass

        def generate(self, *options):
            pass

    import xatlas

    place.patch.setattr(xatlas, "Atlas", Atlas)
    unwrapping.unwrap(CORNERS, SIDES, SOLID.normals, 64)


def folder_in_the_way(place):
    (place.tmp / "a_texture.png").mkdir()
    textured_files.check_files(place.tmp / "a.obj")


CASES = [
    "Textured meshes",
    Case("'….stl' cannot hold a texture; name a file of .glb, .obj, .usda, .usdc, .usdz, or leave "
         "--capture out for a mesh without one", "STL and PLY hold none.",
         command("a.stl", capture="none")),
    Case("'….ply' cannot hold a texture; the file name must end in .glb, .obj, .usda, .usdc, .usdz",
         "Of TexturedMesh.save.", lambda place: textured_files.files_of(place.tmp / "a.ply")),
    Case("'…_texture.png' is a folder, and '….obj' needs a file of that name; name another output",
         "OBJ, .usda and .usdc have their image beside them.", folder_in_the_way),
    Case("--texture-size was given without --capture, whose photographs a texture is baked from; "
         "give both, or neither", "Or --world.", command(texture_size=512)),
    Case("--faces is 3; it must be 100 to 2,000,000 triangles", "Or faces, of decimate.",
         command(faces=3)),
    Case("size is 63; it must be 64 to 8192 pixels", "Or --texture-size.", baked(size=63)),
    Case("the mesh has no triangles; there is nothing to texture", "Of texture.",
         baked(mesh=NOTHING)),
    Case("no photograph sees the mesh, and so it has no texture; are the splats of this capture, "
         "and in its frame? See geolrm render --cameras",
         "Splats of --world need --world here, too; those of another capture have other "
         "photographs.", baked(mesh=Mesh(CORNERS + 9, SIDES, SOLID.colors))),
    Case("the charts of 4 triangles do not fit into one texture of 64 px; take fewer --faces or a "
         "larger --texture-size", "Very small textures of surfaces in very many pieces.",
         two_atlases),
    Case("a texture needs xatlas, which is not installed; run: pip install 'geolrm[mesh]'",
         "An extra.", without("xatlas", baked())),
    Case("decimation needs fast-simplification, which is not installed; run: pip install "
         "'geolrm[mesh]'", "An extra.", without("fast-simplification", lambda place: decimate(
             Mesh(CORNERS, np.tile(SIDES, (50, 1)), SOLID.colors), 100))),
]  # fmt: skip
