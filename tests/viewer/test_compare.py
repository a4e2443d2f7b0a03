"""An input photograph over the splats, at its camera: side by side, or blended."""

import numpy as np
import pytest
from harness.chromium import Tab, on_white
from samples.known_shapes import box_splats

from geolrm import Cameras
from geolrm.engine.views.sheets import to_bytes
from geolrm.viewer import Exhibit, InputViews, write_page

WINDOW = (660, 440)  # pixels of the window, and of the photograph


@pytest.fixture(scope="module")
def box_tab(browser, tmp_path_factory):
    """A photograph that is the splats' own picture, of a camera with its principal point aside."""
    box = box_splats()
    camera = Cameras.from_fov(Cameras.orbit(30, 20, 2.2, 40).c2w[0], 40)
    intrinsics = camera.intrinsics.copy()
    width, height = WINDOW
    intrinsics[0, 1, 1] = intrinsics[0, 0, 0] * width / height  # square pixels
    intrinsics[0, :2, 2] = 0.56, 0.45
    camera = Cameras(camera.c2w, intrinsics)
    image = to_bytes(box.render(camera, (height, width)).rgb[0])
    path = tmp_path_factory.mktemp("box") / "box.html"
    write_page(Exhibit("box", box, InputViews(["a"], camera, [image])), path)
    tab = Tab(browser, path, size=WINDOW)
    tab.press("]")
    yield tab
    assert tab.messages == []
    tab.context.close()


def shown(tab, amount):
    """[H, W, 3]: the window with so much photograph, without the controls."""
    tab.page.evaluate(
        "async (a) => { geolrm.comparison.set(a); await geolrm.settle();"
        "for (const e of document.querySelectorAll('header, nav, footer, #divider'))"
        " e.style.display = 'none'; }",
        amount,
    )
    picture = tab.screenshot()
    tab.page.evaluate(
        "() => { for (const e of document.querySelectorAll('header, nav, footer, #divider'))"
        " e.style.display = ''; }"
    )
    return picture


def test_photograph_and_splats_lie_on_each_other_to_the_pixel(box_tab):
    """A parabola through the differences of moved pictures is least within 0.1 pixels."""
    splats, photograph = shown(box_tab, 0), shown(box_tab, 1)
    assert (splats < 0.9).any(axis=-1).mean() > 0.03
    assert np.abs(photograph - splats).mean() < 0.004
    for axis in (0, 1):
        before, here, after = (
            ((np.roll(photograph, step, axis) - splats) ** 2).mean() for step in (-1, 0, 1)
        )
        assert min(before, after) > 3 * here
        assert abs(before - after) / (2 * (before - 2 * here + after)) < 0.1


def test_left_of_the_divider_is_the_photograph(box_tab):
    splats, photograph, half = shown(box_tab, 0), shown(box_tab, 1), shown(box_tab, 0.5)
    middle = WINDOW[0] // 2
    step = 1.01 / 255  # drawn again, splats may be rounded otherwise
    left, right = slice(0, middle - 1), slice(middle + 1, None)
    np.testing.assert_allclose(half[:, left], photograph[:, left], atol=step)
    np.testing.assert_allclose(half[:, right], splats[:, right], atol=step)
    assert np.abs(photograph - splats)[:, left].max() > 0.02
    assert np.abs(photograph - splats)[:, right].max() > 0.02


def test_the_photograph_fills_what_the_camera_sees(box_tab):
    box_tab.page.evaluate("geolrm.comparison.set(1)")
    box = box_tab.page.evaluate("document.getElementById('image').getBoundingClientRect().toJSON()")
    assert [box[side] for side in ("x", "y", "width", "height")] == [0, 0, 660, 440]


def test_the_divider_is_dragged_by_a_mouse(tab):
    tab.press("]")
    assert tab.page.is_visible("#divider") and tab.page.is_visible("#image")
    pose = tab.pose()
    tab.page.mouse.move(203, 200)  # three pixels beside the line: it must not jump
    tab.page.mouse.down()
    tab.page.mouse.move(103, 180, steps=4)
    tab.page.mouse.up()
    assert tab.page.evaluate("geolrm.comparison.amount") == pytest.approx(0.25, abs=0.003)
    assert tab.page.get_attribute("#divider", "aria-valuenow") == "25"
    np.testing.assert_array_equal(tab.pose(), pose)  # the object does not turn with it
    clip = tab.page.evaluate("document.getElementById('image').style.clipPath")
    assert clip.startswith("inset(0") and "75" in clip


def test_the_divider_is_a_slider_of_the_keyboard(tab):
    tab.press("]")
    pose = tab.pose()
    tab.page.focus("#divider")
    read = "document.getElementById('divider').getAttribute('aria-valuenow')"
    for key, value in (("ArrowRight", "52"), ("ArrowLeft", "50"), ("PageUp", "60"), ("End", "100"),
                       ("Home", "0"), ("ArrowLeft", "0")):  # fmt: skip
        tab.press(key)
        assert tab.page.evaluate(read) == value, key
    assert tab.page.get_attribute("#divider", "aria-valuetext") == "0% photograph"
    assert not tab.page.is_visible("#image")
    np.testing.assert_array_equal(tab.pose(), pose)
    tab.press("f")
    assert tab.page.evaluate(read) == "100"


def test_blend_is_a_mode(tab):
    tab.press("]", "w")
    assert not tab.page.is_visible("#divider")
    assert tab.page.get_attribute("#mode-blend", "aria-pressed") == "true"
    tab.page.fill("#blend", "0.3")
    style = "(() => { const { opacity, clipPath } = image.style; return [opacity, clipPath]; })()"
    assert tab.page.evaluate(style) == ["0.3", "none"]
    tab.press("]")  # the mode and the amount are kept for the next view
    assert tab.page.evaluate(style) == ["0.3", "none"]
    tab.page.click("#mode-wipe")
    assert tab.page.is_visible("#divider")


def test_a_click_stays_at_the_camera_and_a_drag_leaves_it(tab):
    tab.press("]")
    pose = tab.pose()
    tab.page.mouse.click(100, 150)
    np.testing.assert_array_equal(tab.pose(), pose)
    assert tab.page.is_visible("#divider")
    tab.page.mouse.move(100, 150)
    tab.page.mouse.down()
    tab.page.mouse.move(130, 150, steps=5)
    tab.page.mouse.up()
    assert np.abs(tab.pose() - pose).max() > 0.05
    assert not tab.page.is_visible("#divider") and not tab.page.is_visible("#compare")


def test_the_divider_is_dragged_by_touch(browser, lion_page):
    tab = Tab(browser, lion_page, size=(360, 640), has_touch=True, is_mobile=True)
    tab.press("]")
    box = tab.page.evaluate("divider.getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = tab.context.new_cdp_session(tab.page)
    for kind, place in (("touchStart", x), ("touchMove", x - 30), ("touchMove", x - 90)):
        session.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": place, "y": y}]}
        )
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert tab.page.evaluate("geolrm.comparison.amount") == pytest.approx(0.25, abs=0.003)
    assert on_white(tab.picture()).min() < 0.9
    assert tab.messages == []
    tab.context.close()
