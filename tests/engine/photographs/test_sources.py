"""Which sources are photographs without poses."""

import numpy as np
import pytest
from PIL import Image

from geolrm.engine.photographs.sources import is_photographs, list_photographs, mask_file
from geolrm.examples import CAPTURES


def photographs(folder, count=4, size=(12, 8), suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", size).save(folder / f"{index}{suffix}")
    return folder


def test_a_folder_of_images_alone_is(tmp_path):
    assert is_photographs(photographs(tmp_path / "a"))
    assert is_photographs(photographs(tmp_path / "b" / "images").parent)


@pytest.mark.parametrize("marker", ["transforms.json", "transforms_train.json", "poses.npy",
                                    "poses_bounds.npy", "cameras.bin", "sparse/x"])  # fmt: skip
def test_a_folder_with_poses_is_not(tmp_path, marker):
    photographs(tmp_path)
    (tmp_path / marker).parent.mkdir(exist_ok=True)
    (tmp_path / marker).write_text("")
    assert not is_photographs(tmp_path)


@pytest.mark.parametrize("name", ["banana", "lion", "shoe"])
def test_the_bundled_captures_are_not(name):
    assert not is_photographs(CAPTURES / name)


def test_frames_of_an_orbit_are_not(tmp_path):
    assert not is_photographs(photographs(tmp_path / "a", 21, (8, 8)))
    assert is_photographs(photographs(tmp_path / "b", 21, (12, 8)))
    assert is_photographs(photographs(tmp_path / "c", 22, (8, 8)))


def test_what_is_not_there_is_not(tmp_path):
    assert not is_photographs(tmp_path / "none") and not is_photographs(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"nonsense")
    assert not is_photographs(tmp_path / "a.mp4")


@pytest.mark.parametrize(("size", "frames", "expected"), [((64, 64), 21, False),
                         ((64, 48), 21, True), ((64, 64), 22, True)])  # fmt: skip
def test_a_video_is_unless_it_may_be_an_orbit(tmp_path, size, frames, expected):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(frames):
            frame = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert is_photographs(tmp_path / "a.mp4") == expected


def test_files_come_in_natural_order_and_hidden_ones_do_not(tmp_path):
    photographs(tmp_path, 11)
    (tmp_path / "._1.jpg").write_bytes(b"")
    (tmp_path / "x.HEIC").write_bytes(b"")
    names = [each.name for each in list_photographs(tmp_path)]
    assert names == [*(f"{i}.jpg" for i in range(11)), "x.HEIC"]


@pytest.mark.parametrize("name", ["masks/a.png", "masks/a.jpg.png", "images/masks/a.webp"])
def test_masks_lie_in_a_folder_of_that_name(tmp_path, name):
    (tmp_path / "images").mkdir()
    mask = tmp_path / name
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"")
    assert mask_file(tmp_path / "images" / "a.jpg") == mask
    assert mask_file(tmp_path / "images" / "b.jpg") is None
