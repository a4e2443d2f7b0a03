"""What the page looks like in a browser, and what it does there."""

import numpy as np
import pytest
from harness.chromium import Tab, on_white
from harness.processes import call_here
from samples.hostile_text import HOSTILE
from samples.known_shapes import box_splats

from geolrm import Cameras, Gaussians
from geolrm.engine.formats.orientation import from_object_frame
from geolrm.viewer import Exhibit, write_page
from geolrm.viewer.framing import FOV, find_home

SIDE = 400
CLOSE = 0.004  # mean difference of colours in [0, 1] that quantised splats may have


def draw(gaussians, c2w, fov=FOV, side=SIDE):
    """[S, S, 3] on white by the project's own rasterizer."""
    return gaussians.render(Cameras.from_fov(c2w, fov), (side, side)).rgb[0]


def difference(picture, expected):
    return np.abs(on_white(picture) - expected).mean()


def test_it_opens_without_a_network_or_a_word(tab):
    assert tab.messages == []
    assert len(tab.requests) >= 2
    assert {url.split(":")[0] for url in tab.requests} == {"file", "blob"}
    assert [url for url in tab.requests if url.startswith("file:")] == [tab.page.url]


def test_the_object_is_there_upright_and_in_its_colours(tab, lion):
    picture = tab.picture()
    home = find_home(lion, "z").camera
    expected = lion.gaussians.render(home, (SIDE, SIDE))
    seen, true = picture[..., 3] > 0.5, expected.alpha[0] > 0.5
    assert 0.05 < true.mean() < 0.6
    assert (seen & true).sum() / (seen | true).sum() > 0.97
    assert difference(picture, expected.rgb[0]) < CLOSE
    upside_down = difference(picture[::-1], expected.rgb[0])
    mirrored = difference(picture[:, ::-1], expected.rgb[0])
    assert min(upside_down, mirrored) > 3 * CLOSE  # the bound above tells them apart


@pytest.mark.parametrize(
    ("keys", "turned"), [(["ArrowRight"] * 6, (45, 0)), (["ArrowUp"] * 2, (0, -15))]
)
def test_keys_turn_it(tab, lion, keys, turned):
    before, start = tab.picture(), tab.pose()
    tab.press(*keys)
    after, pose = tab.picture(), tab.pose()
    assert np.abs(on_white(before) - on_white(after)).mean() > 0.015
    backward = np.stack([start[:3, 2], pose[:3, 2]])
    azimuths = np.rad2deg(np.arctan2(backward[:, 1], backward[:, 0]))
    elevations = np.rad2deg(np.arcsin(backward[:, 2]))
    change = abs((azimuths[0] - azimuths[1] + 180) % 360 - 180), elevations[1] - elevations[0]
    np.testing.assert_allclose(change, turned, atol=0.1)
    assert difference(after, draw(lion.gaussians, pose)) < CLOSE


def test_mouse_turns_and_zooms(tab, lion):
    start = tab.pose()
    tab.page.mouse.move(150, 200)
    tab.page.mouse.down()
    tab.page.mouse.move(230, 180, steps=3)
    tab.page.mouse.up()
    dragged = tab.pose()
    assert np.abs(dragged - start).max() > 0.2
    tab.page.mouse.wheel(0, -240)
    tab.page.wait_for_function(
        "d => geolrm.stage.controls.getDistance() < d",
        arg=0.95 * np.linalg.norm(dragged[:3, 3] - find_home(lion, "z").target),
    )
    assert difference(tab.picture(), draw(lion.gaussians, tab.pose())) < CLOSE


def test_layers_are_shown_and_hidden(tab, lion):
    tab.page.click("#toggle-details")
    assert (tab.picture()[..., 3] > 0.5).mean() > 0.05
    tab.page.click("label:has(#layer-splats)")
    assert tab.picture()[..., 3].max() == 0

    def covered():
        picture = tab.picture()
        mask = picture[..., 3] > 0.5
        return mask.sum(), picture[mask][:, :3].mean(axis=0)

    tab.page.check("#layer-points")
    count, color = covered()
    assert count > 2000
    expected = lion.gaussians.colors.mean(axis=0)
    assert np.abs(color - expected).max() < 0.15
    tab.page.uncheck("#layer-points")
    tab.press("a")
    count, color = covered()
    assert 500 < count < 5000
    np.testing.assert_allclose(color, np.array([0xE0, 0x82, 0x2F]) / 255, atol=0.01)
    tab.press("a", "u")
    assert 300 < covered()[0] < 8000  # thin lines
    tab.press("u")
    assert tab.picture()[..., 3].max() == 0
    tab.press("c")
    count, color = covered()
    assert count > 300
    assert color.min() > 0.5  # mostly the white of the input images


def test_cameras_stand_where_the_input_views_were_taken(tab, lion):
    """From an input camera, the splats look like its image, which also lies over them."""
    index = 2
    tab.page.click(f"#strip button:nth-child({index + 1})")
    picture, pose = on_white(tab.picture()), tab.pose()
    np.testing.assert_allclose(pose, lion.views.cameras.c2w[index], atol=1e-5)
    expected = lion.gaussians.render(lion.views.cameras[[index]], (SIDE, SIDE)).rgb[0]
    assert np.abs(picture - expected).mean() < CLOSE
    tab.press("f")
    blended = tab.screenshot()
    inner = slice(SIDE // 4, 3 * SIDE // 4)  # clear of the controls
    assert np.abs(blended[inner, inner] - picture[inner, inner]).mean() < 0.1
    assert np.abs(blended[inner, inner] - 1).mean() > 0.1
    tab.press("]")
    assert tab.page.evaluate("geolrm.chosen") == index + 1
    tab.press("[", "[")
    assert tab.page.evaluate("geolrm.chosen") == index - 1
    tab.press("ArrowLeft")
    assert tab.page.evaluate("geolrm.chosen") == -1
    assert not tab.page.is_visible("#compare")


def test_cameras_come_into_view_when_they_are_shown(tab, lion):
    start = tab.pose()
    tab.press("c")
    pose = tab.pose()
    np.testing.assert_allclose(pose[:3, :3], start[:3, :3], atol=1e-6)  # back, not round
    eyes = lion.views.cameras.c2w[:, :3, 3]
    x, y, z = ((eyes - pose[:3, 3]) @ pose[:3, :3] * (1, 1, -1)).T
    half = np.tan(np.deg2rad(FOV / 2)) * z
    assert (z > 0).all() and max(np.abs(x / half).max(), np.abs(y / half).max()) <= 0.91
    tab.press("c", "c")
    np.testing.assert_allclose(tab.pose(), pose, atol=1e-6)  # they are there already


def test_thumbnails_show_the_object_large(tab, lion):
    """Cropped to the ball around the object, as its projection says, and nothing of it is cut."""
    home = find_home(lion, "z")
    radius = np.linalg.norm(home.position - home.target) * np.sin(np.deg2rad(FOV / 2))
    boxes = tab.page.evaluate(
        """() => [...document.querySelectorAll("#strip img")].map((img) =>
          ["left", "top", "width", "height"].map((side) => parseFloat(img.style[side]) / 100))"""
    )
    for index, (left, top, width, height) in enumerate(boxes):
        camera = lion.views.cameras[[index]]
        middle = np.linalg.inv(camera.c2w[0]) @ [*home.target, 1]
        expected = -middle[2] / radius / camera.intrinsics[0, 0, 0] / 2
        assert width == pytest.approx(expected, rel=1e-4) and width > 1
        alpha = lion.gaussians.render(camera, (256, 256)).alpha[0] > 0.5
        rows, columns = np.nonzero(alpha)
        for low, size, places in ((left, width, columns), (top, height, rows)):
            assert low + size * places.min() / 256 > 0 and low + size * places.max() / 256 < 1


def test_a_click_on_a_camera_goes_there(tab, lion):
    tab.press("c")
    tab.page.evaluate("geolrm.settle()")
    where = tab.page.evaluate(
        """() => {
          const { layers, stage } = geolrm;
          const size = stage.canvas.clientWidth;
          for (let y = 60; y < size - 120; y += 3)
            for (let x = 5; x < size - 5; x += 3)
              if (layers.pick(x, y) >= 0) return { x, y, index: layers.pick(x, y) };
        }"""
    )
    tab.page.mouse.click(where["x"] + 1, where["y"] + 1)
    assert tab.page.evaluate("geolrm.chosen") == where["index"]


def test_background(tab):
    corner = (slice(300, 320), slice(5, 25))
    assert tab.screenshot()[corner].min() > 0.98
    tab.page.click("#shade")
    dark = tab.screenshot()
    assert dark[corner].max() < 0.12
    assert dark[120:280, 120:280].max() > 0.3  # the object keeps its colours
    tab.press("b")
    assert tab.screenshot()[corner].min() > 0.98


def test_it_draws_only_when_something_changes(tab):
    tab.picture()
    tab.page.wait_for_timeout(200)
    frames = tab.page.evaluate("geolrm.stage.frames")
    tab.page.wait_for_timeout(400)
    assert tab.page.evaluate("geolrm.stage.frames") == frames
    tab.press("t")
    tab.page.wait_for_function("n => geolrm.stage.frames > n + 2", arg=frames)
    assert tab.page.get_attribute("#turn", "aria-pressed") == "true"
    tab.press("t")
    assert tab.page.get_attribute("#turn", "aria-pressed") == "false"


def test_hostile_names_are_text(tab, lion):
    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.inner_text("h1") == HOSTILE
    assert tab.page.title() == f"{HOSTILE} · geolrm"
    label = tab.page.get_attribute("#strip button:first-child", "aria-label")
    assert label == f"Input view 1 of 6: {HOSTILE}"


def test_statistics(tab, lion):
    tab.page.click("#toggle-details")
    facts = tab.page.inner_text("#facts").split("\n")
    assert facts[:2] == ["Gaussians", "8,000"]
    low, high = lion.gaussians.means[:, 2].min(), lion.gaussians.means[:, 2].max()
    assert facts[facts.index("z") + 1] == f"{low:.3f} to {high:.3f}".replace("-", "\u2212")
    assert facts[facts.index("Anchors") + 1] == "500"
    assert facts[facts.index("Input views") + 1] == "6"
    timings = tab.page.inner_text("#timings").split("\n")
    assert timings[-2:] == ["total", f"{lion.timings['total']:.3f}"]


def test_keyboard_and_screen_readers(tab):
    unnamed = tab.page.evaluate(
        """() => [...document.querySelectorAll("button, input, canvas, img, nav, aside, dialog")]
          .filter((e) => !(e.ariaLabel || e.alt !== undefined || e.labels?.length ||
                           e.textContent.trim() || e.getAttribute("aria-labelledby")))
          .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    tab.press("?")
    assert tab.page.is_visible("#help")
    assert "previous, next input view" in tab.page.inner_text("#help")
    tab.press("Escape")
    assert not tab.page.is_visible("#help")
    tab.press("p")
    assert tab.page.inner_text("#status") == "Centres shown"
    tab.page.focus("#home")
    focused = []
    for _ in range(3):
        tab.press("Tab")
        focused.append(tab.page.evaluate("document.activeElement.id"))
    assert focused == ["turn", "measure", "shade"]


def test_the_poster_is_seen_before_any_script_runs(browser, lion, lion_page):
    tab = Tab(browser, lion_page, size=(SIDE, SIDE), ready=False, java_script_enabled=False)
    home = find_home(lion, "z").camera
    expected = lion.gaussians.render(home, (SIDE, SIDE)).rgb[0]
    inner = slice(150, 290)  # clear of the texts
    poster = tab.screenshot()[inner, inner]
    assert np.abs(poster - expected[inner, inner]).mean() < 0.02
    assert "This page needs JavaScript to turn the object" in tab.page.inner_text("header")
    tab.context.close()


def test_without_webgl_the_poster_stays(browser, lion_page):
    no_webgl = "HTMLCanvasElement.prototype.getContext = () => null"
    tab = Tab(browser, lion_page, ready=False, before=no_webgl)
    tab.page.wait_for_selector("html.failed")
    assert "so this is a still image" in tab.page.inner_text("#status")
    assert tab.page.is_visible("#poster")
    tab.context.close()


def test_a_phone(browser, lion_page):
    tab = Tab(browser, lion_page, size=(360, 640), has_touch=True, is_mobile=True)
    assert not tab.page.is_visible("#details")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    sizes = tab.page.evaluate(
        "[...document.querySelectorAll('.bar button')].map((b) => b.getBoundingClientRect().width)"
    )
    assert min(sizes) >= 44
    tab.page.tap("#toggle-details")
    assert tab.page.is_visible("#details")
    tab.page.tap("label:has(#layer-splats)")
    assert tab.picture()[..., 3].max() == 0
    assert tab.messages == []
    tab.context.close()


def test_y_up_splats_with_harmonics_stand_upright(browser, tmp_path, rng):
    box = box_splats()
    sh = rng.normal(0, 0.15, (len(box), 16, 3)).astype(np.float32)
    sh[:] = sh[:1]  # one pattern over directions, so that its orientation shows
    sh[:, 0] = (box.colors - 0.5) / 0.28209479177387814
    upright = Gaussians(box.means, box.opacities, box.scales, box.quats, sh=sh)
    lying = from_object_frame(upright, "y")
    write_page(Exhibit("box", lying), tmp_path / "y.html", up="y")
    tab = Tab(browser, tmp_path / "y.html", size=(SIDE, SIDE))
    picture = tab.picture()
    assert difference(picture, draw(upright, tab.pose())) < 0.012  # SPZ keeps 4 or 5 bits of sh
    assert difference(picture, draw(box, tab.pose())) > 0.018  # without harmonics it differs
    assert not tab.page.query_selector("#strip")
    assert not tab.page.query_selector("#layer-cameras")
    assert tab.messages == []
    tab.context.close()


def test_a_converted_file_of_a_real_object_stands_upright(browser, lion, tmp_path):
    """In the file y is up, by the format's definition; the page stands it up again."""
    lion.gaussians.save(tmp_path / "lion.ply")
    done = call_here("geolrm", "convert", tmp_path / "lion.ply", tmp_path / "lion.spz")
    assert done.returncode == 0, done.stderr
    stored = Gaussians.load(tmp_path / "lion.spz", up="z").means
    np.testing.assert_allclose(stored[:, 1], lion.gaussians.means[:, 2], atol=2e-4)
    done = call_here("geolrm", "view", tmp_path / "lion.spz", "-o", tmp_path / "a.html")
    assert done.returncode == 0, done.stderr
    tab = Tab(browser, tmp_path / "a.html", size=(SIDE, SIDE))
    assert difference(tab.picture(), draw(lion.gaussians, tab.pose())) < CLOSE
    tab.context.close()


def test_no_splats_at_all(browser, tmp_path):
    nothing = Gaussians(*(np.zeros((0, *s), np.float32) for s in ((3,), (), (3,), (4,))),
                        colors=np.zeros((0, 3), np.float32))  # fmt: skip
    write_page(Exhibit("nothing", nothing), tmp_path / "n.html")
    tab = Tab(browser, tmp_path / "n.html")
    assert "0 Gaussians" in tab.page.inner_text("header")
    assert tab.page.inner_text("#notice") == "There are no Gaussians to show."
    assert tab.picture()[..., 3].max() == 0
    assert tab.messages == []
    tab.context.close()
