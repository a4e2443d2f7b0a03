"""SOG files taken apart by zipfile and Pillow, and what the reader makes of others."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from samples.gaussians import COUNT, random_gaussians
from samples.splat_files import sog

from geolrm import Gaussians, InputError
from geolrm.engine.formats import sog as sog_format
from geolrm.engine.formats.splat_files import decode, encode

SH_C0 = 0.28209479177387814


def parse(content):
    """meta.json, and each image as [pixels, 4]."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    meta = json.loads(members.pop("meta.json"))
    planes = {
        name: np.asarray(Image.open(io.BytesIO(body)).convert("RGBA")).reshape(-1, 4).astype(int)
        for name, body in members.items()
    }
    return meta, planes


@pytest.mark.parametrize("sh", [None, 1, 4, 9, 16])
def test_the_planes_hold_what_the_specification_says(sh):
    scene = random_gaussians(sh)
    meta, planes = parse(encode(scene, ".sog", up="z"))
    assert (meta["version"], meta["count"]) == (2, COUNT)
    assert ("shN" in meta) == (sh in (4, 9, 16))
    steps = planes["means_l.webp"][:COUNT, :3] + 256 * planes["means_u.webp"][:COUNT, :3]
    low, high = (np.array(meta["means"][end]) for end in ("mins", "maxs"))
    n = low + (high - low) * steps / 65535
    means = np.sign(n) * (np.exp(np.abs(n)) - 1)
    order = np.linalg.norm(scene.means[:, None] - means, axis=2).argmin(axis=0)
    assert sorted(order) == list(range(COUNT))
    np.testing.assert_allclose(means, scene.means[order], atol=2e-5)
    scales = np.array(meta["scales"]["codebook"])[planes["scales.webp"][:COUNT, :3]]
    np.testing.assert_allclose(scales, np.log(scene.scales[order]), atol=1e-5)
    colors = scene.colors if sh is None else scene.sh[:, 0] * SH_C0 + 0.5
    dc = np.array(meta["sh0"]["codebook"])[planes["sh0.webp"][:COUNT, :3]]
    np.testing.assert_allclose(dc * SH_C0 + 0.5, colors[order], atol=1e-5)
    opacities = planes["sh0.webp"][:COUNT, 3] / 255
    np.testing.assert_allclose(opacities, scene.opacities[order], atol=0.51 / 255)
    packed = planes["quats.webp"][:COUNT]
    place = packed[:, 3] - 252
    assert (place == np.abs(scene.quats[order]).argmax(axis=1)).all()
    three = (packed[:, :3] / 255 - 0.5) * np.sqrt(2)
    for index, quat in enumerate(scene.quats[order]):
        kept = np.delete(quat * np.sign(quat[place[index]]), place[index])
        np.testing.assert_allclose(three[index], kept, atol=0.51 * np.sqrt(2) / 255)
    if "shN" in meta:
        wide = sh - 1
        assert meta["shN"]["bands"] == {4: 1, 9: 2, 16: 3}[sh]
        labels = planes["shN_labels.webp"][:COUNT]
        label = labels[:, 0] + 256 * labels[:, 1]
        indices = planes["shN_centroids.webp"].reshape(-1, 64, wide, 4)[label // 64, label % 64]
        rest = np.array(meta["shN"]["codebook"])[indices[:, :, :3]]
        error = np.abs(rest - scene.sh[order][:, 1:])
        assert error.mean() < 0.01 and error.max() < 0.25  # 256 values for all coefficients


@pytest.mark.parametrize("sh", [None, 16])
def test_what_is_written_is_read(sh):
    scene = random_gaussians(sh)
    content = encode(scene, ".sog")
    read = decode(content, ".sog")
    order = np.linalg.norm(scene.means[:, None] - read.means, axis=2).argmin(axis=0)
    np.testing.assert_allclose(read.means, scene.means[order], atol=2e-5)
    np.testing.assert_allclose(read.scales, scene.scales[order], rtol=1e-4)
    signs = np.sign((read.quats * scene.quats[order]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, scene.quats[order], atol=6e-3)
    assert encode(scene, ".sog") == content
    assert encode(read, ".sog")[:4] == b"PK\3\4"


def test_neighbours_in_space_are_neighbours_in_the_images():
    rng = np.random.default_rng(0)
    scene = random_gaussians().select(rng.integers(0, COUNT, 4000))
    scene.means[:] = rng.random((4000, 3))
    read = decode(encode(scene, ".sog"), ".sog")
    steps = np.linalg.norm(np.diff(read.means, axis=0), axis=1)
    assert (
        np.median(steps)
        < 0.15
        < 0.4
        < np.median(np.linalg.norm(np.diff(scene.means, axis=0), axis=1))
    )


@pytest.mark.parametrize("sh", [None, 4])
def test_no_splats_and_splats_alike_are_files_too(sh):
    empty = random_gaussians(sh).select(np.zeros(COUNT, bool))
    assert len(decode(encode(empty, ".sog"), ".sog")) == 0
    same = random_gaussians(sh).select(np.zeros(9, int))
    read = decode(encode(same, ".sog"), ".sog")
    np.testing.assert_allclose(read.means, same.means, atol=1e-6)
    np.testing.assert_allclose(read.scales, same.scales, rtol=1e-5)


def test_more_splats_than_rows_share_the_palette(monkeypatch):
    monkeypatch.setattr(sog_format, "MOST_ROWS", 16)
    scene = random_gaussians(4)
    content = encode(scene, ".sog", up="z")
    meta, _ = parse(content)
    assert meta["shN"]["count"] <= 16
    read = decode(content, ".sog", up="z")
    order = np.linalg.norm(scene.means[:, None] - read.means, axis=2).argmin(axis=0)
    error = np.mean((read.sh[:, 1:] - scene.sh[order, 1:]) ** 2)
    assert error < 0.5 * scene.sh[:, 1:].var()
    np.testing.assert_allclose(read.sh[:, 0], scene.sh[order, 0], atol=1e-4)


def test_files_in_the_order_of_the_specification_and_labels_beyond_the_palette(tmp_path):
    scene = random_gaussians(4)

    def change(meta, members):
        meta["shN"]["files"].reverse()
        labels = np.zeros((8, 8, 3), np.uint8)
        labels[0, 0] = (255, 255, 0)
        buffer = io.BytesIO()
        Image.fromarray(labels).save(buffer, "WEBP", lossless=True)
        members["shN_labels.webp"] = buffer.getvalue()

    (tmp_path / "a.sog").write_bytes(sog(scene, change))
    read = Gaussians.load(tmp_path / "a.sog")
    assert not read.sh[0, 1:].any()
    np.testing.assert_array_equal(read.sh[1:, 1:], np.tile(read.sh[1, 1:], (COUNT - 1, 1, 1)))
    assert read.sh[1, 1:].any()


def webp(height, width, **options):
    buffer = io.BytesIO()
    options = {"lossless": True} | options
    Image.new("RGBA", (width, height)).save(buffer, "WEBP", **options)
    return buffer.getvalue()


def put(key, value, *path):
    def change(meta, members):
        place = meta
        for step in path:
            place = place[step]
        place[key] = value

    return change


def member(name, body):
    return lambda meta, members: members.update({name: body})


def far_larger(meta, members):
    meta["count"] = 16_000_000
    images = ["means_l", "means_u", "scales", "quats", "sh0", "shN_labels"]
    members.update(dict.fromkeys([f"{name}.webp" for name in images], webp(4000, 4000)))


REFUSED = [
    (put("version", 1), "is SOG of version 1; version 2 is read"),
    (lambda meta, members: meta.pop("version"), "is SOG of version 1; version 2 is read"),
    (put("count", -1), "states -1 splats; it is damaged"),
    (put("count", 10**9), "states 1,000,000,000 splats; at most 20,000,000 are read"),
    (put("count", 65), r"'means_l.webp' has 8x7 pixels, too few, too many or in other rows than"),
    (put("count", "x"), "has a meta.json that is none: Expected `int`"),
    (put("mins", [0, 0], "means"), "has a meta.json that is none: Expected `array` of length 3"),
    (put("codebook", [0.0] * 255, "sh0"), "has codebooks of 256, 255, 256 values; they must have"),
    (put("bands", 4, "shN"), "has a palette of 50 rows of degree 4; it must be 1 to 65536 of deg"),
    (put("count", 0, "shN"), "has a palette of 0 rows of degree 1; it must be 1 to 65536 of degr"),
    (put("files", [], "quats"), "names 6 images; its splats need 7"),
    (put("files", ["a.webp"], "quats"), "has no image 'a.webp'; it is damaged"),
    (member("quats.webp", webp(8, 8)), "splat 0 has a rotation of kind 0; it must be 252 to 255"),
    (member("quats.webp", b"RIFF"), "'quats.webp' is no WebP image; only those are read"),
    (member("quats.webp", webp(8, 8, lossless=False)), "is a lossy, animated or damaged WebP"),
    (far_larger, "has images of 96,000,.* pixels in .* bytes; it may hold"),
    (member("shN_centroids.webp", webp(64, 64)), "64x64 pixels, too few, too many or in oth"),
    (member("means_l.webp", webp(300, 300)), r"has 300x300 pixels, too few, too many or in other"),
    (member("meta.json", b"["), "has a meta.json that is none: "),
    (member("meta.json", b" " * (1 << 21)), "has no meta.json of at most 1048576 bytes; it is no"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_what_does_not_belong_together_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        decode(sog(random_gaussians(4), change), ".sog")


def test_what_is_no_archive_is_refused():
    with pytest.raises(InputError, match="is no SOG file; it must begin as a ZIP archive does"):
        decode(b"RIFF", ".sog")


def test_numbers_beyond_reach_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="left out .* of 50 splats"):
        read = decode(sog(random_gaussians(4), put("maxs", [1e4, 1, 1], "means")), ".sog")
    assert 0 < len(read) < COUNT
