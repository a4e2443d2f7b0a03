"""Masks from files, and the choice of what finds them."""

import importlib.metadata

import numpy as np
import pytest
from PIL import Image

from geolrm import InputError
from geolrm.engine.photographs import masks
from geolrm.engine.photographs.masks import choose_segmenter, find_mask, read_mask


@pytest.fixture
def without_weights(monkeypatch, tmp_path):
    for name in ("U2NET_HOME", "REMBG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    return tmp_path


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P"])
def test_a_mask_of_any_mode_is_read_at_the_size_of_its_photograph(tmp_path, mode):
    square = np.zeros((30, 40), np.uint8)
    square[5:20, 10:30] = 255
    image = Image.fromarray(square)
    if mode == "RGBA":
        image = Image.merge("RGBA", [Image.new("L", (40, 30), 9)] * 3 + [image])
    else:
        image = image.convert(mode)
    image.save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", (80, 60))
    assert mask.shape == (60, 80) and mask[24, 40] == 255 and mask[50, 70] == 0


def test_a_mask_of_0_and_1_is_one(tmp_path):
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (8, 8)), np.eye(8) * 255)


def test_what_is_no_mask_is_named(tmp_path):
    (tmp_path / "m.png").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read: "):
        read_mask(tmp_path / "m.png", (8, 8))
    Image.new("L", (8, 30)).save(tmp_path / "m.png")
    with pytest.raises(InputError) as raised:
        read_mask(tmp_path / "m.png", (80, 60))
    assert str(raised.value) == (
        f"mask {str(tmp_path / 'm.png')!r} has 8 x 30 pixels, its photograph another shape, "
        "80 x 60; make them agree"
    )


class Halves:
    def predict(self, img):
        left = np.zeros((img.height, img.width), np.uint8)
        left[:, :2] = 255
        return [Image.fromarray(left), Image.fromarray(left[:, ::-1].copy())]


def test_what_a_segmenter_finds_is_united():
    found = find_mask(Halves(), np.zeros((4, 8, 3), np.uint8))
    assert found[0].tolist() == [255, 255, 0, 0, 0, 0, 255, 255]


def test_none_is_none():
    assert choose_segmenter("none") == (None, "no masks were asked for")


def test_auto_downloads_nothing(without_weights):
    found, said = choose_segmenter("auto")
    assert found is None and said.startswith("the photographs have no masks: give a folder")


@pytest.mark.parametrize("place", ["u2netp.onnx", "models/u2netp/u2netp.onnx"])
def test_weights_that_are_here_are_taken(without_weights, monkeypatch, place):
    file = without_weights / "nowhere" / place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1")
    monkeypatch.setattr(masks, "load_segmenter", lambda model: model)
    assert choose_segmenter("auto") == ("u2netp", "u2netp")
