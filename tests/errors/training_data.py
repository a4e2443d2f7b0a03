"""What is trained on: captures with depth, GObjaverse, meshes."""

import warnings
from dataclasses import replace

import numpy as np
from errors.case import Case
from PIL import Image
from samples.stored_objects import change_json, write_capture, write_gobjaverse
from samples.training import meshes, tiny_recipe

from geolrm import Cameras, load_capture
from geolrm.examples import capture_path
from geolrm.training.data.cache import Cache
from geolrm.training.data.captures import load_posed_capture
from geolrm.training.data.gobjaverse import load_gobjaverse, read_depth
from geolrm.training.data.meshes import Mesh, compose, load_glb, normalised, render_mesh
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.views import points_of_depth
from geolrm.training.launch import Launch, load_data
from geolrm.training.posed_episodes import posed_episode
from geolrm.training.sources import EpisodeSource, find_objects, load_source, weighed_path


def posed(views=3):
    """Views of a ball of a quarter."""
    cameras = Cameras.orbit(np.arange(views) * 120, 0, 2, 40)
    depth = np.zeros((views, 8, 8), np.float32)
    depth[:, 3:5, 3:5] = 1.75
    rgba = np.full((views, 8, 8, 4), 255, np.uint8)
    return PosedObject(rgba, depth, cameras, np.zeros((4, 3), np.float32))


def capture(change):
    def trigger(place):
        folder = write_capture(place.tmp / "a", posed())
        change(folder)
        return load_posed_capture(folder)

    return trigger


def posed_folder(place):
    loaded = load_capture(capture_path("lion")).subset([0])
    Image.fromarray(loaded.images[0]).save(place.tmp / "0.png")
    np.save(place.tmp / "poses.npy", loaded.cameras.c2w)
    return load_posed_capture(place.tmp)


def without_depth_path(folder):
    file = folder / "transforms.json"
    file.write_text(file.read_text().replace("depth_file_path", "depth_path"))


def depth_file(write):
    return capture(lambda folder: write(folder / "depth" / "001.png"))


def gobjaverse(change=lambda folder: None, views=(0, 1, 2)):
    def trigger(place):
        folder = write_gobjaverse(place.tmp / "a", posed(), (0, 1, 2))
        change(folder)
        return load_gobjaverse(folder, views)

    return trigger


def looking_away(folder):
    for view in range(3):
        file = folder / f"{view:05d}" / f"{view:05d}.json"
        change_json(file, origin=[0.0, 0.0, 0.0])


def without_alpha_channel(folder):
    import OpenEXR

    file = folder / "00001" / "00001_nd.exr"
    channels = {"R": np.zeros((8, 8), np.float32)}
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage},
                 channels).write(str(file))  # fmt: skip


def other_size(place):
    folder = write_gobjaverse(place.tmp / "a", posed(), (0, 1, 2))
    return read_depth(folder / "00001" / "00001_nd.exr", 16)


def mesh(**changes):
    fields = {
        "vertices": np.eye(3, dtype=np.float32),
        "faces": np.array([[0, 1, 2]], np.int32),
        "uv": np.zeros((3, 2), np.float32),
        "textures": (np.zeros((2, 2, 3), np.uint8),),
    }
    return Mesh(**(fields | changes))


def glb(make):
    def trigger(place):
        make(place.tmp / "a.glb")
        return load_glb(place.tmp / "a.glb")

    return trigger


def plain_glb(path):
    import trimesh

    trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False).export(path)


def broken_glb(path):
    import trimesh

    image = Image.new("RGB", (2, 2))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    visual = trimesh.visual.TextureVisuals(uv=np.full((3, 2), np.nan), material=material)
    trimesh.Trimesh(np.eye(3), [[0, 1, 2]], visual=visual, process=False).export(path)


def only_damaged(place):
    (place.tmp / "a.glb").write_bytes(b"no mesh")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_source([place.tmp], tiny_recipe())


def nothing_left(place):
    class Refused(EpisodeSource):
        def make(self, index, rng):
            return posed_episode(posed(2), "a", rng, tiny_recipe())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Refused(meshes(1), ["a"], tiny_recipe())[0]


def text_file(place):
    (place.tmp / "a.txt").write_text("")
    return find_objects(place.tmp / "a.txt")


def all_aside(place):
    options = Launch(tiny_recipe(), ("procedural:3",), place.tmp / "run", validation=3)
    return load_data(options)


CASES = [
    "Finding objects",
    Case("… does not exist; give a folder of .glb meshes, of captures with depth …",
         "A path, or 'procedural'.", lambda place: list(find_objects(place.tmp / "none"))),
    Case("… holds nothing to train on; …", "What can be trained on follows.",
         lambda place: list(find_objects(place.tmp))),
    Case("… is no folder and no .glb file; …", "What can be trained on follows.", text_file),
    Case("'procedural:0' must be procedural:COUNT, with COUNT from 1 to 100000",
         "Shapes by chance.", lambda place: find_objects("procedural:0")),
    Case("--data …=0' does not exist; after = must stand how many times as often its objects are "
         "seen, a whole number from 1 to 100", "PATH=TIMES.",
         lambda place: weighed_path(f"{place.tmp}=0")),
    Case("--validation is 3, but … has 3 objects; leave some to train on",
         "They would all be set aside.", all_aside),
    Case("none of the meshes in … can be read; see the warnings above",
         "Each was named in a warning.", only_damaged),
    Case("none of the 1 objects can be trained on; see the warnings above",
         "Each was named in a warning.", nothing_left),
    Case("a has 2 views; 2 inputs and a target are needed", "In a warning; or lower min_inputs.",
         lambda place: posed_episode(
             posed(2), "a", np.random.default_rng(0), tiny_recipe())),
    Case("… is no file; give a file to read and keep", "Of Cache.",
         lambda place: Cache(place.tmp / "cache").mesh(place.tmp / "none.glb")),
    Case("rgba is …; it must be uint8 … for 3 cameras", "Of PosedObject.",
         lambda place: replace(posed(), rgba=np.zeros((3, 8, 8, 3), np.uint8))),
    "Captures with depth",
    Case("…: 'rgb/001.png' has 8 x 8 px and 3 channels; all frames must be 8 x 8 px with 4 …",
         "Save them alike, with alpha.", capture(
             lambda folder: Image.new("RGB", (8, 8)).save(folder / "rgb" / "001.png"))),
    Case("…: depth_unit_scale_factor is 2; it must be a number between 0 and 1, the depth of one …",
         "Of transforms.json.", capture(
             lambda folder: change_json(
                 folder / "transforms.json", depth_unit_scale_factor=2))),
    Case("…, frame 0 has no depth_file_path; training needs a depth PNG for each frame",
         "Of transforms.json.", capture(without_depth_path)),
    Case("depth … has mode L and 8 x 8 px; it must be a 16-bit grey PNG of 8 x 8 px",
         "At the size of the images.", depth_file(
             lambda file: Image.new("L", (8, 8)).save(file))),
    Case("depth … cannot be read: …; restore it", "Damaged.",
         depth_file(lambda file: file.write_bytes(b"no image"))),
    Case("here: no depth map shows anything; give depth above 0 on the object", "All are 0.",
         lambda place: points_of_depth(
             np.zeros((3, 8, 8), np.float32), posed().cameras, 9, "here")),
    Case("here: …% of the depth lies outside the cube [-0.5, 0.5]^3, more than 2%; depth must …",
         "Along the ray is farther than along the axis.",
         lambda place: points_of_depth(8 * posed().depth, posed().cameras, 9, "here")),
    "GObjaverse objects",
    Case("… is no folder; give the folder of one GObjaverse object", "Of load_gobjaverse.",
         lambda place: load_gobjaverse(place.tmp / "none")),
    Case("no views were asked for; give at least one index", "Of load_gobjaverse.",
         gobjaverse(views=())),
    Case("…00007.json' is missing; restore it or leave its view out", "Of load_gobjaverse.",
         gobjaverse(views=(0, 7))),
    Case("…: pose 0 stands at (0, 0, 0), inside the object cube …", "As in the group Cameras.",
         gobjaverse(looking_away)),
    Case("…_nd.exr' is missing; restore it or leave its view out", "Depth is in EXR files.",
         gobjaverse(lambda folder: (folder / "00001" / "00001_nd.exr").unlink())),
    Case("…_nd.exr' has 8 x 8 px, its image 16 x 16; they must agree", "Depth is in EXR files.",
         other_size),
    Case("…_nd.exr' is no EXR file that can be read: …", "Damaged.", gobjaverse(
        lambda folder: (folder / "00001" / "00001_nd.exr").write_bytes(b"no image"))),
    Case("…_nd.exr' has channels R; depth must be in A", "Another EXR file.",
         gobjaverse(without_alpha_channel)),
    "Meshes",
    Case("… is no file; give a .glb file with one textured mesh", "Of load_glb.",
         lambda place: load_glb(place.tmp / "none.glb")),
    Case("… cannot be read as glTF: …; it may be damaged, restore it", "The reason follows.",
         glb(lambda path: path.write_bytes(b"no mesh"))),
    Case("… has no …; give a mesh with an image texture", "Its colours are elsewhere.",
         glb(plain_glb)),
    Case("…a.glb': uv of the mesh holds NaN or infinity; it must be finite",
         "What follows, with the name of the file.", glb(broken_glb)),
    Case("vertices of the mesh is float64 …; it must be float32 …", "Of Mesh.",
         lambda place: mesh(vertices=np.eye(3))),
    Case("the mesh has no faces; give at least one", "Of Mesh.",
         lambda place: mesh(faces=np.zeros((0, 3), np.int32))),
    Case("faces of the mesh holds indices 0 to 9; they must be 0 to 2", "Of Mesh.",
         lambda place: mesh(faces=np.array([[0, 1, 9]], np.int32))),
    Case("vertices of the mesh holds NaN or infinity; it must be finite", "Of Mesh.",
         lambda place: mesh(vertices=np.full((3, 3), np.nan, np.float32))),
    Case("no meshes were given to compose; give at least one", "Of compose.",
         lambda place: compose([])),
    Case("all vertices of the mesh are at one point; it cannot fill the cube", "Of normalised.",
         lambda place: normalised(mesh(vertices=np.zeros((3, 3), np.float32)))),
    Case("the mesh cannot be rendered: …", "The reason follows.",
         lambda place: render_mesh(mesh(), posed().cameras, 0)),
    Case("… is of the kind 'poses', which names no depth; training needs a transforms.json with …",
         "Other kinds of captures are for reconstruction.", posed_folder),
]  # fmt: skip
