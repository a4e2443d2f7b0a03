"""Small splat files as other programs write them, which this project only reads."""

import gzip
import json
import struct
import sys

import numpy as np

from geolrm.engine.formats import archive
from geolrm.engine.formats.splat_files import encode
from geolrm.engine.geometry.harmonics import dc_of_colors

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SPLAT = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
         "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip
COUNTS = {0: 0, 1: 3, 2: 8, 3: 15}


def splat_rows(scene):
    """The values of :data:`SPLAT`, by name, [N] each."""
    dc = dc_of_colors(scene.colors) if scene.sh is None else scene.sh[:, 0]
    logits = np.log(scene.opacities / (1 - scene.opacities))
    table = np.column_stack([scene.means, dc, logits, np.log(scene.scales), scene.quats])
    return dict(zip(SPLAT, table.T, strict=True))


def ply_file(*elements, order="<", newline="\n", format=None, comments=()):
    """A PLY of (name, number of rows, [(type, property)], bytes) elements."""
    names = {"<": "binary_little_endian", ">": "binary_big_endian"}
    lines = ["ply", f"format {format or names[order]} 1.0", *comments]
    for name, count, properties, _ in elements:
        lines.append(f"element {name} {count}")
        lines += [f"property {kind} {key}" for kind, key in properties]
    head = newline.join([*lines, "end_header", ""]).encode()
    return head + b"".join(body for *_, body in elements)


CODES = {"float": "f4", "double": "f8", "uchar": "u1", "int": "i4", "uint": "u4"}


def element(name, columns, kinds=None, order="<"):
    """An element of [N] columns; ``kinds`` names the types that are not float."""
    properties = [((kinds or {}).get(key, "float"), key) for key in columns]
    count = len(next(iter(columns.values())))
    rows = np.empty(count, [(key, order + CODES[kind]) for kind, key in properties])
    for key, values in columns.items():
        rows[key] = values
    return name, count, properties, rows.tobytes()


def spz4(scene, *, level=3, extension=b"", change=None, tail=b""):
    """An SPZ 4 file with the attributes of this project's SPZ 3.

    ``change`` takes the header's fields, the sizes and the streams, and edits them.
    """
    payload = gzip.decompress(encode(scene, ".spz"))
    count, degree, bits = struct.unpack_from("<IBB", payload, 8)
    widths = [9, 1, 3, 3, 4, 3 * COUNTS[degree]]
    streams, at = [], 16
    for width in [width for width in widths if width]:
        streams.append(payload[at : at + width * count])
        at += width * count
    packed = [zstd.compress(stream, level) for stream in streams]
    header = {
        "version": 4, "count": count, "degree": degree, "bits": bits,
        "flags": 2 if extension else 0, "streams": len(streams), "table": 32 + len(extension),
    }  # fmt: skip
    sizes = [[len(a), len(b)] for a, b in zip(packed, streams, strict=True)]
    if change is not None:
        change(header, sizes, packed)
    head = struct.pack("<4sIIBBBBI12x", b"NGSP", *header.values())
    table = b"".join(struct.pack("<QQ", *pair) for pair in sizes)
    return head + extension + table + b"".join(packed) + tail


def sog(scene, change=lambda meta, members: None):
    """A SOG of this project whose meta.json or images ``change`` edited before they were packed."""
    members = archive.read(encode(scene, ".sog"), "it")
    meta = json.loads(members.pop("meta.json"))
    before = dict(members)
    change(meta, members)
    text = json.dumps(meta).encode()
    return archive.write({"meta.json": text} | before | members)


def _pack(values, bits):
    steps = np.rint(np.clip(values, 0, 1) * (2 ** np.array(bits) - 1)).astype(np.uint32)
    words = np.zeros(len(values), np.uint32)
    for column, width in zip(steps.T, bits, strict=True):
        words = words << np.uint32(width) | column
    return words


def compressed_ply(scene, *, color_ranges=False, change=None):
    """A compressed PLY of the first 256 splats or fewer: one chunk."""
    logs = np.log(scene.scales)
    colors = scene.colors if scene.sh is None else scene.sh[:, 0] * 0.28209479177387814 + 0.5
    ranges, parts = {}, {}
    for prefix, values, axes in (("", scene.means, "xyz"), ("scale_", logs, "xyz"),
                                 ("", colors, "rgb")):  # fmt: skip
        low, high = values.min(axis=0), values.max(axis=0)
        if axes == "rgb" and not color_ranges:
            low, high = np.zeros(3), np.ones(3)
        else:
            for end, limits in (("min", low), ("max", high)):
                ranges |= {f"{end}_{prefix}{a}": [x] for a, x in zip(axes, limits, strict=True)}
        parts[prefix + axes] = (values - low) / (high - low)
    largest = np.abs(scene.quats).argmax(axis=1)
    rows = np.arange(len(scene))
    quats = scene.quats * np.sign(scene.quats[rows, largest])[:, None]
    three = np.array([np.delete(quat, place) for quat, place in zip(quats, largest, strict=True)])
    words = {
        "packed_position": _pack(parts["xyz"], [11, 10, 11]),
        "packed_rotation": _pack(three / np.sqrt(2) + 0.5, [10, 10, 10])
        | (largest.astype(np.uint32) << 30),
        "packed_scale": _pack(parts["scale_xyz"], [11, 10, 11]),
        "packed_color": _pack(np.column_stack([parts["rgb"], scene.opacities]), [8] * 4),
    }
    elements = [element("chunk", ranges), element("vertex", words, dict.fromkeys(words, "uint"))]
    if scene.sh is not None and scene.sh.shape[1] > 1:
        rest = scene.sh[:, 1:].transpose(0, 2, 1).reshape(len(scene), -1)
        steps = np.clip(np.floor((rest / 8 + 0.5) * 256), 0, 255)
        columns = {f"f_rest_{index}": column for index, column in enumerate(steps.T)}
        elements.append(element("sh", columns, dict.fromkeys(columns, "uchar")))
    if change is not None:
        elements = change(elements)
    return ply_file(*elements)
