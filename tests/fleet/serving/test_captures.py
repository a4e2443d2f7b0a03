"""Hostile captures: a 4xx with one sentence, no growth, no file left."""

import io
import json
import os
import resource
import struct
import tempfile
import zipfile
import zlib

import numpy as np
import pytest
from harness.served import assert_refused, send
from PIL import Image
from samples.hostile_text import HOSTILE
from samples.served_captures import box_files, box_zip, zipped

from geolrm import InputError
from geolrm.fleet.serving import captures
from geolrm.fleet.serving.captures import decode_image, keep_inside, pose_where_needed, relative
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import Limits


def png_of(width, height):
    """A PNG that states a size and has no pixels."""

    def chunk(kind, content):
        return (struct.pack(">I", len(content)) + kind + content
                + struct.pack(">I", zlib.crc32(kind + content)))  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def with_link():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("rgb/0.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


def with_wrong_size():
    return box_zip().replace(struct.pack("<I", len(box_files()["rgb/0.png"])), b"\x05\0\0\0")


def listing(count):
    """A zip file that lists so many files, each of nothing; written faster than zipfile does."""
    entries = [
        b"PK\1\2" + struct.pack("<6H3L5H2L", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
        + b"%06d" % index
        for index in range(count)
    ]  # fmt: skip
    size, stated = sum(map(len, entries)), min(count, 0xFFFF)
    return b"".join(entries) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, stated, stated, size, 0, 0)


def with_huge_png(name):
    return zipped(box_files() | {name: png_of(40_000, 25_000)})


HOSTILE_ZIPS = {
    "no zip": (lambda: b"PK" * 500, 422, "the zip file is no zip file that can be read"),
    "nothing": (lambda: b"", 422, "the zip file is no zip file that can be read"),
    "half of one": (lambda: box_zip()[: len(box_zip()) // 2], 422, "no zip file that can be read"),
    "../": (lambda: zipped({"../a.png": b"x"}), 422, "holds the path '../a.png', which leads out"),
    "/": (lambda: zipped({"/a.png": b"x"}), 422, "which leads out of its folder"),
    "a link": (with_link, 422, "holds 'rgb/0.png', which is a link or no file"),
    "wrong sizes": (with_wrong_size, 422, "pack the capture again"),
    "100,000 entries": (lambda: listing(100_000), 413, "the body is longer than the 2,097,152"),
    "30,000 entries": (lambda: listing(30_000), 422, "lists more than 60 files"),
    "a bomb": (
        lambda: zipped({"a.png": bytes(3 << 20)}, zipfile.ZIP_DEFLATED), 422,
        "bytes that become 3,145,728; at most 50 times as many are read",
    ),
    "more than is unpacked": (
        lambda: zipped({f"{i}.txt": bytes(1 << 20) for i in range(5)}, zipfile.ZIP_DEFLATED), 422,
        "holds 5,242,880 bytes; at most 4,194,304 are read",
    ),
    "1e9 pixels": (
        lambda: with_huge_png("rgb/0.png"), 413,
        "the images up to '0.png' state more than the 1,048,576 pixels",
    ),
    "1e9 pixels that nothing names": (lambda: with_huge_png("x.webp"), 413, "'x.webp' state"),
    "many images": (
        lambda: zipped({f"{i}.png": b"" for i in range(25)}), 422,
        "the capture has 25 images and masks; this server takes 24: leave some out",
    ),
    "1e9 pixels in a file of another name": (
        lambda: with_huge_png("rgb/0.dat"), 413, "'0.dat' state more than the 1,048,576 pixels",
    ),
    "many images of another name": (
        lambda: zipped({f"{i}.dat": png_of(8, 8) for i in range(25)}), 422,
        "the capture has 25 images and masks; this server takes 24: leave some out",
    ),
    "no capture": (lambda: zipped({"a.txt": b"x"}), 422, "is no capture"),
    "a list": (lambda: zipped({"transforms.json": b"[1]"}), 422, "transforms.json holds a list"),
    "deep JSON": (lambda: zipped({"transforms.json": b"[" * 100_000}), 422, "is no valid JSON"),
    "a hostile name": (
        lambda: zipped({"transforms.json": json.dumps({"frames": [{
            "file_path": HOSTILE + "\x1b[2J\u202e", "transform_matrix": np.eye(4).tolist(),
        }]})}), 422, "the image that it lists is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_ZIPS)
def test_a_hostile_zip_is_one_sentence_and_leaves_nothing(client, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make, status, sentence = HOSTILE_ZIPS[kind]
    answer = send(client, make())
    assert_refused(answer, status, sentence)
    assert answer.json()["error"].isprintable()
    assert list(tmp_path.iterdir()) == []


def test_hostile_zips_take_no_memory(client):
    bodies = [make() for name, (make, *_) in HOSTILE_ZIPS.items() if "entries" not in name]
    for body in bodies:
        send(client, body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for body in 2 * bodies:
        send(client, body)
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 8 << 20


@pytest.mark.parametrize(
    ("path", "inside"),
    [("rgb/1.png", "rgb/1.png"), ("./1", "./1"), ("/etc/passwd", "etc/passwd"),
     ("../../a", "a"), ("a/../b", "a/b"), ("C:\\x\\1.png", "x/1.png"), ("\\\\host\\a", "host/a"),
     ("/", "image"), ("..", "image"), ("a..b", "a..b")],
)  # fmt: skip
def test_paths_stay_inside(path, inside):
    assert relative(path) == inside


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"frames": 3}', '{"frames": [3, {}]}'])
def test_what_is_no_transforms_stays_as_it_is(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text)
    keep_inside(tmp_path / "transforms.json")
    assert (tmp_path / "transforms.json").read_text() == text


def test_photographs_need_their_extra(tmp_path, monkeypatch):
    for index in range(4):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{index}.jpg")
    monkeypatch.setattr(captures, "installed_version", lambda package: None)
    with pytest.raises(InputError, match=r"and this server runs without geolrm\[photos\]; send tr"):
        pose_where_needed(tmp_path, tmp_path, 0, 1, lambda title: None)


def test_photographs_are_posed_with_their_steps_told(tmp_path, monkeypatch):
    for index in range(4):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{index}.jpg")

    def pose(source, output, options, progress):
        assert (source, options.threads, options.seed) == (tmp_path, 2, 7)
        progress("matching", 0, 0)
        progress("matching", 1, 3)

    told = []
    monkeypatch.setattr(captures, "installed_version", lambda package: "4.2")
    monkeypatch.setattr(captures, "capture_photographs", pose)
    found = pose_where_needed(tmp_path, tmp_path / "work", 7 + (1 << 31), 2, told.append)
    assert found == tmp_path / "work" / "posed" and told == ["matching", "matching 1/3"]


def test_an_image_alone_is_decoded_and_reduced():
    buffer = io.BytesIO()
    Image.new("RGB", (1500, 30), (250, 0, 0)).save(buffer, "PNG")
    assert decode_image(buffer.getvalue(), Limits()).shape == (20, 1024, 3)
    with pytest.raises(InputError, match="the view's image cannot be decoded"):
        decode_image(buffer.getvalue()[:60], Limits())
    with pytest.raises(Refusal, match="the images up to 'the view' state more than the 134,217,72"):
        decode_image(png_of(40_000, 25_000), Limits())
