"""Splat files that are archives, what is written alone, and options of single formats."""

import io

import numpy as np
from errors.case import Case, without
from PIL import Image
from samples.gaussians import random_gaussians
from samples.splat_files import sog

from geolrm import Gaussians
from geolrm.commands.convert import convert
from geolrm.engine.formats import archive, webp_planes
from geolrm.engine.formats.splat_files import decode, encode


def splats(suffix, **options):
    return lambda place: encode(random_gaussians(), suffix, **options)


def zipped(change):
    """The bytes of an archive of one member, edited; read as npz."""
    content = bytearray(archive.write({"means.npy": b"numbers"}))
    listed = content.index(archive.ENTRY_MAGIC)
    return lambda place: decode(bytes(change(content, listed)), ".npz")


def put(at, *values):
    """Overwrite bytes of the list of members, or of its end where ``at`` is negative."""

    def change(content, listed):
        start = listed + at if at >= 0 else len(content) + at
        content[start : start + len(values)] = bytes(values)
        return content

    return zipped(change)


def too_large(place):
    place.patch.setattr(archive, "LARGEST", 100)
    return archive.write({"m": bytes(200)})


def twice(place):
    content = archive.write({"a.npy": b"1", "b.npy": b"2"}).replace(b"b.npy", b"a.npy")
    return decode(content, ".npz")


def overlapping(place):
    content = archive.write({"a": bytes(999)})
    end = content.rindex(archive.END_MAGIC)
    at = archive.END.unpack_from(content, end)[6]
    entries = content[at:end] + content[at:end].replace(b"a", b"b")
    last = archive.END.pack(archive.END_MAGIC, 0, 0, 2, 2, len(entries), at, 0)
    return decode(content[:at] + entries + last, ".npz")


def deflated(place):
    content = bytearray(archive.write({"means.npy": b"\xff" * 9}))
    listed = content.index(archive.ENTRY_MAGIC)
    content[listed + 10] = archive.DEFLATED
    return decode(bytes(content), ".npz")


def meta(key, value, *path):
    def change(found, members):
        for step in path:
            found = found[step]
        found[key] = value

    return lambda place: decode(sog(random_gaussians(4), change), ".sog")


def image(content):
    put = lambda meta, members: members.update({"quats.webp": content})  # noqa: E731
    return lambda place: decode(sog(random_gaussians(4), put), ".sog")


def plain(width, height, kind="WEBP", **options):
    buffer = io.BytesIO()
    Image.new("RGBA", (width, height)).save(buffer, kind, **options)
    return buffer.getvalue()


LOSSLESS = webp_planes.encode(np.zeros((8, 8, 4), np.uint8))


def two_sizes(place):
    """Pillow tells the size of the first frame of what states another one before it."""
    place.patch.setattr(webp_planes, "size_of", lambda content, name: (9, 9))
    return webp_planes.decode(LOSSLESS, "it")


def far_larger(place):
    def change(meta, members):
        meta["count"] = 16_000_000
        images = [name for name in members if name.endswith(".webp")]
        members.update(dict.fromkeys(images, plain(4000, 4000, lossless=True)))

    return decode(sog(random_gaussians(), change), ".sog")


def npz(**changes):
    names = ("means", "opacities", "scales", "quats", "colors")
    arrays = {name: getattr(random_gaussians(), name) for name in names} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return lambda place: decode(buffer.getvalue(), ".npz")


def no_header(place):
    members = archive.read(encode(random_gaussians(), ".npz"), "it")
    return decode(archive.write(members | {"means.npy": b"numbers"}), ".npz")


def sparse(suffix):
    def trigger(place):
        path = place.tmp / f"a{suffix}"
        with path.open("wb") as file:
            file.write(b"PK\3\4")
            file.truncate(1 << 40)
        return Gaussians.load(path)

    return trigger


def written_only(place):
    (place.tmp / "a.usda").write_text("#usda 1.0\n")
    return Gaussians.load(place.tmp / "a.usda")


def degree_of_raw(place):
    return convert(place.tmp / "a.ply", place.tmp / "b.ply", raw_ply=True, sh_degree=3)


CASES = [
    "Options of single formats",
    Case("sh_degree is 4; it must be 0, 1, 2 or 3", "Of the harmonics in the file.",
         splats(".ply", sh_degree=4)),
    Case("sh_degree was given, but a .splat file holds no harmonics: leave it out",
         "Its colours are the same from all sides.", splats(".splat", sh_degree=0)),
    Case("sh_degree was given, but a raw PLY holds no harmonics: leave it out",
         "Its colours are the same from all sides.", splats(".ply", raw=True, sh_degree=3)),
    Case("--sh-degree was given, but a raw PLY holds no harmonics: leave it out",
         "Of geolrm convert.", degree_of_raw),
    Case("spz_version is 2; it must be 3 or 4", "Older ones are only read.",
         splats(".spz", spz_version=2)),
    Case("spz_version was given, but .ply files are no SPZ: leave it out", "Or name a .spz file.",
         splats(".ply", spz_version=4)),
    Case("… is a .usda file, and those are written but not read: name one of .ply, .spz, .splat, "
         ".glb, .sog, .npz", "Keep one of those beside it.", written_only),
    Case("… names a compressed PLY, and those are read but not written: name a .ply, or a .sog or "
         ".spz, which are smaller", "splat-transform writes one of a .ply.",
         lambda place: convert(place.tmp / "a.ply", place.tmp / "b.compressed.ply")),
    Case("a .usdc file needs usd-core, which is not installed; run: pip install 'geolrm[usd]', or "
         "write a .usda or .usdz file", "An extra.", without("usd-core", splats(".usdc"))),
    Case("a tensor needs torch, which is not installed; run: pip install 'geolrm[export]'",
         "Of Gaussians.to_torch.", without("torch", lambda place: random_gaussians().to_torch())),
    "Archives: SOG, npz, USDZ",
    Case("… is no SOG file; it must begin as a ZIP archive does",
         "A folder with meta.json and images is not read: zip them, and name that .sog.",
         lambda place: decode(b"{", ".sog")),
    Case("… is no npz file; it must begin as a ZIP archive does", "Another format.",
         lambda place: decode(b"\x93NUMPY", ".npz")),
    Case("… has … bytes; at most 707108864 are read: split the file", "No SOG needs more.",
         sparse(".sog")),
    Case("… has … bytes; at most 9441048576 are read: split the file", "No npz needs more.",
         sparse(".npz")),
    Case("… is no ZIP archive, or its end is missing; copy it again", "It was cut off.",
         zipped(lambda content, listed: content[:-9])),
    Case("… states … members in … bytes at …; at most 64 within one archive are read",
         "Or it is damaged.", put(-12, 99, 0, 99, 0)),
    Case("… lists fewer members than it states; it is damaged", "Copy it again.",
         put(-14, 2, 0, 2, 0)),
    Case("… lists its members wrongly; it is damaged", "Copy it again.", put(0, 0)),
    Case("… is encrypted or packed by method …; 0 and 8 are read", "Zip it anew.", put(10, 12)),
    Case("… is not where the archive says; it is damaged", "Copy it again.", put(42, 1)),
    Case("… states … bytes that become …; it is damaged", "Copy it again.", put(20, 9)),
    Case("…: 'means.npy' cannot be decompressed: …", "Copy it again.", deflated),
    Case("… is not what its checksum and size say; it is damaged", "Copy it again.", put(16, 0)),
    Case("… has members that overlap; it is damaged", "Or made to be large.", overlapping),
    Case("… holds 'a.npy' twice; it is damaged", "Which of them is meant?", twice),
    Case("… states … bytes of contents, but has …; it may hold 64 times its size and 16777216 "
         "bytes more: it is damaged", "Save it as .ply.", put(24, 0, 0, 0, 99)),
    Case("the archive would have … bytes or more; at most … fit: write fewer splats, or another "
         "format", "4 GiB.", too_large),
    "SOG",
    Case("… has no meta.json of at most 1048576 bytes; it is no SOG", "Another archive.",
         lambda place: decode(archive.write({"m": b""}), ".sog")),
    Case("… has a meta.json that is none: …", "What is wrong follows.", meta("count", "many")),
    Case("… is SOG of version 1; version 2 is read", "Convert it by splat-transform.",
         meta("version", 1)),
    Case("… states -1 splats; it is damaged", "Copy it again.", meta("count", -1)),
    Case("… has a palette of … rows of degree …; it must be 1 to 65536 of degree 1 to 3",
         "Copy it again.", meta("bands", 4, "shN")),
    Case("… has codebooks of … values; they must have 256", "Copy it again.",
         meta("codebook", [], "sh0")),
    Case("… names … images; its splats need …", "Copy it again.", meta("files", [], "sh0")),
    Case("… has no image …; it is damaged", "A member of the archive is missing.",
         meta("files", ["a.webp"], "sh0")),
    Case("… has …x… pixels, too few, too many or in other rows than … need; it is damaged",
         "Copy it again.", meta("count", 999)),
    Case("… has images of … pixels in … bytes; it may hold 64 times its size and 16777216 bytes "
         "more: it is damaged", "Or mostly empty.", far_larger),
    Case("…: splat … has a rotation of kind …; it must be 252 to 255: it is damaged",
         "Of the images of rotations.", image(plain(8, 8, lossless=True))),
    Case("… is no WebP image; only those are read", "PNG is not.", image(plain(8, 8, "PNG"))),
    Case("… is a lossy, animated or damaged WebP image; lossless ones are read",
         "Lossy images change the numbers.", image(plain(8, 8, lossless=False))),
    Case("it states two sizes; it is damaged", "An image.", two_sizes),
    Case("… cannot be decoded: …", "An image is damaged.", image(LOSSLESS[:-4] + bytes(4))),
    "npz",
    Case("… has no array 'quats'; Gaussians have means, opacities, scales, quats and colors or sh",
         "Under these names.", npz(quats=None)),
    Case("… has quats of shape …; see the shapes of geolrm.Gaussians", "One row a Gaussian.",
         npz(quats=np.zeros((50, 3)))),
    Case("… is no array of NumPy: …", "What is wrong follows.", no_header),
    Case("… holds … of shape … in … bytes; floats of at most 64 bits are read", "No integers.",
         npz(means=np.zeros((50, 3), int))),
]  # fmt: skip
