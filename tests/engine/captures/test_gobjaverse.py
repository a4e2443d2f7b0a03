"""GObjaverse objects as captures; the depth of the same files is tested with the training data."""

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import write_gobjaverse_views

from geolrm import InputError, load_capture


def test_views_without_depth_come_back(tmp_path, photos, cameras):
    order = [*range(10), 24, 30]  # 24 repeats another view, as in the original
    folder = write_gobjaverse_views(tmp_path / "1000", photos, cameras, order)
    capture = load_capture(folder)
    kept = [*range(10), 11]
    np.testing.assert_array_equal(np.stack(capture.images), photos[kept])
    np.testing.assert_allclose(capture.cameras.c2w, cameras.c2w[kept], atol=1e-12)
    np.testing.assert_allclose(capture.cameras.intrinsics, cameras.intrinsics[kept], atol=1e-12)
    assert capture.names[-1] == "00030/00030.png"
    assert capture.notes == ("27 of the 38 distinct views are not there",)


def test_the_level_of_the_download_may_stand_in_between(tmp_path, photos, cameras):
    write_gobjaverse_views(tmp_path / "7" / "campos_512_v4", photos, cameras)
    capture = load_capture(tmp_path / "7")
    assert len(capture) == 12 and capture.names[0] == "campos_512_v4/00000/00000.png"


def test_any_view_makes_an_object(tmp_path, photos, cameras):
    folder = write_gobjaverse_views(tmp_path / "7", photos, cameras)
    (folder / "00000" / "00000.json").unlink()
    assert load_capture(folder).names[0] == "00001/00001.png"


def test_damage_is_named(tmp_path, photos, cameras):
    folder = write_gobjaverse_views(tmp_path / "7", photos, cameras)
    Image.fromarray(photos[0][..., :3]).save(folder / "00003" / "00003.png")
    with pytest.raises(InputError, match=r"00003.png' is RGB with 64 x 64 px; it must be RGBA"):
        load_capture(folder)
    (folder / "00002" / "00002.png").unlink()
    with pytest.raises(InputError, match=r"00002.png' is missing; restore it or leave its view"):
        load_capture(folder)
    (folder / "00001" / "00001.json").write_text("{}")
    with pytest.raises(InputError, match=r"00001.json' is no camera of GObjaverse .*'x'"):
        load_capture(folder)
