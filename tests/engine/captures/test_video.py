import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.captures import video

pytest.importorskip("av")

from samples.capture_files import write_clip


def frames(count):
    shades = np.linspace(0, 200, count).astype(np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (count, 32, 32, 3)).copy()


def test_the_21_frames_of_an_orbit(tmp_path):
    capture = video.read_clip(write_clip(tmp_path / "a.mp4", frames(21)))
    assert capture.kind == "sv3d" and len(capture) == 21
    assert capture.names[3] == "frame 3" and capture.images[0].shape == (32, 32, 3)
    assert abs(int(capture.images[-1].mean()) - 200) < 8


@pytest.mark.parametrize(
    ("count", "message"), [(22, "has more than 21 frames; an SV3D orbit has 21"), (5, "21")]
)
def test_other_numbers_of_frames(tmp_path, count, message):
    with pytest.raises(InputError, match=message):
        video.read_clip(write_clip(tmp_path / "a.mp4", frames(count)))


def test_damaged_and_too_large_clips(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match="a.mp4' cannot be decoded: .* it may be damaged"):
        video.read_clip(tmp_path / "a.mp4")
    clip = write_clip(tmp_path / "b.mp4", frames(21))
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(InputError, match="has frames of 32 x 32 pixels, more than are supported"):
        video.read_clip(clip)
