"""Pictures of any size, and a turn around the object as a video or as frames."""

import base64
import io
import itertools
import zipfile

import numpy as np
import pytest
from harness.chromium import Tab, decode, on_white
from samples.known_shapes import box_splats

from geolrm.viewer import Exhibit, write_page

SIDE = 400


@pytest.fixture(scope="module")
def box_page(tmp_path_factory):
    path = tmp_path_factory.mktemp("box") / "box.html"
    write_page(Exhibit("box", box_splats()), path)
    return path


@pytest.fixture(scope="module")
def box_tab(browser, box_page):
    tab = Tab(browser, box_page, size=(SIDE, SIDE))
    yield tab
    assert tab.messages == []
    tab.context.close()


def save(tab, **choices):
    """Name and content of what the dialog saves with these choices by element."""
    for name, value in choices.items():
        element = f"#{name.replace('_', '-')}"
        fill = tab.page.select_option if name != "video_seconds" else tab.page.fill
        fill(element, value)
    with tab.page.expect_download() as download:
        tab.page.click("#saving-go")
    with open(download.value.path(), "rb") as file:
        content = file.read()
    tab.page.wait_for_selector("#saving", state="hidden")
    return download.value.suggested_filename, content


def close(tab):
    tab.press("Escape")
    tab.page.wait_for_selector("#saving", state="hidden")


def test_a_picture_as_shown_and_larger(tab):
    tab.press("x")
    assert tab.page.is_visible("#saving") and not tab.page.is_visible("#video-fields")
    sizes = tab.page.eval_on_selector_all("#picture-size option", "all => all.map((o) => o.text)")
    assert [size.replace("\N{MULTIPLICATION SIGN}", "x") for size in sizes] == [
        "As shown, 400 x 400", "Twice, 800 x 800", "4K, 3840 x 3840",
    ]  # fmt: skip
    name, content = save(tab, picture_back="shown")
    assert name.endswith(".png")
    picture = decode(content)
    assert picture.shape == (SIDE, SIDE, 4) and (picture[..., 3] == 1).all()
    as_shown = on_white(tab.picture())
    assert np.abs(picture[..., :3] - as_shown).mean() < 0.002
    tab.press("x")
    tab.page.select_option("#picture-size", index=1)
    _, content = save(tab)
    twice = decode(content)[..., :3]
    assert twice.shape == (2 * SIDE, 2 * SIDE, 3)
    halved = twice.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))
    assert np.abs(halved - as_shown).mean() < 0.01
    canvas = "[canvas.width, canvas.height]"
    assert tab.page.evaluate(canvas) == [SIDE, SIDE]  # as it was before
    assert np.abs(on_white(tab.picture()) - as_shown).mean() < 0.002


def test_a_picture_without_a_background(tab):
    tab.press("b", "x")
    tab.page.select_option("#picture-size", index=0)  # the last choice stays
    _, content = save(tab, picture_back="clear")
    picture, canvas = decode(content), tab.picture()
    assert picture[0, 0, 3] == 0 and picture[..., 3].max() > 0.99
    assert np.abs(picture[..., 3] - canvas[..., 3]).mean() < 0.002
    tab.press("x")
    _, content = save(tab, picture_back="shown")
    np.testing.assert_allclose(decode(content)[0, 0, :3] * 255, [0x14, 0x16, 0x1A], atol=1)


def test_4k(box_tab):
    box_tab.press("x")
    box_tab.page.select_option("#picture-size", index=2)
    _, content = save(box_tab)
    assert decode(content).shape == (3840, 3840, 4)


def expected_frames(tab, count, every, size):
    """[count / every, size, size, 3]: of the same turn, drawn one view after the other."""
    texts = tab.page.evaluate(
        """async ([count, every, size]) => {
          const { stage } = geolrm;
          const start = stage.camera.position.clone();
          const pictures = [];
          await stage.sized({ width: size, height: size }, async () => {
            for (let i = 0; i < count; i += every) {
              stage.orbit(start, (2 * Math.PI * i) / count);
              await geolrm.sorted();
              pictures.push(stage.canvas.toDataURL("image/png"));
            }
          });
          stage.orbit(start, 0);
          return pictures;
        }""",
        [count, every, size],
    )
    return [on_white(decode(base64.b64decode(text.split(",")[1]))) for text in texts]


def test_a_turntable_video_is_even_and_complete(box_tab):
    """30 frames in steps of 12 degrees, a thirtieth of a second each, and all different."""
    av = pytest.importorskip("av")
    pose = box_tab.pose()
    box_tab.press("v")
    assert box_tab.page.is_visible("#video-fields")
    box_tab.page.evaluate("document.querySelector('#video-size').append(new Option('', '320,320'))")
    format_names = box_tab.page.eval_on_selector_all(
        "#video-format option", "all => all.map((o) => o.text)"
    )
    if format_names[0] != "MP4":
        pytest.skip("this Chromium has no H.264 encoder")
    name, content = save(box_tab, video_seconds="1", video_size="320,320", video_format="0")
    assert name == "box.mp4"
    with av.open(io.BytesIO(content)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = list(file.decode(stream))
        assert file.duration == pytest.approx(1e6, rel=0.01)  # microseconds
    times = [float(frame.pts * stream.time_base) for frame in frames]
    np.testing.assert_allclose(times, np.arange(30) / 30, atol=1e-6)
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames]) / 255
    expected = np.stack(expected_frames(box_tab, 30, 5, 320))
    errors = np.abs(pictures[:, None] - expected[None]).mean((2, 3, 4))
    assert (errors.argmin(axis=0) == np.arange(0, 30, 5)).all()
    assert errors.min(axis=0).max() < 0.02  # what H.264 leaves out
    np.testing.assert_allclose(box_tab.pose(), pose, atol=1e-6)
    assert box_tab.page.evaluate("[canvas.width, canvas.height]") == [SIDE, SIDE]


def test_without_an_encoder_the_turn_is_saved_as_frames(browser, box_page):
    tab = Tab(browser, box_page, size=(SIDE, SIDE), before="delete window.VideoEncoder")
    tab.press("v")
    tab.page.wait_for_selector("#saving")
    note = tab.page.inner_text("#saving-note")
    assert note == (
        "This browser cannot encode H.264 video here, so the turn is saved as PNG frames."
    )
    tab.page.evaluate("document.querySelector('#video-size').append(new Option('', '64,64'))")
    name, content = save(tab, video_seconds="1", video_size="64,64")
    assert name == "box.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.namelist() == [f"frame_{index:04}.png" for index in range(30)]
        pictures = [decode(file.read(name)) for name in file.namelist()]
    assert {picture.shape for picture in pictures} == {(64, 64, 4)}
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    assert min(steps) > 0.001
    assert tab.messages == []
    tab.context.close()


def test_a_video_can_be_cancelled(box_tab):
    box_tab.press("v")
    box_tab.page.fill("#video-seconds", "60")
    box_tab.page.click("#saving-go")
    box_tab.page.wait_for_function("() => document.querySelector('#saving-note').textContent")
    assert box_tab.page.inner_text("#saving-note").endswith("of 1,800")
    assert box_tab.page.is_visible("#saving-progress")
    assert box_tab.page.is_disabled("#saving-go")
    box_tab.page.click("#saving-cancel")
    box_tab.page.wait_for_function("() => !geolrm.saving.cancelled && !geolrm.stage.size")
    assert not box_tab.page.is_visible("#saving")
    assert box_tab.page.evaluate("[canvas.width, canvas.height]") == [SIDE, SIDE]
    box_tab.press("v")
    box_tab.page.wait_for_selector("#saving")
    assert box_tab.page.is_enabled("#saving-go")
    close(box_tab)


@pytest.mark.parametrize("given", ["", "0", "61", "-3", "soon", "1e9"])
def test_seconds_that_are_none_are_refused(box_tab, given):
    box_tab.press("v")
    box_tab.page.fill("#video-seconds", given)
    box_tab.press("Enter")
    assert box_tab.page.inner_text("#saving-note") == (
        f"The turn takes “{given}” seconds; it must be a number from 1 to 60."
    )
    assert box_tab.page.get_attribute("#video-seconds", "aria-invalid") == "true"
    close(box_tab)
