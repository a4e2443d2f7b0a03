"""The text of the page; what it looks like is in test_browser.py."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from samples.gaussians import random_gaussians
from samples.hostile_text import HOSTILE

from geolrm import InputError
from geolrm.engine.formats.splat_files import decode
from geolrm.viewer import UP_AXES, Exhibit, write_page
from geolrm.viewer.framing import find_home
from geolrm.viewer.page import make_page


class Reader(HTMLParser):
    """Elements as a browser sees them, with their text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(self.open)

    def handle_data(self, data):
        if self.open:
            self.open["text"] += data

    def handle_endtag(self, tag):
        self.open = None

    def find(self, **wanted):
        return [e for e in self.elements if all(e.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def page(lion):
    return Reader(make_page(lion))


def test_names_and_captions_are_escaped(page):
    assert [script.get("id") or script["type"] for script in page.find(tag="script")] == [
        "scene", "splats-0", "module",
    ]  # fmt: skip
    assert not page.find(tag="b")
    assert page.find(tag="h1")[0]["text"] == HOSTILE
    scene = json.loads(page.find(id="scene")[0]["text"])
    assert scene["title"] == scene["views"][0]["name"] == HOSTILE


@pytest.mark.parametrize("title", ["", " \n\t"])
def test_a_blank_title_is_no_empty_heading(lion, title):
    page = Reader(make_page(replace(lion, title=title)))
    assert page.find(tag="h1")[0]["text"] == "Gaussians"
    assert json.loads(page.find(id="scene")[0]["text"])["title"] == "Gaussians"


def test_nothing_is_fetched(page):
    for element in page.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            assert element.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") for name in element)
    meta = page.find(**{"http-equiv": "Content-Security-Policy"})[0]["content"]
    rules = dict(rule.split(" ", 1) for rule in meta.split("; "))
    assert rules["default-src"] == "'none'" and "connect-src" not in rules
    assert not re.search(r"https?:|\*|unsafe-inline|unsafe-eval'", meta.replace("wasm-unsafe", ""))
    for rule, kind in (("script-src", {"type": "module"}), ("style-src", {"tag": "style"})):
        digest = hashlib.sha256(page.find(**kind)[0]["text"].encode()).digest()
        assert f"'sha256-{base64.b64encode(digest).decode()}'" in rules[rule].split()


def test_the_splats_in_it_are_those_given(page, lion):
    content = base64.b64decode(page.find(id="splats-0")[0]["text"])
    read = decode(content, ".spz", up="z")
    assert len(read) == len(lion.gaussians) == 8000
    np.testing.assert_allclose(read.means, lion.gaussians.means, atol=1 / 4096)
    np.testing.assert_allclose(read.opacities, lion.gaussians.opacities, atol=1 / 255)


def test_cameras_and_anchors(page, lion):
    scene = json.loads(page.find(id="scene")[0]["text"])
    anchors = np.frombuffer(base64.b64decode(scene["anchors"]), "<f4").reshape(-1, 3)
    np.testing.assert_array_equal(anchors, lion.anchors)
    assert len(scene["views"]) == 6
    for index, view in enumerate(scene["views"]):
        c2w = np.reshape(view["c2w"], (4, 4)).T
        np.testing.assert_allclose(c2w, lion.views.cameras.c2w[index])
        assert view["fx"] == lion.views.cameras.intrinsics[index, 0, 0]
        with Image.open(io.BytesIO(base64.b64decode(view["image"].split(",")[1]))) as image:
            pixels = np.asarray(image.convert("RGB")).astype(float)
        assert np.abs(pixels - lion.views.images[index]).mean() < 4


def test_size_of_the_page(page, lion):
    assert 3.1e6 < len(make_page(lion)) < 3.8e6


@pytest.mark.parametrize("up", UP_AXES)
def test_home_is_upright_and_holds_the_object(lion, up):
    home = find_home(lion, up)
    rotation = UP_AXES[up]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    np.testing.assert_allclose(rotation @ axis, [0, 0, 1], atol=1e-12)
    # In the object's frame: the camera's x is level, its y leans towards `up`.
    c2w = home.camera.c2w[0]
    assert abs(c2w[:3, 0] @ axis) < 1e-9 and c2w[:3, 1] @ axis > 0.9
    alpha = lion.gaussians.render(home.camera, (64, 64)).alpha[0]
    assert alpha.max() > 0.9
    assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) < 0.2


def test_splats_alone(tmp_path):
    size = write_page(Exhibit("random", random_gaussians(sh=4)), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert size == (tmp_path / "a.html").stat().st_size
    scene = json.loads(Reader(text).find(id="scene")[0]["text"])
    assert scene["views"] == [] and scene["anchors"] is None and scene["timings"] == []
    assert scene["caption"] == [["gaussians", {"count": 50}]]
    assert ["fact.harmonics", "value.degree", {"degree": 1}] in scene["facts"]
    assert Reader(text).find(id="caption")[0]["text"] == "50 Gaussians"


def test_an_unknown_axis_is_refused(tmp_path):
    with pytest.raises(InputError, match="up is 'x'; it must be one of z, -z, y, -y"):
        write_page(Exhibit("random", random_gaussians()), tmp_path / "a.html", up="x")
    assert list(tmp_path.iterdir()) == []
