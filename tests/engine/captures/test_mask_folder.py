"""A folder of masks that nothing lists."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import (
    on_white,
    write_colmap_text,
    write_images,
    write_poses,
    write_transforms,
)

from geolrm import InputError, load_capture


def write_masks(folder, photos, name="{}.png"):
    folder.mkdir()
    for index, image in enumerate(photos):
        Image.fromarray(image[..., 3]).save(folder / name.format(index))


@pytest.mark.parametrize("write", [write_transforms, write_poses, write_colmap_text])
@pytest.mark.parametrize("name", ["{}.png", "{}.png.png"])
def test_masks_beside_the_images_become_their_alpha(tmp_path, photos, cameras, write, name):
    folder = write(tmp_path, on_white(photos) // 2, cameras)
    write_masks(folder / "masks", photos, name)
    capture = load_capture(folder)
    for image, listed in zip(capture.images, capture.names, strict=True):
        photo = photos[int(Path(listed).stem)]
        np.testing.assert_array_equal(image[..., 3], photo[..., 3])
    assert f"masks of the folder '{folder / 'masks'}' are used: 12" in capture.notes


def test_masks_of_another_suffix(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, on_white(photos) // 2, cameras)
    (folder / "masks").mkdir()
    for index, image in enumerate(photos):
        Image.fromarray(image[..., 3]).save(folder / "masks" / f"{index}.jpg", quality=95)
    capture = load_capture(folder)
    assert np.abs(capture.images[3][..., 3].astype(int) - photos[3][..., 3]).max() < 40


def test_images_with_alpha_keep_it(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    write_masks(folder / "masks", np.zeros_like(photos))
    capture = load_capture(folder)
    np.testing.assert_array_equal(capture.images[2], photos[2])
    assert capture.notes == ()


def test_masks_of_other_names_are_told(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, on_white(photos) // 2, cameras)
    write_masks(folder / "masks", photos[:2], "m{}.png")
    assert load_capture(folder).notes[0] == (
        f"the masks of the folder '{folder / 'masks'}' were not used, since none is named like an "
        "image such as rgb/0.png: give them the images' names"
    )


def test_some_masks_are_missing(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, on_white(photos) // 2, cameras)
    write_masks(folder / "masks", photos[:10])
    capture = load_capture(folder)
    assert capture.notes[0].endswith("are used: 10; 2 images have none there (rgb/10.png, "
                                     "rgb/11.png)")  # fmt: skip
    assert capture.images[11].shape[2] == 3


def test_a_mask_of_another_size_is_refused(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, on_white(photos), cameras)
    write_images(folder / "masks", [np.zeros((9, 9), np.uint8)])
    with pytest.raises(InputError, match="has 9 x 9 pixels, its image 64 x 64; they must agree"):
        load_capture(folder)


def test_listed_masks_go_before_the_folder(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, on_white(photos), cameras)
    write_masks(folder / "masks", photos)
    Image.new("L", (64, 64), 255).save(folder / "m.png")
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][3]["mask_path"] = "m.png"
    (folder / "transforms.json").write_text(json.dumps(content))
    capture = load_capture(folder, fit=False)
    assert [image.shape[2] for image in capture.images] == [3, 3, 3, 4] + [3] * 8
