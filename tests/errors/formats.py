"""Splat files, conversion, meshes and scenes."""

import gzip
import json
import struct

import numpy as np
from errors.case import Case
from samples.gaussians import random_gaussians
from samples.splat_files import compressed_ply, element, ply_file, splat_rows, spz4, zstd

from geolrm import Cameras, Gaussians
from geolrm.commands.console import check_not_input
from geolrm.commands.convert import check_output
from geolrm.commands.mesh import mesh as mesh_command
from geolrm.commands.view import check_page_name
from geolrm.commands.view import view as view_command
from geolrm.engine.formats.splat_files import decode, encode
from geolrm.engine.gaussians.thinning import keep_largest, prune
from geolrm.engine.meshing.fusion import fuse
from geolrm.engine.meshing.mesh import Mesh, surface_points
from geolrm.engine.system import atomic
from geolrm.engine.system.atomic import atomic_file, atomic_folder, check_writable
from geolrm.viewer import Exhibit, InputViews, check_scene_name, load_scene, save_scene, write_page


def ply(old=b"", new=b"", cut=None):
    content = encode(random_gaussians(), ".ply").replace(old, new)[:cut]
    return lambda place: decode(content, ".ply")


def spz(offset=0, new=b"", cut=None, tail=b""):
    payload = bytearray(gzip.decompress(encode(random_gaussians(), ".spz")))
    payload[offset : offset + len(new)] = new
    return lambda place: decode(gzip.compress(bytes(payload[:cut])) + tail, ".spz")


def glb(change=lambda document: None, *, stated=None, version=2, numbers=True, kind=0x004E4942):
    """A GLB whose JSON or headers were changed."""
    content = encode(random_gaussians(), ".glb")
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + size :]
    rest = struct.pack("<II", len(rest) - 8, kind) + rest[8:] if numbers else b""
    total = 20 + len(text) + len(rest)
    head = struct.pack("<4sIIII", b"glTF", version, stated or total, len(text), 0x4E4F534A)
    return lambda place: decode(head + text + rest, ".glb")


def accessor(**values):
    return glb(lambda document: document["accessors"][0].update(values))


def primitive(**values):
    return glb(lambda document: document["meshes"][0]["primitives"][0].update(values))


def attributes(**values):
    def change(document):
        document["meshes"][0]["primitives"][0]["attributes"].update(values)

    return glb(change)


def extension(**values):
    def change(document):
        fields = document["meshes"][0]["primitives"][0]["extensions"]["KHR_gaussian_splatting"]
        fields.update(values)

    return glb(change)


def lacking_position(document):
    del document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]


def save(suffix, **changes):
    def trigger(place):
        scene = random_gaussians()
        for name, value in changes.items():
            getattr(scene, name)[7] = value
        return encode(scene, suffix)

    return trigger


def make(**changes):
    fields = {
        "means": np.zeros((2, 3)), "opacities": np.zeros(2), "scales": np.zeros((2, 3)),
        "quats": np.zeros((2, 4)), "colors": np.zeros((2, 3)),
    }  # fmt: skip
    return lambda place: Gaussians(**(fields | changes))


def faint_mesh(place):
    scene = random_gaussians()
    scene.opacities[:] = 0.01
    scene.save(place.tmp / "a.ply")
    mesh_command(place.tmp / "a.ply", place.tmp / "a.glb", 32, 8, None, True)


def input_as_output(place):
    (place.tmp / "a.ply").write_bytes(b"")
    check_not_input(place.tmp / "a.ply", place.tmp / "a.ply")


def no_splats_to_mesh(place):
    random_gaussians().select(np.zeros(0, int)).save(place.tmp / "a.ply")
    mesh_command(place.tmp / "a.ply", place.tmp / "a.glb", 32, 8, None, True)


def folder_named(name, call):
    def trigger(place):
        (place.tmp / name).mkdir()
        return call(place.tmp / name)

    return trigger


def command(function, *options):
    """A command on a sound file."""

    def trigger(place):
        random_gaussians().save(place.tmp / "a.ply")
        return function(place.tmp / "a.ply", *(o(place.tmp) if callable(o) else o for o in options))

    return trigger


def without_scikit_image(place):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    place.patch.setattr(importlib.metadata, "version", missing)
    return fuse(random_gaussians())


def write_below_a_file(place):
    (place.tmp / "file").write_text("")
    return check_writable(place.tmp / "file" / "a.ply")


def write_over_a_folder(place):
    with atomic_file(place.tmp):
        pass


def scene_file(content):
    def trigger(place):
        (place.tmp / "a.safetensors").write_bytes(content)
        return load_scene(place.tmp / "a.safetensors")

    return trigger


def other_safetensors(place):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, str(place.tmp / "a.safetensors"))
    return load_scene(place.tmp / "a.safetensors")


def write_under_a_file(place):
    (place.tmp / "file").write_text("")
    with atomic_file(place.tmp / "file" / "a.ply"):
        pass


def write_folder_under_a_file(place):
    (place.tmp / "file").write_text("")
    with atomic_folder(place.tmp / "file" / "bundle"):
        pass


def full_disk_at_the_end(place):
    full = OSError(28, "No space left on device")

    def put(*_):
        raise full

    place.patch.setattr(atomic, "_put_in_place", put)
    with atomic_folder(place.tmp / "bundle"):
        pass


def full_disk(place):
    with atomic_file(place.tmp / "a.ply"):
        raise OSError(28, "No space left on device")


def damaged_spz4(packed):
    """Another first stream, of the size that is stated."""

    def change(header, sizes, streams):
        streams[0], sizes[0][0] = packed, len(packed)

    return spz4(random_gaussians(), change=change)


def damaged_stream(place):
    """Its header is sound, what is compressed behind is not."""
    content = bytearray(encode(random_gaussians(16), ".spz"))
    content[-8] ^= 1  # of the checksum
    return decode(bytes(content), ".spz")


def huge_splats(place):
    scene = random_gaussians()
    scene.means[:] = np.inf
    return fuse(scene, size=16, views=4)


def scene_with(change=None, metadata=None):
    """A scene file whose arrays or facts were changed."""

    def trigger(place):
        from safetensors import safe_open
        from safetensors.numpy import save_file

        file = place.tmp / "a.safetensors"
        views = InputViews(["a"], Cameras.orbit(0, 0, 2, 40), [np.zeros((4, 4, 3), np.uint8)])
        save_scene(Exhibit("a", random_gaussians(), views, np.zeros((1, 3), np.float32)), file)
        with safe_open(file, framework="numpy") as opened:
            facts = opened.metadata()
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if change is not None:
            change(arrays)
        save_file(arrays, str(file), facts | (metadata or {}))
        return load_scene(file)

    return trigger


def put(**arrays):
    return lambda held: held.update({k.replace("_0", ".0"): v for k, v in arrays.items()})


def no_numbers(arrays):
    arrays["means"][0] = np.nan


NO_MESH = Mesh(np.zeros((0, 3), "f4"), np.zeros((0, 3), "u4"), np.zeros((0, 3), "f4"))
POINTS = element("vertex", {key: np.zeros(4) for key in "xyz"})
FACES = ("face", 0, [("list uchar int", "vertex_indices")], b"")
SPLATS = element("vertex", splat_rows(random_gaussians()))
MORE_PROPERTIES = b"".join(b"property float p%d\n" % index for index in range(99))
FLAT = np.zeros((3, 3)), np.array([[0, 1, 2]]), 5, np.random.default_rng(0)

CASES = [
    "Any splat file",
    Case("… names no splat format; the file name must end in .ply, .spz, .splat, .glb, .sog, .npz",
         "The suffix says how a file is read; written ones may end in .usda, .usdc and .usdz, too.",
         lambda place: Gaussians.load(place.tmp / "a.obj")),
    Case("… is no splat format; it must be one of .ply, .spz, .splat, .glb, .sog, .npz, .usda, "
         ".usdc, .usdz", "Of bytes in memory.",
         lambda place: decode(b"", ".obj")),
    Case("… is not a regular file; name a splat file", "A folder or device.",
         folder_named("a.ply", Gaussians.load)),
    Case("cannot read …: …", "The system's reason follows, such as: No such file or directory.",
         lambda place: Gaussians.load(place.tmp / "none.ply")),
    Case("up is 'x'; it must be 'y' or 'z'", "The axis that is up in the file.",
         lambda place: encode(random_gaussians(), ".ply", up="x")),
    Case("up is 'z', but a .glb file is y up: leave it out", "glTF fixes its axes.",
         lambda place: encode(random_gaussians(), ".glb", up="z")),
    Case("… states … splats; at most 20,000,000 are read: split the file", "Or a damaged count.",
         ply(b"vertex 50", b"vertex 99999999")),
    Case("…: splat … has opacity …; it must be in [0, 1]: they are damaged or of another layout",
         "Opacities are activated, no logits.", save(".glb", opacities=1.5)),
    Case("…: splat … has scale …; it must not be negative: they are damaged or of another layout",
         "Scales are activated, no logarithms.", save(".glb", scales=-1)),
    Case("…: splat … has a … of …; every value must be finite and within 1e+18 of 0: leave that …",
         "NaN, infinity, or what leads to them; on writing.", save(".ply", means=np.nan)),
    Case("… has no splat of finite values within 1e+18 of 0: splat … has a …; it is damaged or …",
         "NaN or infinity in all of them; where some are sound, those are read.",
         lambda place: decode(b"\xff" * 32, ".splat")),
    "PLY",
    Case("… is no PLY file, or its header is damaged", "Another format under this suffix.",
         ply(b"end_header", b"and_header")),
    Case("… states no binary format of PLY; its header is damaged", "Or of a later version.",
         ply(b"little", b"big   ")),
    Case("… is a PLY file of text; binary ones are read: convert it, in Python with plyfile: …",
         "The code follows.", ply(b"binary_little_endian", b"ascii")),
    Case("… has … bytes; … splats of … properties need …: the file is truncated or damaged",
         "Copy it again.", ply(cut=-4)),
    Case("… has no property …; it is no Gaussian splatting PLY", "Splats of another program.",
         ply(b"opacity", b"opacitz")),
    Case("… is a point cloud: it has no f_dc, opacity, scale and rot; name the splats that were …",
         "input.ply or points3D.ply, from which splats are trained.",
         lambda place: decode(ply_file(POINTS), ".ply")),
    Case("… is a mesh: its vertices have no f_dc, opacity, scale and rot; name a file of splats",
         "Vertices and faces.", lambda place: decode(ply_file(POINTS, FACES), ".ply")),
    Case("… holds 2D Gaussians (2DGS): it has no scale_2; train 3D Gaussians, or add a property …",
         "Flat splats, each with two scales.", ply(b"scale_2", b"scale_3")),
    Case("… states no vertices; it is no Gaussian splatting PLY", "Other elements.",
         ply(b"element vertex", b"element chunk")),
    Case("… has lists among its vertices; it is no Gaussian splatting PLY", "Another program's.",
         ply(b"float nx", b"list uchar float nx")),
    Case("… ends within its … rows of …; it is truncated or damaged", "Copy it again.",
         lambda place: decode(ply_file(("face", 1, FACES[2], b"\xff"), SPLATS), ".ply")),
    Case("… has … lists in rows of 'face' before its splats; at most 1048576 are stepped over: "
         "move them behind the splats", "A mesh may be in the file, too.",
         lambda place: decode(ply_file(("face", 2**20 + 1, FACES[2], bytes(2**20 + 1)), SPLATS),
                              ".ply")),
    Case("… states … rows of …; it is damaged", "No number.",
         ply(b"element vertex", b"element face x\nelement vertex")),
    Case("… states an element twice", "A damaged header.",
         ply(b"element vertex", b"element vertex 1\nelement vertex")),
    Case("… is a compressed PLY without …; it is damaged", "Of SuperSplat's layout.",
         lambda place: decode(compressed_ply(random_gaussians()).replace(b"max_x", b"max_w"),
                              ".ply")),
    Case("… has … chunks; its … splats need …: it is damaged", "Of SuperSplat's layout.",
         lambda place: decode(compressed_ply(random_gaussians(), change=lambda e: [
             (e[0][0], 2, e[0][2], e[0][3] * 2), e[1]]), ".ply")),
    Case("… has … rows of … harmonics; it must be 9, 24 or 45 bytes f_rest for each of its … …",
         "Of SuperSplat's layout.",
         lambda place: decode(compressed_ply(random_gaussians(4)).replace(b"f_rest_3", b"f_rest_x"),
                              ".ply")),
    Case("… is a compressed PLY, which has no raw layout: leave that out",
         "Leave --from-raw-ply out.",
         lambda place: decode(compressed_ply(random_gaussians()), ".ply", raw=True)),
    Case("… states … vertices; it is damaged", "No number.", ply(b"vertex 50", b"vertex -5")),
    Case("… has … in its header; it is damaged", "No type or form of PLY's.",
         ply(b"float nz", b"half nz")),
    Case("… has … properties; at most 100 are read: leave out those that are no part of a splat",
         "62 are the most that splats have.",
         ply(b"end_header", MORE_PROPERTIES + b"end_header")),
    Case("… states a property of … twice", "A damaged header.",
         ply(b"float ny", b"float nx")),
    Case("… has … f_rest properties; it must be 9, 24 or 45", "Degrees 1, 2 or 3.",
         ply(b"float nx", b"float f_rest_0")),
    Case("… has no property 'f_rest_8'; it is no Gaussian splatting PLY",
         "Harmonics of other numbers.", lambda place: decode(
             encode(random_gaussians(4), ".ply").replace(b"f_rest_8\n", b"f_rest_9\n"), ".ply")),
    Case("… has f_rest properties, and so it is no raw PLY; read it as it is",
         "Leave --from-raw-ply out.",
         lambda place: decode(encode(random_gaussians(4), ".ply"), ".ply", raw=True)),
    Case("the raw layout is one of PLY; a .spz file has none: name a .ply", "See --raw-ply.",
         lambda place: encode(random_gaussians(), ".spz", raw=True)),
    Case("--raw-ply was given, but output … is no .ply; name one", "See docs/formats.md.",
         lambda place: check_output(place.tmp / "a.spz", True)),
    Case("… is no PLY, which alone has a raw layout: leave that choice out", "On reading.",
         lambda place: decode(b"", ".spz", raw=True)),
    "SPZ",
    Case("… is no SPZ file; it must begin with a gzip stream or NGSP",
         "Another format under this suffix.", lambda place: decode(b"", ".spz")),
    Case("… has … bytes, less than a header; it is truncated", "Copy it again.",
         lambda place: decode(b"NGSP", ".spz")),
    Case("… has … bytes, but its table of streams ends at …; it is truncated", "Copy it again.",
         lambda place: decode(spz4(random_gaussians())[:60], ".spz")),
    Case("… states its table of streams at byte …; it is damaged", "Of version 4.",
         lambda place: decode(b"NGSP\4" + bytes(40), ".spz")),
    Case("… is SPZ of version 5; versions 2 to 4 are read", "A later one; save it as version 4.",
         lambda place: decode(b"NGSP\5" + bytes(40), ".spz")),
    Case("…: stream … cannot be decompressed: …", "Of version 4.",
         lambda place: decode(damaged_spz4(b"no stream"), ".spz")),
    Case("…: stream … does not hold the … bytes that its splats need; it is truncated or damaged",
         "Of version 4.", lambda place: decode(damaged_spz4(zstd.compress(b"")), ".spz")),
    Case("… has … streams; its splats need …: it is damaged", "Of version 4.",
         lambda place: decode(spz4(random_gaussians(), change=lambda header, *_: header.update(
             streams=4)), ".spz")),
    Case("… states … bytes that become … for stream …, which must hold …; it is truncated or …",
         "Of version 4.", lambda place: decode(spz4(random_gaussians())[:-1], ".spz")),
    Case("… has … bytes after its streams; it is damaged", "Two files in one.",
         lambda place: decode(spz4(random_gaussians()) + b"more", ".spz")),
    Case("… cannot be decompressed: …", "The gzip stream is damaged.",
         lambda place: decode(b"\x1f\x8b" + bytes(40), ".spz")),
    Case("… cannot be decompressed: …: incorrect data check", "Its numbers are damaged.",
         damaged_stream),
    Case("… is no SPZ file; its stream does not begin with NGSP", "Something else, gzipped.",
         spz(0, b"X")),
    Case("… is SPZ of version 1; versions 2 to 4 are read", "Convert it with its own tools.",
         spz(4, b"\1")),
    Case("… has harmonics of degree 4; at most 3 are read", "Or it is damaged.", spz(12, b"\4")),
    Case("… has … fraction bits, flags … and reserved …; at most 24, 0x3 and 0 are known: …",
         "Damaged or of a later version.", spz(15, b"\7")),
    Case("… states … splats, which are … bytes, but has …; a compressed file may hold 64 times its "
         "size and 16777216 bytes more: it is damaged, or save it as .ply", "A wrong count.",
         spz(8, struct.pack("<I", 19_000_000))),
    Case("… has … bytes, but its … splats take at most …; it is damaged", "A wrong count.",
         spz(8, struct.pack("<I", 1), tail=bytes(99_999))),
    Case("… does not hold the … bytes that its … splats need; it is truncated or damaged",
         "Copy it again.", spz(cut=-1)),
    Case("… has … bytes after its gzip stream; it is damaged", "Two files in one.",
         spz(tail=b"more")),
    Case("a splat is … from the origin; SPZ reaches to 8388607", "Leave it out, or write .ply.",
         save(".spz", means=1e7)),
    ".splat",
    Case("… has … bytes; a .splat file has 32 for each splat: it is truncated or of another format",
         "Copy it again.", lambda place: decode(bytes(33), ".splat")),
    Case("… is a PLY file; give it the suffix .ply", "Rename it.",
         lambda place: decode(b"ply\n" + bytes(28), ".splat")),
    "GLB",
    Case("… is no GLB file; it must begin with glTF", ".gltf with separate files is not read.",
         lambda place: decode(b"", ".glb")),
    Case("… is GLB of version 1; version 2 is read", "Convert it with its own tools.",
         glb(version=1)),
    Case("… states … bytes but has …; it is truncated or damaged", "Copy it again.", glb(stated=9)),
    Case("… states … bytes of JSON; at most 1048576 within the file are read", "Damaged.",
         lambda place: decode(
             struct.pack("<4sIIII", b"glTF", 2, 40, 99, 0x4E4F534A) + bytes(20), ".glb")),
    Case("… has no binary chunk; numbers in other files are not read", "Export it as one .glb.",
         glb(numbers=False)),
    Case("… states a binary chunk of … bytes; it is damaged", "Or another kind of chunk.",
         glb(kind=7)),
    Case("… has JSON that is no glTF: …", "The reason follows.",
         glb(lambda document: document.update(meshes="x"))),
    Case("… has … primitives with KHR_gaussian_splatting; files with one are read",
         "A mesh, or several scenes in one file.", primitive(extensions={})),
    Case("… has colours in …; 'srgb_rec709_display' is read", "Another colour space.",
         extension(colorSpace="lin")),
    Case("… extends KHR_gaussian_splatting; compressed splats are not read", "Decompress them.",
         extension(extensions={"a": 1})),
    Case("… has nodes that mirror or shear its splats or scale their axes differently, which …",
         "Turns, moves and one scale are applied.",
         glb(lambda document: document["nodes"][0].update(scale=[2, 3, 2]))),
    Case("… has nodes that move its splats beyond 1e+18; it is damaged", "Or by mistake.",
         glb(lambda document: document["nodes"][0].update(translation=[1e30, 0, 0]))),
    Case("… has nodes that are no tree; it is damaged", "A node below itself, or below two.",
         glb(lambda document: document["nodes"][0].update(children=[0]))),
    Case("… shows its splats at … nodes; files that show them once are read",
         "Several copies of one object.",
         glb(lambda document: document["scenes"][0].update(nodes=[0, 1]) or
             document["nodes"].append({"mesh": 0}))),
    Case("… has no scene …; the file is damaged", "Damaged.",
         glb(lambda document: document.update(scene=7))),
    Case("… lacks the attribute … of its splats", "Damaged.", glb(lacking_position)),
    Case("… has … harmonics a splat; it must have 1, 4, 9 or 16", "Degrees 0 to 3.",
         attributes(**{"KHR_gaussian_splatting:SH_DEGREE_1_COEF_0": 0})),
    Case("… has attributes of different lengths: …", "Damaged.", accessor(count=49)),
    Case("…: POSITION has no accessor …; the file is damaged", "Damaged.", attributes(POSITION=99)),
    Case("…: POSITION is not stored as plain VEC3 of float, or of what KHR_gaussian_splatting "
         "allows beside it; only that is read", "KHR_mesh_quantization.",
         accessor(componentType=5121)),
    Case("…: POSITION has no buffer view …; the file is damaged", "Damaged.",
         accessor(bufferView=99)),
    Case("…: POSITION reaches beyond its … bytes of numbers; it is damaged", "Damaged.",
         accessor(count=5000)),
    Case("… has splats in a primitive of mode 4; KHR_gaussian_splatting is of points, mode 0",
         "They are no triangles.", primitive(mode=4)),
    Case("…: POSITION is packed by 'KHR_meshopt_compression'; export it without",
         "Compressed numbers are not read.",
         glb(lambda document: document["bufferViews"][0].update(
             extensions={"KHR_meshopt_compression": {}}))),
    Case("there are no splats, and glTF has no empty primitives: write a .ply", "An empty scene.",
         lambda place: encode(random_gaussians().select(np.zeros(50, bool)), ".glb")),
    "Gaussians",
    Case("Gaussians need either colors [N, 3] or sh [N, K, 3], and not both", "Choose one.",
         make(colors=None)),
    Case("means has shape (2, 2); it must be (N, 3)", "One row for each Gaussian.",
         make(means=np.zeros((2, 2)))),
    Case("quats has shape …; with 2 means it must be (2, 4)", "One row for each Gaussian.",
         make(quats=np.zeros((2, 3)))),
    Case("sh has shape …; with 2 means it must be (2, K, 3) with K = 1, 4, 9 or 16",
         "Degrees 0 to 3.", make(colors=None, sh=np.zeros((2, 5, 3)))),
    Case("colors has dtype …; it must be float32. Convert it with astype(numpy.float32) / 255",
         "Colours lie in [0, 1].", make(colors=np.zeros((2, 3), np.uint8))),
    Case("means has dtype …; it must be float32. Convert it with astype(numpy.float32)",
         "No real numbers.", make(means=np.zeros((2, 3), complex))),
    Case("quats is not an array of numbers of one shape", "A ragged list, or words in it.",
         make(quats=[[1, 0, 0, 0], [1]])),
    Case("the transform has shape …; it must be a [4, 4] matrix of finite numbers",
         "Of Gaussians.transformed.", lambda place: random_gaussians().transformed(np.eye(3))),
    Case("the transform is no similarity; it must be a rotation times one positive scale, and …",
         "Gaussians cannot be sheared or mirrored.",
         lambda place: random_gaussians().transformed(np.diag([1.0, 2, 1, 1]))),
    Case("the least opacity is …; it must be in [0, 1]", "Of --prune-opacity.",
         lambda place: prune(random_gaussians(), 1.5)),
    Case("the largest number of splats is …; it must be 1 or more", "Of --max-splats.",
         lambda place: keep_largest(random_gaussians(), 0)),
    "Writing files",
    Case("cannot write …: …", "The system's reason follows: no folder, no permission, no room.",
         write_below_a_file),
    Case("cannot write …: it is not a regular file; name another", "A folder of that name.",
         write_over_a_folder),
    Case("cannot write …: No space left on device", "While a file was written.", full_disk),
    Case("cannot write …bundle': No space left on device", "While a folder was written.",
         full_disk_at_the_end),
    Case("cannot write …a.ply': File exists", "A file stands where a folder must be.",
         write_under_a_file),
    Case("cannot write …bundle': File exists", "A file stands where a folder must be.",
         write_folder_under_a_file),
    Case("output … is a folder; name a file in it: .ply, .spz, .splat, .glb, .sog, .npz, .usda, "
         ".usdc, .usdz", "Of geolrm convert.",
         folder_named("a.ply", check_output)),
    Case("output … is the input file itself; name another", "Of geolrm convert and mesh.",
         input_as_output),
    "Meshes",
    Case("output … is a folder; name a file in it: .glb, .ply, .obj, …", "Of geolrm mesh.", command(
        mesh_command, lambda tmp: ((tmp / "a.glb").mkdir(), tmp / "a.glb")[1], 32, 8, None, True)),
    Case("… is no mesh file; the file name must end in .glb, .ply, .obj, .stl, .usda, .usdc, .usdz",
         "See docs/formats.md.", lambda place: NO_MESH.save(place.tmp / "a.txt")),
    Case("--threads is 0; it must be at least 1", "Leave it out for all cores.",
         command(mesh_command, lambda tmp: tmp / "a.glb", 32, 8, 0, True)),
    Case("size is …; it must be 16 to 512 voxels", "Of geolrm mesh --size.",
         lambda place: fuse(random_gaussians(), size=1)),
    Case("views is …; it must be 4 to 1000", "Of geolrm mesh --views.",
         lambda place: fuse(random_gaussians(), views=1)),
    Case("… shows no opaque surface, and so no mesh was written; are its opacities right? …",
         "All splats are faint, or dust; --raw-ply files read as standard ones look so.",
         faint_mesh),
    Case("… holds no Gaussians, and so no mesh was written", "The file is empty.",
         no_splats_to_mesh),
    Case("a mesh needs scikit-image, which is not installed; run: pip install 'geolrm[mesh]'",
         "An extra.", without_scikit_image),
    Case("the splats span nan; a mesh needs a finite extent", "Positions or scales are infinite.",
         huge_splats),
    Case("the mesh has no triangles; there is nothing to write", "Of Mesh.save.",
         lambda place: NO_MESH.save(place.tmp / "a.glb")),
    Case("the mesh has no area; there are no points on it", "Of surface_points.",
         lambda place: surface_points(*FLAT)),
    "Pages and scenes",
    Case("the page is …; its file name must end in .html", "Of geolrm view -o.",
         lambda place: check_page_name(place.tmp / "a.txt")),
    Case("--up is …; it must be one of z, -z, y, -y", "Of geolrm view.", command(
        view_command, lambda tmp: tmp / "a.html", None, "x", None, None, True)),
    Case("--language is …; it must be one of en, de", "Of geolrm view.", command(
        view_command, lambda tmp: tmp / "a.html", None, "z", None, "fr", True)),
    Case("up is 'x'; it must be one of z, -z, y, -y", "Of write_page.",
         lambda place: write_page(Exhibit("a", random_gaussians()), place.tmp / "a.html", up="x")),
    Case("the language of the page is 'fr'; it must be one of en, de", "Of write_page.",
         lambda place: write_page(
             Exhibit("a", random_gaussians()), place.tmp / "a.html", language="fr")),
    Case("there are 2 names, 1 cameras and 1 images; there must be one of each for every view",
         "Of InputViews.", lambda place: InputViews(
             ["a", "b"], Cameras.orbit(0, 0, 2, 40), [np.zeros((4, 4, 3), np.uint8)])),
    Case("the scene file is …; its name must end in .safetensors", "Of geolrm run --scene.",
         lambda place: check_scene_name(place.tmp / "a.zip")),
    Case("there is no scene file at …", "Of geolrm run --scene.",
         lambda place: load_scene(place.tmp / "none.safetensors")),
    Case("… is no scene file: …", "Damaged, or another format.", scene_file(b"nothing")),
    Case("… is a safetensors file, but no …; write one with: geolrm run CAPTURE -o …",
         "Weights, perhaps.", other_safetensors),
    Case("… has facts that cannot be read; it is damaged, write it again", "Of a scene file.",
         scene_with(metadata={"facts": "{"})),
    Case("…a.safetensors' has facts that cannot be read; it is damaged, …",
         "Of a scene file: names that are no text.",
         scene_with(metadata={"facts": '{"title": 1, "timings": {}, "names": []}'})),
    Case("… lacks 'means'; it is damaged, write it again", "Of a scene file.",
         scene_with(lambda arrays: arrays.pop("means"))),
    Case("… has means of type float64, which must be float32; it is damaged, write it again",
         "Of a scene file.", scene_with(put(means=np.zeros((50, 3))))),
    Case("… has NaN or infinity in means; it is damaged, write it again", "Of a scene file.",
         scene_with(no_numbers)),
    Case("… has anchors of shape …; it is damaged, write it again", "Of a scene file.",
         scene_with(put(anchors=np.zeros((3, 2), np.float32)))),
    Case("… has picture.0 of shape …; it is damaged, write it again", "Of a scene file.",
         scene_with(put(picture_0=np.zeros((4, 4), np.uint8)))),
    Case("…a.safetensors': quats has shape …; with 50 means it must be (50, 4)",
         "Of a scene file.", scene_with(put(quats=np.zeros((50, 3), np.float32)))),
]  # fmt: skip
