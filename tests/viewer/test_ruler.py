"""Distances between points of the splats, against a box whose sides are known."""

import numpy as np
import pytest
from harness.chromium import Tab
from samples.known_shapes import HALF_SIDES

from geolrm import Gaussians
from geolrm.viewer import Exhibit, write_page
from geolrm.viewer.framing import find_home

SIDE = 400
THIN = 0.002  # standard deviation across a face of the box, in units


def solid_box():
    """A box of flat discs that lie in its faces and cover them."""
    step = 0.02
    grids = [np.arange(-half + step / 2, half, step) for half in HALF_SIDES]
    means, scales = [], []
    for axis in range(3):
        others = [grid for index, grid in enumerate(grids) if index != axis]
        plane = np.stack(np.meshgrid(*others, indexing="ij"), -1).reshape(-1, 2)
        for side in (-HALF_SIDES[axis], HALF_SIDES[axis]):
            means.append(np.insert(plane, axis, side, axis=1))
            scales.append(np.insert(np.full_like(plane, 0.014), axis, THIN, axis=1))
    means, scales = np.concatenate(means), np.concatenate(scales)
    count = len(means)
    return Gaussians(
        means=means, opacities=np.full(count, 0.95), scales=scales,
        quats=np.tile([1.0, 0, 0, 0], (count, 1)), colors=np.full((count, 3), 0.5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def box():
    return Exhibit("box", solid_box())


@pytest.fixture(scope="module")
def box_tab(browser, box, tmp_path_factory):
    path = tmp_path_factory.mktemp("box") / "box.html"
    write_page(box, path)
    tab = Tab(browser, path, size=(SIDE, SIDE))
    yield tab
    tab.context.close()


@pytest.fixture
def ruler(box_tab):
    box_tab.page.evaluate("geolrm.reset(); geolrm.ruler.close(); geolrm.ruler.scale = null")
    box_tab.press("m")
    yield box_tab
    assert box_tab.messages == []


def pixel(box, point):
    """Where a point is seen from the first view, in CSS pixels."""
    camera = find_home(box, "z").camera
    x, y, z, _ = np.linalg.inv(camera.c2w[0]) @ [*point, 1]
    u, v, _ = camera.intrinsics[0] @ [x / -z, y / z, 1]
    return SIDE * u, SIDE * v


def near_face(box):
    """Axis and sign of the side face that looks most at the first view."""
    towards = find_home(box, "z").camera.c2w[0, :3, 3]
    axis = int(np.argmax(np.abs(towards[:2]) / HALF_SIDES[:2]))
    return axis, np.sign(towards[axis])


def test_points_lie_on_the_faces(ruler, box):
    """To the thickness of the splats there, over a whole face."""
    axis, sign = near_face(box)
    rng = np.random.default_rng(0)
    for _ in range(20):
        point = rng.uniform(-0.85, 0.85, 3) * HALF_SIDES
        point[axis] = sign * HALF_SIDES[axis]
        found = ruler.page.evaluate(
            "([x, y]) => geolrm.layers.surface(x, y).toArray()", list(pixel(box, point))
        )
        np.testing.assert_allclose(found, point, atol=THIN)


def test_a_known_length_is_measured_by_clicks(ruler, box):
    """Two clicks to the pixel: half a pixel of error each is 0.2 percent of this length."""
    axis, sign = near_face(box)
    other = 1 - axis
    ends = np.zeros((2, 3))
    ends[:, axis] = sign * HALF_SIDES[axis]
    ends[:, other] = -0.25, 0.25
    for end in ends:
        ruler.page.mouse.click(*pixel(box, end))
    distance = ruler.page.evaluate("geolrm.ruler.distance")
    assert distance == pytest.approx(0.5, rel=0.005)
    assert ruler.page.inner_text("#ruler-text").startswith("Distance 0.")
    assert ruler.page.text_content("#lines text") == ruler.page.inner_text("#ruler-text")[9:]
    circles = ruler.page.eval_on_selector_all(
        "#lines circle", "all => all.map((c) => [c.cx, c.cy].map((v) => v.baseVal.value))"
    )
    np.testing.assert_allclose(circles, [pixel(box, end) for end in ends], atol=1)
    ruler.press("ArrowRight")  # they turn with the object
    ruler.page.evaluate("geolrm.settle()")
    moved = ruler.page.evaluate("document.querySelector('#lines circle').cx.baseVal.value")
    assert abs(moved - circles[0][0]) > 3
    assert ruler.page.evaluate("geolrm.ruler.distance") == distance


def test_a_scale_holds_for_all_that_follows(ruler, box):
    axis, sign = near_face(box)

    def measure(ends):
        points = np.zeros((2, 3))
        points[:, axis] = sign * HALF_SIDES[axis]
        points[:, 1 - axis] = ends
        for point in points:
            ruler.page.mouse.click(*pixel(box, point))

    measure([-0.2, 0.2])
    ruler.page.fill("#ruler-length", "12,5")
    ruler.page.select_option("#ruler-unit", "cm")
    ruler.press("Enter")
    assert ruler.page.inner_text("#ruler-text") == "Distance 12.5 cm"
    measure([-0.1, 0.1])
    text = ruler.page.inner_text("#ruler-text")
    number, unit = text.removeprefix("Distance ").split()
    assert unit == "cm" and float(number) == pytest.approx(6.25, rel=0.01)
    note = ruler.page.inner_text("#ruler-note")
    assert float(note.removeprefix("1 unit is ").removesuffix(" cm")) == pytest.approx(
        12.5 / 0.4, rel=0.01
    )


@pytest.mark.parametrize("given", ["", "0", "-2", "long", "1e999"])
def test_a_length_that_is_none_is_refused(ruler, box, given):
    axis, sign = near_face(box)
    for end in (-0.2, 0.2):
        point = np.zeros(3)
        point[axis], point[1 - axis] = sign * HALF_SIDES[axis], end
        ruler.page.mouse.click(*pixel(box, point))
    ruler.page.fill("#ruler-length", given)
    ruler.page.click("#ruler-set")
    assert ruler.page.inner_text("#ruler-note") == (
        f"The length is “{given}”; it must be a number above zero."
    )
    assert ruler.page.get_attribute("#ruler-length", "aria-invalid") == "true"
    assert "units" in ruler.page.inner_text("#ruler-text")


def test_beside_the_object_there_is_no_surface(ruler):
    ruler.page.mouse.click(20, 200)
    assert ruler.page.inner_text("#ruler-note") == "There is no surface."
    assert ruler.page.evaluate("geolrm.ruler.points.length") == 0


def test_keys_alone_measure(ruler):
    ruler.press("Enter")  # at the middle
    assert ruler.page.inner_text("#ruler-text") == "Now a second point."
    pose = ruler.pose()
    ruler.press(*["Shift+ArrowRight"] * 5, "Shift+ArrowUp")
    assert ruler.page.evaluate("geolrm.ruler.aim") == [SIDE / 2 + 30, SIDE / 2 - 6]
    np.testing.assert_array_equal(ruler.pose(), pose)  # it aims and does not turn
    ruler.press("Enter")
    assert ruler.page.evaluate("geolrm.ruler.distance") > 0.05
    ruler.press("Escape")
    ruler.page.evaluate("geolrm.settle()")
    assert not ruler.page.is_visible("#ruler") and not ruler.page.is_visible("#lines")


def test_splats_that_stand_upright_are_measured_in_their_own_frame(browser, tmp_path):
    box = Exhibit("box", solid_box())
    write_page(box, tmp_path / "y.html", up="-y")
    tab = Tab(browser, tmp_path / "y.html", size=(SIDE, SIDE))
    found = tab.page.evaluate("geolrm.layers.surface(200, 200).toArray()")
    on_a_face = np.isclose(np.abs(found), HALF_SIDES, atol=THIN)
    assert on_a_face.any() and (np.abs(found) <= HALF_SIDES + THIN).all()
    assert tab.messages == []
    tab.context.close()


def test_the_measured_line_is_in_a_saved_picture(ruler):
    for x in (180, 230):
        ruler.page.mouse.click(x, 200)
    pixel = ruler.page.evaluate(
        """async () => {
          geolrm.stage.draw();
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 400;
          geolrm.ruler.paint(canvas.getContext("2d"), 1);
          return [...canvas.getContext("2d").getImageData(205, 200, 1, 1).data];
        }"""
    )
    assert pixel[3] == 255 and pixel[0] > pixel[2]  # the accent, an orange


def test_rays_meet_what_a_slow_truth_meets(ruler, rng):
    """The median depth of random splats, written out with matrices in float64."""
    from scipy.spatial.transform import Rotation

    count = 60
    means = rng.uniform(-0.4, 0.4, (count, 3))
    scales = rng.uniform(0.02, 0.2, (count, 3))
    turns = Rotation.random(count, random_state=1)
    opacities = rng.uniform(0.1, 0.9, count)
    origins = rng.normal(0, 1, (50, 3))
    origins *= 2 / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = rng.uniform(-0.3, 0.3, (50, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    splats = [
        [mean.tolist(), scale.tolist(), turn.tolist(), float(opacity)]
        for mean, scale, turn, opacity in zip(
            means, scales, turns.as_quat(), opacities, strict=True
        )
    ]
    found = ruler.page.evaluate(
        """([splats, origins, directions]) => {
          const array = (values) => ({ toArray: (out, at) => out.set(values, at),
            x: values[0], y: values[1], z: values[2] });
          const { Picker } = geolrm.layers;
          const picker = new Picker(splats.length, (call) => splats.forEach(([m, s, q, o]) =>
            call(array(m), array(s), array(q), o)));
          return origins.map((origin, i) => picker.depth(origin, directions[i], 0));
        }""",
        [splats, origins.tolist(), directions.tolist()],
    )
    rotations = turns.as_matrix()
    inverses = rotations / scales[:, None, :] ** 2 @ rotations.transpose(0, 2, 1)
    expected = []
    for origin, direction in zip(origins, directions, strict=True):
        aside = means - origin
        depths = np.einsum("i,nij,nj->n", direction, inverses, aside)
        depths /= np.einsum("i,nij,j->n", direction, inverses, direction)
        off = origin + depths[:, None] * direction - means
        alphas = opacities * np.exp(-0.5 * np.einsum("ni,nij,nj->n", off, inverses, off))
        order = np.argsort(depths)
        order = order[(alphas >= 1 / 255)[order] & (depths > 0)[order]]
        light = np.cumprod(1 - alphas[order])
        hits = order[light <= 0.5]
        expected.append(depths[hits[0]] if len(hits) else None)
    assert sum(depth is None for depth in expected) < 40
    for depth, true in zip(found, expected, strict=True):
        assert (depth is None) == (true is None)
        assert true is None or depth == pytest.approx(true, abs=1e-5)
