"""Photographs cut out and straightened."""

import numpy as np
from PIL import Image

from geolrm.engine.photographs.cutouts import cut_out
from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.models import Model
from geolrm.engine.photographs.steps import Steps

FILES = ("a.jpg", "b.jpg")


def made(tmp_path, lens, masks):
    """What is cut out of two grey photographs, of which the first has a mask."""
    camera = {"model": "SIMPLE_RADIAL", "width": 40, "height": 30, "params": [50.0, 20, 15, lens]}
    model = Model(FILES, np.tile(np.eye(4)[:3], (2, 1, 1)), (camera, camera), (0, 0),
                  np.zeros((0, 3)), np.zeros((0, 3), np.uint8), 0.5)  # fmt: skip
    for file in FILES:
        Image.new("RGB", (40, 30), (90, 90, 90)).save(tmp_path / file)
    (tmp_path / "masks").mkdir(exist_ok=True)
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "a.jpg.png")
    posed = [Photograph(file, file, 40, 30, None, 0.3, (), False) for file in FILES]
    told = []
    steps = Steps(tmp_path / "steps")

    def tell(title):
        told.append(title)
        return lambda done, total: told.append((done, total))

    images, cameras = cut_out(model, posed, tmp_path, tmp_path / "masks" if masks else None, steps,
                              "key", tell)  # fmt: skip
    return [np.asarray(Image.open(path)) for path in images], cameras, told


def test_a_mask_becomes_alpha_and_a_straight_lens_needs_nothing_more(tmp_path):
    (first, second), cameras, told = made(tmp_path, 0.0, True)
    assert first.shape == (30, 40, 4) and second.shape == (30, 40, 3)
    assert first[..., 3].sum() == 255 * 200 and first[15, 20, 3] == 255
    straight = {"width": 40, "height": 30, "focal": [50.0, 50.0], "centre": [20, 15]}
    assert cameras == [straight, straight] and told == ["cutting out", (1, 2), (2, 2)]
    assert made(tmp_path, 0.0, True)[2] == []  # kept


def test_without_masks_nothing_is_cut(tmp_path):
    images, _, _ = made(tmp_path, 0.0, False)
    assert [image.shape[2] for image in images] == [3, 3]


def test_a_bent_lens_is_straightened_and_what_it_took_is_removed(tmp_path):
    (first, second), cameras, told = made(tmp_path, -0.2, True)
    assert told[0] == "removing lens distortion"
    assert first.shape == (cameras[0]["height"], cameras[0]["width"], 4) and second.shape[2] == 3
    assert sorted(path.name for path in tmp_path.glob("steps/undistorted-*/*.png")) == [
        "a.jpg.png", "b.jpg.png",
    ]  # fmt: skip
