"""Photographs as they are taken in: turned, reduced, measured."""

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter
from samples.textured_box import orbit, render

from geolrm import InputError
from geolrm.engine.photographs.intake import (
    BLURRED,
    file_stem,
    left_out,
    measure,
    sharpness,
    spread,
    take_in,
)

IMAGE = Image.fromarray(render(orbit(1)[0])[..., :3])


def test_a_jpeg_that_needs_nothing_is_copied(tmp_path):
    IMAGE.save(tmp_path / "a b.jpg", quality=80)
    (tmp_path / "to").mkdir()
    taken = take_in(tmp_path / "a b.jpg", tmp_path / "to", "0000_a_b", 1600)
    assert (taken.name, taken.file, taken.width, taken.height) == (
        "a b.jpg",
        "0000_a_b.jpg",
        480,
        360,
    )
    assert (tmp_path / "to" / taken.file).read_bytes() == (tmp_path / "a b.jpg").read_bytes()
    assert taken.focal is None and not taken.has_alpha


def test_exif_turns_a_photograph_and_gives_its_focal_length(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif.get_ifd(0x8769)[0xA405] = 28  # mm for 35 mm film
    IMAGE.save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "to").mkdir()
    taken = take_in(tmp_path / "a.jpg", tmp_path / "to", "a", 240)
    assert (taken.width, taken.height) == (180, 240)
    assert taken.focal == pytest.approx(28 / math.hypot(36, 24) * 300)
    with Image.open(tmp_path / "to" / "a.jpg") as written:
        assert written.size == (180, 240) and not dict(written.getexif())
        expected = np.asarray(IMAGE.rotate(-90, expand=True).resize((180, 240)), float)
        assert np.abs(np.asarray(written, float) - expected).mean() < 8


def test_alpha_stays(tmp_path):
    Image.fromarray(render(orbit(1)[0])).save(tmp_path / "a.webp", lossless=True)
    (tmp_path / "to").mkdir()
    taken = take_in(tmp_path / "a.webp", tmp_path / "to", "a", 1600)
    assert taken.file == "a.png" and taken.has_alpha
    with Image.open(tmp_path / "to" / "a.png") as written:
        assert written.mode == "RGBA"


def test_heic_is_read(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    IMAGE.save(tmp_path / "a.HEIC", format="HEIF", quality=90)
    (tmp_path / "to").mkdir()
    taken = take_in(tmp_path / "a.HEIC", tmp_path / "to", "a", 1600)
    with Image.open(tmp_path / "to" / taken.file) as written:
        assert written.size == IMAGE.size and written.format == "JPEG"
        assert np.abs(np.asarray(written, float) - np.asarray(IMAGE, float)).mean() < 6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "' is no image that can be read"),
        (b"BM" + bytes(60), "' is no image that can be read"),
        (b"\xff\xd8\xff\xe0" + bytes(9), "' is no image that can be read"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, said):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError) as raised:
        take_in(tmp_path / "a.jpg", tmp_path, "b", 1600)
    assert str(raised.value) == f"{str(tmp_path / 'a.jpg')!r}"[:-1] + said


def test_a_truncated_photograph_is_named(tmp_path):
    IMAGE.save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"a\.jpg' cannot be decoded: "):
        take_in(tmp_path / "a.jpg", tmp_path, "b", 200)


def test_sharpness_falls_with_blur_and_not_with_contrast():
    grey = IMAGE.convert("L")
    measured = [sharpness(grey.filter(ImageFilter.GaussianBlur(r))) for r in (0, 1, 2, 4, 8)]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 0.2 and measured[3] < BLURRED
    dim = grey.point(lambda level: 60 + level // 3)
    assert sharpness(dim) == pytest.approx(measured[0], abs=0.04)
    assert sharpness(Image.new("L", (300, 200), 90)) == 0


def test_blurred_and_equal_photographs_are_left_out_once():
    def photograph(image, file):
        return measure(image, file, file, None)

    other = Image.fromarray(render(orbit(8)[3])[..., :3])
    out = left_out(
        [
            photograph(IMAGE, "a"),
            photograph(other, "b"),
            photograph(IMAGE.filter(ImageFilter.GaussianBlur(9)), "c"),
            photograph(IMAGE.point(lambda level: min(level + 1, 255)), "d"),
        ]
    )
    assert out == {"c": "blurred", "d": "equal to a"}


def test_files_are_spread_evenly(tmp_path):
    files = [tmp_path / str(i) for i in range(100)]
    assert spread(files, 200) == files
    assert [int(f.name) for f in spread(files, 4)] == [0, 33, 66, 99]


def test_names_suit_colmap(tmp_path):
    assert file_stem(7, tmp_path / "mein Foto ü (1).JPG") == "0007_mein_Foto____1_"


def test_a_focal_length_on_the_sensor_counts_where_the_size_of_the_sensor_is_told(tmp_path):
    exif = Image.Exif()
    tags = exif.get_ifd(0x8769)
    tags[0x920A], tags[0xA20E], tags[0xA210] = 50.0, 1600.0, 3  # mm, pixels to the cm, of
    tags[0xA002], tags[0xA003] = 4000, 3000  # the photograph as it was taken
    IMAGE.save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "to").mkdir()
    taken = take_in(tmp_path / "a.jpg", tmp_path / "to", "a", 1600)
    assert taken.focal == pytest.approx(50 * 160 / 5000 * 600)  # 8,000 of 5,000 px across
    del tags[0xA210], tags[0xA20E]
    IMAGE.save(tmp_path / "b.jpg", exif=exif)
    assert take_in(tmp_path / "b.jpg", tmp_path / "to", "b", 1600).focal is None
