"""SOG, version 2: planes of bytes as lossless WebP images and meta.json, in one archive.

A pixel a splat, row by row; splats lie in Morton order, so that neighbours in space are neighbours
in the images. Positions have 16 bits an axis of a symmetric logarithm, rotations the three smaller
components in bytes and the place of the largest, and logarithms of scales, colours and harmonics
are indices of codebooks; harmonics are first replaced by the nearest row of a palette.
"""

from __future__ import annotations

import json

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import archive, codebooks, webp_planes
from geolrm.engine.formats.untrusted import (
    FREE_BYTES,
    LARGEST_COUNT,
    MOST_EXPANSION,
    Decoded,
    assemble,
    check_count,
    most_plain,
)
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics

VERSION = 2
FREE_PIXELS = 1 << 16  # of an image, beyond four times what its splats need
MOST_BYTES_A_SPLAT = 32  # of all planes, if nothing shrinks
LARGEST_META = 1 << 20
PALETTE_ROW = 64  # rows of the palette side by side in its image
MOST_ROWS = 1 << 16  # of the palette: an index has two bytes
COEFFICIENTS = {1: 3, 2: 8, 3: 15}  # beyond the constant one, by degree
FIRST_PLACE = 252  # of the largest component of a rotation, in its alpha
SMALLEST_SCALE = 1e-10  # a zero scale has no logarithm
LARGEST_EXPONENT = 80.0  # exp stays finite in float32
MORTON_BITS = 10  # an axis

Three = tuple[float, float, float]


class Means(msgspec.Struct):
    """Positions: the range of their symmetric logarithms, lower and upper bytes."""

    mins: Three
    maxs: Three
    files: list[str]


class Coded(msgspec.Struct):
    """Indices of a codebook."""

    codebook: list[float]
    files: list[str]


class Plain(msgspec.Struct):
    """Bytes that mean themselves."""

    files: list[str]


class Palette(msgspec.Struct):
    """Harmonics: ``count`` rows of ``bands``, and the row of each splat."""

    count: int
    bands: int
    codebook: list[float]
    files: list[str]


class Meta(msgspec.Struct):
    """The part of meta.json that is read."""

    count: int
    means: Means
    scales: Coded
    quats: Plain
    sh0: Coded
    version: int = 1
    shN: Palette | None = None


def encode(gaussians: GaussianArrays) -> bytes:
    """Write a whole file of splats that are y up."""
    count = len(gaussians)
    gaussians = gaussians.select(_morton_order(gaussians.means))
    width = max(1, int(np.ceil(np.sqrt(count))))
    height = max(1, -(-count // width))

    def image(*columns: NDArray) -> bytes:
        flat = np.zeros((width * height, sum(column.shape[1] for column in columns)), np.uint8)
        flat[:count] = np.concatenate(columns, axis=1)
        return webp_planes.encode(flat.reshape(height, width, -1))

    low, high, steps = _quantised_positions(gaussians.means)
    scale_book, scales = codebooks.of_values(np.log(np.maximum(gaussians.scales, SMALLEST_SCALE)))
    sh = gaussians.sh
    if sh is None:
        sh = harmonics.dc_of_colors(gaussians.colors)[:, None]  # pyright: ignore[reportArgumentType]
    color_book, colors = codebooks.of_values(sh[:, 0])
    opacities = np.rint(gaussians.opacities[:, None] * 255).astype(np.uint8)
    members = {
        "means_l.webp": image((steps & 255).astype(np.uint8)),
        "means_u.webp": image((steps >> 8).astype(np.uint8)),
        "scales.webp": image(scales),
        "quats.webp": image(_smallest_three(gaussians.quats)),
        "sh0.webp": image(colors, opacities),
    }
    meta = {
        "version": VERSION,
        "asset": {"generator": "geolrm"},
        "count": count,
        "means": {"mins": low, "maxs": high, "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scale_book.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": color_book.tolist(), "files": ["sh0.webp"]},
    }
    if sh.shape[1] > 1 and count:
        rows, labels = codebooks.of_rows(sh[:, 1:].reshape(count, -1), MOST_ROWS)
        book, indices = codebooks.of_values(rows)
        degree = {k: d for d, k in COEFFICIENTS.items()}[sh.shape[1] - 1]
        members["shN_centroids.webp"] = webp_planes.encode(_palette(indices, degree))
        high_and_low = np.stack([labels & 255, labels >> 8, 0 * labels], axis=1)
        members["shN_labels.webp"] = image(high_and_low.astype(np.uint8))
        files = ["shN_centroids.webp", "shN_labels.webp"]
        meta["shN"] = {"count": len(rows), "bands": degree, "codebook": book.tolist(),
                       "files": files}  # fmt: skip
    text = json.dumps(meta, separators=(",", ":")).encode()
    return archive.write(members | {"meta.json": text})


def _morton_order(means: NDArray[np.float32]) -> NDArray[np.int64]:
    """Sort splats along a curve that fills space; those of one cell keep their order."""
    if not len(means):
        return np.empty(0, np.int64)
    low = means.min(axis=0)
    reach = np.maximum(means.max(axis=0) - low, np.float32(1e-30))
    cells = ((means - low) / reach * (2**MORTON_BITS - 1)).astype(np.uint32)
    code = np.zeros(len(means), np.uint32)
    for bit in range(MORTON_BITS):
        for axis in range(3):
            code |= (cells[:, axis] >> np.uint32(bit) & np.uint32(1)) << np.uint32(3 * bit + axis)
    return np.argsort(code, kind="stable")


def _quantised_positions(means: NDArray) -> tuple[list[float], list[float], NDArray[np.uint16]]:
    """Return the ranges of the symmetric logarithms, and their places in it in 65535 steps."""
    wide = means.astype(np.float64)
    logarithms = np.sign(wide) * np.log1p(np.abs(wide))
    if not len(means):
        return [0.0] * 3, [0.0] * 3, np.empty((0, 3), np.uint16)
    low, high = logarithms.min(axis=0), logarithms.max(axis=0)
    reach = np.where(high > low, high - low, 1.0)
    steps = np.rint((logarithms - low) / reach * 65535).astype(np.uint16)
    return low.tolist(), high.tolist(), steps


def _smallest_three(quats: NDArray) -> NDArray[np.uint8]:
    """Pack wxyz into [N, 4] bytes: three components, and the place of the largest."""
    largest = np.abs(quats).argmax(axis=1)
    rows = np.arange(len(quats))
    turned = np.where(quats[rows, largest, None] < 0, -quats, quats)
    packed = np.empty((len(quats), 4), np.uint8)
    scaled = np.rint((turned * np.float32(np.sqrt(0.5)) + np.float32(0.5)) * 255)
    for place in range(4):
        here = largest == place
        packed[here, :3] = scaled[here][:, [k for k in range(4) if k != place]].clip(0, 255)
    packed[:, 3] = FIRST_PLACE + largest
    return packed


def _palette(indices: NDArray[np.uint8], degree: int) -> NDArray[np.uint8]:
    """Lay rows [M, K * 3] out as an image, 64 side by side, a pixel a coefficient."""
    lines = -(-len(indices) // PALETTE_ROW)
    wide = 3 * COEFFICIENTS[degree]
    flat = np.zeros((lines * PALETTE_ROW, wide), np.uint8)
    flat[: len(indices)] = indices
    return flat.reshape(lines, PALETTE_ROW * COEFFICIENTS[degree], 3)


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes, from its first bytes."""
    if head[:4] != archive.LOCAL_MAGIC:
        raise InputError(f"{name} is no SOG file; it must begin as a ZIP archive does")
    most = LARGEST_COUNT * MOST_BYTES_A_SPLAT + (1 << 26)
    if size > most:
        raise InputError(f"{name} has {size} bytes; at most {most} are read: split the file")


def decode(content: bytes, name: str) -> Decoded:
    """Read a whole file, in the file's frame."""
    check(content[:4], len(content), name)
    members = archive.read(content, name)
    meta = _read_meta(members, name)
    planes = _planes(meta, members, len(content), name)
    count = meta.count
    low, high = (np.array(end, np.float64) for end in (meta.means.mins, meta.means.maxs))
    with np.errstate(over="ignore"):
        color_of = np.array(meta.sh0.codebook).astype(np.float32)
        scale_of = np.exp(np.array(meta.scales.codebook).clip(-LARGEST_EXPONENT, LARGEST_EXPONENT))
        scale_of = scale_of.astype(np.float32)
    palette = None
    if meta.shN is not None:
        palette = _read_palette(meta.shN, planes["centroids"], name)

    def part(rows: slice) -> dict[str, NDArray]:
        low_bytes, high_bytes, scales, quats, colors = (
            planes[key][rows] for key in ("means_l", "means_u", "scales", "quats", "sh0")
        )
        steps = low_bytes[:, :3] + 256.0 * high_bytes[:, :3]
        with np.errstate(over="ignore", invalid="ignore"):  # such splats are left out
            logarithms = low + (high - low) * (steps / 65535)
            means = np.sign(logarithms) * np.expm1(np.abs(logarithms))
            means = means.astype(np.float32)
        found = {
            "means": means,
            "opacities": colors[:, 3].astype(np.float32) / np.float32(255),
            "scales": scale_of[scales[:, :3]],
            "quats": _quats(quats, name, rows.start),
        }
        dc = color_of[colors[:, :3]]
        if palette is None:
            return found | {"colors": harmonics.colors_of_dc(dc)}
        labels = planes["labels"][rows].astype(np.int64)
        row = np.minimum(labels[:, 0] + 256 * labels[:, 1], len(palette) - 1)
        return found | {"sh": np.concatenate([dc[:, None], palette[row]], axis=1)}

    return assemble(name, count, part)


def _read_meta(members: dict[str, bytes], name: str) -> Meta:
    """Read meta.json and refuse what does not belong together."""
    text = members.get("meta.json")
    if text is None or len(text) > LARGEST_META:
        raise InputError(f"{name} has no meta.json of at most {LARGEST_META} bytes; it is no SOG")
    try:
        meta = msgspec.json.decode(text, type=Meta)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"{name} has a meta.json that is none: {str(error)[:200]}") from error
    if meta.version != VERSION:
        raise InputError(f"{name} is SOG of version {meta.version}; version {VERSION} is read")
    if meta.count < 0:
        raise InputError(f"{name} states {meta.count} splats; it is damaged")
    check_count(meta.count, name)
    books = [meta.scales.codebook, meta.sh0.codebook]
    if meta.shN is not None:
        books.append(meta.shN.codebook)
        if meta.shN.bands not in COEFFICIENTS or not 1 <= meta.shN.count <= MOST_ROWS:
            raise InputError(
                f"{name} has a palette of {meta.shN.count} rows of degree {meta.shN.bands}; it "
                f"must be 1 to {MOST_ROWS} of degree 1 to 3"
            )
    if any(len(book) != codebooks.VALUES for book in books):
        lengths = ", ".join(str(len(book)) for book in books)
        raise InputError(f"{name} has codebooks of {lengths} values; they must have 256")
    return meta


def _planes(
    meta: Meta, members: dict[str, bytes], size: int, name: str
) -> dict[str, NDArray[np.uint8]]:
    """Decode the images, [pixels, 4] each, once all of their sizes are known and acceptable."""
    files = [*meta.means.files[:2], *meta.scales.files[:1], *meta.quats.files[:1],
             *meta.sh0.files[:1]]  # fmt: skip
    keys = ["means_l", "means_u", "scales", "quats", "sh0"]
    least = dict.fromkeys(keys, meta.count)
    if meta.shN is not None:
        # The specification lists labels first, every program that writes it the palette.
        files += sorted(meta.shN.files[:2], key=lambda file: "label" in file)
        keys += ["centroids", "labels"]
        wide = PALETTE_ROW * COEFFICIENTS[meta.shN.bands]
        least |= {"centroids": wide * -(-meta.shN.count // PALETTE_ROW), "labels": meta.count}
    if len(files) != len(keys):
        raise InputError(f"{name} names {len(files)} images; its splats need {len(keys)}")
    pixels = 0
    for key, file in zip(keys, files, strict=True):
        if file not in members:
            raise InputError(f"{name} has no image {file[:80]!r}; it is damaged")
        width, height = webp_planes.size_of(members[file], f"{name}: {file[:80]!r}")
        pixels += width * height
        # Sides may be powers of two, which makes four times the pixels at most.
        enough = least[key] <= width * height <= 4 * least[key] + FREE_PIXELS
        if not enough or (key == "centroids" and width != wide):
            raise InputError(
                f"{name}: {file[:80]!r} has {width}x{height} pixels, too few, too many or in other "
                f"rows than {least[key]} need; it is damaged"
            )
    if 4 * pixels > most_plain(size):
        raise InputError(
            f"{name} has images of {pixels:,} pixels in {size} bytes; it may hold {MOST_EXPANSION} "
            f"times its size and {FREE_BYTES} bytes more: it is damaged"
        )
    return {
        key: webp_planes.decode(members[file], f"{name}: {file[:80]!r}").reshape(-1, 4)
        for key, file in zip(keys, files, strict=True)
    }


def _read_palette(facts: Palette, image: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    """Read the rows [M + 1, K, 3]; the last one, of zeros, is for labels beyond the palette."""
    with np.errstate(over="ignore"):  # such splats are left out
        value_of = np.array(facts.codebook).astype(np.float32)
    indices = image[:, :3].reshape(-1, COEFFICIENTS[facts.bands], 3)[: facts.count]
    return np.concatenate([value_of[indices], np.zeros((1, *indices.shape[1:]), np.float32)])


def _quats(packed: NDArray[np.uint8], name: str, start: int) -> NDArray[np.float32]:
    """Unpack [N, 4] bytes into wxyz [N, 4]."""
    place = packed[:, 3].astype(np.int64) - FIRST_PLACE
    if len(place) and place.min() < 0:
        row = int(np.argmin(place))
        raise InputError(
            f"{name}: splat {start + row} has a rotation of kind {packed[row, 3]}; it must be "
            f"{FIRST_PLACE} to 255: it is damaged"
        )
    three = (packed[:, :3].astype(np.float32) / np.float32(255) - np.float32(0.5)) * np.float32(
        np.sqrt(2)
    )
    largest = np.sqrt((1 - (three**2).sum(axis=1)).clip(0))
    quats = np.empty((len(packed), 4), np.float32)
    for largest_place in range(4):
        here = place == largest_place
        quats[here, largest_place] = largest[here]
        quats[np.ix_(here, [k for k in range(4) if k != largest_place])] = three[here]
    return quats
