"""Single pictures: turned, large, of other formats, with masks that are hardly any."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import write_transforms

from geolrm import InputError, load_capture
from geolrm.engine.captures.images import ImageReader

GRADIENT = np.add.outer(np.arange(48), 2 * np.arange(64)).astype(np.uint8)  # [48, 64]


def stored(form, array=GRADIENT, orientation=None, **options):
    file = io.BytesIO()
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    Image.fromarray(array).convert("RGB").save(file, form, **options)
    return file.getvalue()


def read(path, content, listed=None):
    path.write_bytes(content)
    reader = ImageReader()
    return reader.read(path, "here", listed), reader.notes


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_pixels_turn_where_the_poses_are_of_the_turned_image(tmp_path, orientation):
    from PIL import ImageOps

    content = stored("PNG", orientation=orientation)
    with Image.open(io.BytesIO(content)) as image:
        turned = np.asarray(ImageOps.exif_transpose(image))
    found, notes = read(tmp_path / "a.png", content, (480, 640))
    np.testing.assert_array_equal(found, turned)
    assert notes == ["images turned as their EXIF orientation says: 1"]
    for listed in (None, (640, 480)):
        found, notes = read(tmp_path / "a.png", content, listed)
        np.testing.assert_array_equal(found[..., 0], GRADIENT)
        assert notes[0].startswith("images taken as they are stored, against their EXIF orient")


def test_a_frame_that_lists_the_turned_size(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    (folder / "rgb" / "3.png").write_bytes(stored("JPEG", orientation=6))
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][3] |= {"w": 48, "h": 64, "fl_x": 60}
    (folder / "transforms.json").write_text(json.dumps(content))
    capture = load_capture(folder)
    assert capture.images[3].shape == (64, 48, 3)
    assert capture.cameras.intrinsics[3, 0, 0] == pytest.approx(60 / 48)
    assert capture.cameras.intrinsics[3, 1, 1] == pytest.approx(60 / 64)


def test_large_photos_and_their_masks_are_reduced_alike(tmp_path, photos, cameras):
    """JPEG can be decoded at half its size, which rounds up; the mask's PNG cannot."""
    folder = write_transforms(tmp_path, photos, cameras)
    Image.new("RGB", (4100, 3075), "gray").save(folder / "rgb" / "3.png", "JPEG")
    Image.new("L", (4100, 3075), 255).save(folder / "m.png")
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][3] |= {"w": 4100, "h": 3075, "fl_x": 4000, "mask_path": "m.png"}
    (folder / "transforms.json").write_text(json.dumps(content))
    capture = load_capture(folder)
    assert capture.images[3].shape == (1536, 2048, 4)
    assert capture.notes == ("images reduced to 2048 px: 1",)


def test_a_size_that_does_not_reduce_evenly(tmp_path):
    """5003 x 3001 becomes 2048 x 1228; the listed shape is still the image's."""
    from geolrm.engine.captures.images import check_shape

    check_shape((5003, 3001), (1228, 2048), "w and h")
    with pytest.raises(InputError, match="w and h are 5003 x 3001, but the image has 2048 x 1240"):
        check_shape((5003, 3001), (1240, 2048), "w and h")


@pytest.mark.parametrize("form", ["GIF", "TIFF", "BMP", "EPS", "PCX"])
def test_other_formats_are_refused(tmp_path, form):
    """Pillow starts Ghostscript for EPS."""
    with pytest.raises(InputError, match="is no image that can be read; replace it by PNG, JPEG"):
        read(tmp_path / "a.png", stored(form))


def test_two_pictures_in_a_jpeg_of_a_phone(tmp_path):
    other = [Image.fromarray(255 - GRADIENT).convert("RGB")]
    found, _ = read(
        tmp_path / "a.jpg", stored("MPO", save_all=True, append_images=other, quality=95)
    )
    assert np.abs(found[..., 0].astype(int) - GRADIENT).max() < 12


def test_masks_of_0_and_1_are_stretched(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(folder / "m.png")
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][3]["mask_path"] = "m.png"
    (folder / "transforms.json").write_text(json.dumps(content))
    capture = load_capture(folder)
    np.testing.assert_array_equal(capture.images[3][..., 3], 255 * np.eye(64, dtype=np.uint8))
    assert capture.notes == (
        "masks of few values or of a palette, stretched to black and white: 1",
    )


def test_separators_of_windows(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    text = (folder / "transforms.json").read_text().replace("rgb/", r"rgb\\")
    (folder / "transforms.json").write_text(text)
    assert load_capture(folder).names[3] == "rgb\\3.png"


def test_a_line_of_pixels_is_no_image(tmp_path):
    content = stored("PNG", np.zeros((1, 1 << 17), np.uint8))
    with pytest.raises(InputError, match="has 131072 x 1 pixels, more than are supported"):
        read(tmp_path / "a.png", content)
