"""Frames chosen from a video."""

import time

import numpy as np
import pytest
from PIL import Image, ImageFilter
from samples.textured_box import orbit, render

from geolrm import InputError
from geolrm.engine.photographs import video_frames
from geolrm.engine.photographs.video_frames import choose_frames

av = pytest.importorskip("av")


def write(path, frames, rate=10, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
        stream.gop_size = options.get("gop", 12)
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def walk():
    """40 frames around a box, every fourth sharp."""
    frames = []
    for index, pose in enumerate(orbit(40)):
        image = Image.fromarray(render(pose, 240, 180, 260)[..., :3])
        frames.append(image if index % 4 == 2 else image.filter(ImageFilter.GaussianBlur(2)))
    return [np.asarray(each) for each in frames]


def test_the_sharp_frame_of_each_stretch_is_chosen(tmp_path, walk):
    found = choose_frames(write(tmp_path / "a.mp4", walk), tmp_path, 10, 1600)
    assert found["decoded"] == 40 and found["equal"] == 0
    assert found["files"] == [f"frame{4 * i + 2:06d}.png" for i in range(10)]
    with Image.open(tmp_path / found["files"][0]) as image:
        assert image.size == (240, 180)


def test_nearly_equal_frames_are_counted_and_left_out(tmp_path, walk):
    still = [walk[2]] * 20 + walk[20:]
    found = choose_frames(write(tmp_path / "a.mp4", still), tmp_path, 10, 120)
    assert len(found["files"]) == 6 and found["equal"] == 4
    with Image.open(tmp_path / found["files"][0]) as image:
        assert image.size == (120, 90)


def test_a_video_with_one_keyframe_is_read(tmp_path, walk):
    found = choose_frames(write(tmp_path / "a.mp4", walk, gop=600), tmp_path, 5, 1600)
    assert len(found["files"]) == 5


def without_keyframes(source, target, first):
    """Copy a video without the first of its keyframes, or without any."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is None or (packet.is_keyframe and (packet.pts == 0 or not first)):
                continue
            packet.stream = stream
            written.mux(packet)
    return target


def test_a_video_without_keyframes_is_refused(tmp_path, walk):
    path = without_keyframes(write(tmp_path / "a.mp4", walk), tmp_path / "b.mp4", False)
    (tmp_path / "to").mkdir()
    with pytest.raises(InputError) as raised:
        choose_frames(path, tmp_path / "to", 10, 1600)
    assert str(raised.value) == (
        f"{str(path)!r} has no keyframe, so that none of its frames is whole; it may be cut out of "
        "a longer one: cut it again with a program that encodes it anew"
    )
    assert list((tmp_path / "to").iterdir()) == []


def test_frames_before_the_first_keyframe_are_not_looked_at(tmp_path, walk):
    path = without_keyframes(write(tmp_path / "a.mp4", walk, gop=10), tmp_path / "b.mp4", True)
    found = choose_frames(path, tmp_path, 10, 1600)
    assert found["decoded"] == 30 and len(found["files"]) >= 7


def test_a_video_of_4_hours_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in (0, 1, 4 * 3600 * 10):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    start = time.monotonic()
    with pytest.raises(InputError) as raised:
        choose_frames(path, tmp_path, 10, 1600)
    assert str(raised.value) == (
        f"{str(path)!r} lasts 240 minutes; a walk around one object takes a few, and 30 are read "
        "at most: cut out the part that shows the object"
    )
    assert time.monotonic() - start < 5


def test_too_many_frames_end_it(tmp_path, walk, monkeypatch):
    monkeypatch.setattr(video_frames, "MOST_DECODED", 20)
    with pytest.raises(InputError, match="has more than 20 frames; cut out the part"):
        choose_frames(write(tmp_path / "a.mp4", walk), tmp_path, 10, 1600)


def test_a_broken_video_is_named(tmp_path, walk):
    path = write(tmp_path / "a.mp4", walk)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"a\.mp4' cannot be decoded: .*; it may be damaged"):
        choose_frames(path, tmp_path, 10, 1600)
