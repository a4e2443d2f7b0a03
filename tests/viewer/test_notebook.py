"""What notebooks show: a frame with the whole page, or a picture of it."""

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from harness.chromium import CAPTURE, PATIENCE, decode, open_browser
from PIL import Image
from samples.gaussians import random_gaussians
from samples.known_shapes import box_splats

from geolrm import Engine, load_capture
from geolrm.examples import capture_path
from geolrm.viewer import Exhibit, notebook
from geolrm.viewer.page import make_page


class Shown(HTMLParser):
    """The elements, with their attributes as a browser unescapes them."""

    def __init__(self, text):
        super().__init__()
        self.found = {}
        self.feed(text)
        assert list(self.found) == ["div", "img", "iframe"]
        self.frame, self.picture = self.found["iframe"], self.found["img"]

    def handle_starttag(self, tag, attrs):
        assert tag not in self.found
        self.found[tag] = dict(attrs)


@pytest.fixture(scope="module")
def red_box():
    splats = box_splats()
    return replace(splats, colors=np.tile([[1.0, 0, 0]], (len(splats), 1)))


@pytest.fixture(scope="module")
def scene():
    capture = load_capture(capture_path("lion"))
    used = capture.subset(capture.cameras.spread(3))
    return Engine("mini", threads=2).run(used.images, used.cameras, max_tokens=50, refine_steps=0)


def test_the_frame_holds_the_page_and_allows_its_script_and_saving_alone():
    splats = random_gaussians()
    frame = Shown(notebook.make_html(splats)).frame
    assert frame["srcdoc"] == make_page(Exhibit("Gaussians", splats))
    assert frame["sandbox"] == "allow-scripts allow-downloads"
    assert frame["title"] == "Gaussians"
    assert "src" not in frame


def test_the_picture_is_what_the_page_opens_with(red_box):
    content = notebook.make_picture(red_box)
    # What is left of the HTML where frames are taken out of it.
    source = Shown(notebook.make_html(red_box)).picture["src"]
    assert source == "data:image/png;base64," + base64.b64encode(content).decode()
    picture = np.asarray(Image.open(io.BytesIO(content)))
    assert picture.shape == (768, 768, 4)
    seen = picture[picture[..., 3] > 128]
    assert 0.02 < len(seen) / 768**2 < 0.8
    assert seen[:, 0].mean() > 200 > 60 > seen[:, 1:3].mean()


def test_a_scene_shows_its_cameras_and_anchors(scene):
    page = Shown(scene._repr_html_()).frame["srcdoc"]
    assert '"name": "view 0"' in page and "Anchors" in page and "3 views" in page
    assert scene._repr_png_() == notebook.make_picture(scene)


def test_many_splats_are_thinned_and_it_says_so(monkeypatch):
    monkeypatch.setattr(notebook, "MOST_SPLATS", 20)
    frame = Shown(notebook.make_html(random_gaussians())).frame
    assert frame["title"] == "Gaussians: 20 of 50"
    assert '"count": 20' in frame["srcdoc"]


def test_a_browser_draws_the_page_within_its_frame(red_box):
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 500, "height": 620})
        page.set_default_timeout(PATIENCE)
        messages = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.set_content(notebook.make_html(red_box))
        inner = page.frames[1]
        inner.wait_for_selector("html.ready")
        picture = decode(base64.b64decode(inner.evaluate(CAPTURE).split(",", 1)[1]))
        page.close()
    # The page offers a button to the keyboard, which frames of other origins may not.
    assert [text for text in messages if "autofocusing" not in text] == []
    seen = picture[picture[..., 3] > 0.5]
    assert 0.02 < len(seen) / picture[..., 3].size < 0.8
    np.testing.assert_allclose(seen[:, :3].mean(axis=0), [1, 0, 0], atol=0.1)
