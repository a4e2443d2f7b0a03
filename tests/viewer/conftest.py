"""A real object to show."""

import numpy as np
import pytest
from harness.chromium import Tab, open_browser
from samples.hostile_text import HOSTILE

from geolrm import Engine, load_capture
from geolrm.examples import capture_path
from geolrm.viewer import Exhibit, write_page

SIDE = 400  # CSS pixels of the shared tab
RESET = """() => {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  geolrm.ruler.close();
  geolrm.ruler.scale = null;
  geolrm.comparison.amounts = { wipe: 0.5, blend: 0.5 };
  geolrm.comparison.setMode("wipe");
  geolrm.reset();
  geolrm.setDetails(false);
}"""


@pytest.fixture(scope="session")
def lion():
    """A real, asymmetric object: 8,000 Gaussians of 500 anchors, from 6 views."""
    capture = load_capture(capture_path("lion"))
    used = capture.subset(capture.cameras.spread(6))
    scene = Engine("mini", threads=2).run(used.images, used.cameras, max_tokens=500, refine_steps=0)
    assert len(scene.gaussians) == 8000
    names = [HOSTILE, *used.names[1:]]
    return Exhibit.from_scene(scene, HOSTILE, names)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def lion_page(lion, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "lion & co.html"
    write_page(lion, path)
    return path


@pytest.fixture(scope="module")
def shared_tab(browser, lion_page):
    return Tab(browser, lion_page, size=(SIDE, SIDE))


@pytest.fixture
def tab(shared_tab):
    """The page as it was when it had opened."""
    for name, box in (("splats", True), ("points", False), ("anchors", False),
                      ("cameras", False), ("cube", False)):  # fmt: skip
        shared_tab.page.evaluate("([n, s]) => geolrm.show(n, s)", [name, box])
    shared_tab.page.evaluate(RESET)
    shared_tab.page.evaluate("document.documentElement.removeAttribute('data-background')")
    yield shared_tab
    assert shared_tab.messages == []
