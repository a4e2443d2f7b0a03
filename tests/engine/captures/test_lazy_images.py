"""Images that are decoded when they are asked for, and not before."""

import numpy as np
import pytest
from PIL import Image

from geolrm import InputError
from geolrm.engine.captures import lazy_images
from geolrm.engine.captures.images import ImageReader
from geolrm.engine.captures.lazy_images import (
    COARSE_SIDE,
    LazyImages,
    coarse_image,
    decode_in_threads,
    outline,
    shapes_of,
)
from geolrm.engine.views.silhouettes import make_outline


@pytest.fixture
def large(tmp_path):
    """Three JPEG files of 4000 x 3000 px, the first with a mask."""
    reader = ImageReader(longest_side=1024)
    Image.new("L", (4000, 3000), 255).save(tmp_path / "m.png")
    pictures = []
    for index in range(3):
        file = tmp_path / f"{index}.jpg"
        Image.new("RGB", (4000, 3000), (50 * index, 90, 30)).save(file)
        pictures.append(
            reader.measure(file, "here", mask=tmp_path / "m.png" if not index else None)
        )
    return LazyImages(reader, pictures)


def test_nothing_is_decoded_before_it_is_asked_for(large):
    assert large.shapes == shapes_of(large) == [(768, 1024, 4), (768, 1024, 3), (768, 1024, 3)]
    assert repr(large) == "LazyImages(3 images, 0 decoded)"
    assert large[2].shape == (768, 1024, 3) and large[2] is large[-1]
    assert repr(large) == "LazyImages(3 images, 1 decoded)"
    assert large[0].shape == (768, 1024, 4) and large[0][..., 3].min() == 255
    with pytest.raises(IndexError):
        large[3]


def test_outlines_are_decoded_at_a_fraction(large):
    image = large.coarse(0)
    assert image.shape == (375, 500, 4) or max(image.shape) >= COARSE_SIDE
    assert max(image.shape) < 1024 and repr(large).endswith("0 decoded)")
    np.testing.assert_allclose(coarse_image(large, 1)[0, 0], large[1][0, 0], atol=3)
    whole = large[2]
    assert large.coarse(2) is whole


def test_subsets_share_what_is_decoded(large):
    some = large.subset([2, 0])
    assert some[0] is large[2] and len(large[:2]) == 2 and large[1:][1] is large[2]


def test_masks_turned_over(large):
    over = large.turned_over()
    assert over[0][..., 3].max() == 0 and over.coarse(0)[..., 3].max() == 0
    np.testing.assert_array_equal(over[1], large[1])
    np.testing.assert_array_equal(over.turned_over()[0], large[0])


def test_all_are_decoded_on_all_cores(large):
    large.decode()
    assert repr(large) == "LazyImages(3 images, 3 decoded)"
    np.testing.assert_array_equal(
        large[1][5, 5], Image.open(large.pictures[1].file).getpixel((9, 9))
    )


def test_the_first_of_several_errors_is_raised():
    def fail(index):
        if index > 2:
            raise InputError(f"{index}")
        return index

    assert decode_in_threads(fail, range(3)) == [0, 1, 2]
    with pytest.raises(InputError, match="^3$"):
        decode_in_threads(fail, range(9))


def test_an_outline_is_made_once_and_shared(tmp_path, monkeypatch):
    for index in range(2):
        alpha = np.zeros((8, 12), np.uint8)
        alpha[2:6, 4:8] = 255
        Image.fromarray(np.dstack([alpha] * 4 if index else [alpha] * 3)).save(
            tmp_path / f"{index}.png"
        )
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)).save(
        tmp_path / "2.png"
    )
    reader = ImageReader()
    pictures = [reader.measure(tmp_path / f"{index}.png", "here") for index in range(3)]
    images = LazyImages(reader, pictures)
    found = outline(images, 1, 4)
    assert found.alpha.shape == (3, 4) and found.size == (4.0, 8 / 3)
    np.testing.assert_array_equal(found.alpha, make_outline(images[1], 4).alpha)
    assert outline(images, 2, 4) is None  # no mask, and no border of one colour
    assert outline(images, 0, 4) is not None  # a black border
    monkeypatch.setattr(lazy_images, "make_outline", None)
    assert outline(images.subset([1]), 0, 4) is found and outline(images, 2, 4) is None


def test_few_pixels_start_no_threads(large, monkeypatch):
    def threads(decode, indices):
        raise AssertionError("threads were started")

    monkeypatch.setattr(lazy_images, "decode_in_threads", threads)
    few = large.subset([1])
    with pytest.raises(AssertionError, match="threads were started"):
        few.decode()
    monkeypatch.setattr(lazy_images, "FEWEST_PIXELS", 4000 * 3000 + 1)
    few.decode()
    assert repr(few) == "LazyImages(1 images, 1 decoded)"
