import numpy as np
from PIL import Image

from geolrm.engine.views.sheets import contact_sheet, save_image, to_bytes


def test_images_lie_in_rows_with_white_between():
    rows = [np.full((3, 5, 5, 3), value, np.uint8) for value in (10, 20)]
    sheet = contact_sheet(rows, gap=2)
    assert sheet.shape == (2 * 7 + 2, 3 * 7 + 2, 3)
    assert (sheet[2:7, 2:7] == 10).all() and (sheet[9:14, 16:21] == 20).all()
    assert (sheet[:2] == 255).all() and (sheet[7:9] == 255).all() and (sheet[:, 7:9] == 255).all()
    assert (sheet != 255).sum() == 2 * 3 * 25 * 3


def test_colours_become_the_nearest_byte():
    rgb = np.array([-1, 0, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, 1, 3], np.float32)
    assert to_bytes(rgb).tolist() == [0, 0, 0, 1, 255, 255]


def test_a_png_holds_the_same_pixels(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    save_image(image, tmp_path / "a.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "a.png"), image)
