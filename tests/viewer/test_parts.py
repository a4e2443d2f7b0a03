"""Splats in parts: what shows most comes first, and is shown before the rest is there."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from harness.chromium import CAPTURE, PATIENCE, Tab, on_white
from samples.gaussians import random_gaussians

from geolrm.engine.gaussians.thinning import importance, keep_largest
from geolrm.viewer import Exhibit, parts, write_page
from geolrm.viewer.page import make_page
from geolrm.viewer.parts import split_by_importance


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "FIRST", 1000)
    monkeypatch.setattr(parts, "LATER", 3000)


def test_every_splat_is_in_one_part_and_the_largest_come_first(monkeypatch):
    monkeypatch.setattr(parts, "FIRST", 10)
    monkeypatch.setattr(parts, "LATER", 15)
    splats = random_gaussians()
    split = split_by_importance(splats)
    assert [len(part) for part in split] == [10, 15, 15, 10]
    np.testing.assert_array_equal(split[0].means, keep_largest(splats, 10).means)
    for before, after in zip(split, split[1:], strict=False):  # noqa: RUF007
        assert importance(before).min() >= importance(after).max()
    together = np.concatenate([part.means for part in split])
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(splats.means, axis=0))


def test_few_splats_are_one_part_as_they_are():
    splats = random_gaussians()
    assert split_by_importance(splats) == [splats]
    assert split_by_importance(splats.select(slice(0, 0))) == []


def test_parts_look_like_the_whole(browser, lion, lion_page, tmp_path, small_parts):
    write_page(lion, tmp_path / "parts.html")
    assert make_page(lion).count('id="splats-') == 4
    tab, whole = (Tab(browser, path) for path in (tmp_path / "parts.html", lion_page))
    assert tab.page.evaluate("geolrm.loaded.map(([count]) => count)")[0] == 1000
    assert tab.page.evaluate("geolrm.layers.count") == 8000
    difference = np.abs(on_white(tab.picture()) - on_white(whole.picture()))
    assert difference.mean() < 0.0005
    rays = """() => [160, 180, 200, 220, 240].flatMap((y) => [160, 180, 200, 220, 240].map((x) =>
      geolrm.layers.surface(x, y)?.toArray() ?? null))"""
    found, true = tab.page.evaluate(rays), whole.page.evaluate(rays)
    assert [point is None for point in found] == [point is None for point in true]
    hits = [pair for pair in zip(found, true, strict=True) if pair[0]]
    assert len(hits) > 5
    np.testing.assert_allclose(*zip(*hits, strict=True), atol=1e-6)
    tab.page.evaluate("geolrm.show('points', true)")
    points = "geolrm.layers.objects.points.geometry.attributes.position.count"
    assert tab.page.evaluate(points) == 8000
    assert not tab.page.query_selector("[id^=splats-]")  # the texts are given back
    assert tab.messages == whole.messages == []
    for opened in (tab, whole):
        opened.context.close()


def test_the_first_part_is_shown_while_the_rest_is_on_its_way(browser, lion, small_parts):
    page = make_page(lion).encode()
    cut = page.index(b'<script type="text/plain" id="splats-2"') + 100  # inside the third
    rest_may_come = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page[:cut])
            self.wfile.flush()
            rest_may_come.wait(120)
            self.wfile.write(page[cut:])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(viewport={"width": 400, "height": 400}, locale="en-US")
    try:
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.goto(f"http://127.0.0.1:{server.server_port}/", wait_until="commit")
        tab.wait_for_selector("html.live")
        tab.wait_for_function("() => geolrm.layers.count === 4000")
        assert not tab.query_selector("html.ready")
        assert tab.inner_text("#status") == "4,000 of 8,000 Gaussians"
        assert tab.evaluate("progress.hidden") is False
        assert tab.evaluate("progress.value") == 0.5
        assert tab.evaluate(CAPTURE) != ""  # the object is drawn and can be turned
        rest_may_come.set()
        tab.wait_for_selector("html.ready")
        assert tab.evaluate("geolrm.layers.count") == 8000
        assert tab.evaluate("progress.hidden") is True
    finally:
        rest_may_come.set()
        context.close()
        server.shutdown()


def test_a_page_that_was_cut_off_says_so(browser, lion, tmp_path, small_parts):
    text = make_page(lion)
    (tmp_path / "cut.html").write_text(text[: text.index('id="splats-2"')], encoding="utf-8")
    tab = Tab(browser, tmp_path / "cut.html", ready=False)
    tab.page.wait_for_selector("html.failed")
    assert tab.page.inner_text("#status") == (
        "Only 4,000 of 8,000 Gaussians could be read: the page is not whole. Save it again."
    )
    tab.page.wait_for_selector("html.live")  # with what there is
    tab.context.close()


def test_a_page_of_no_splats_has_no_parts():
    nothing = random_gaussians().select(slice(0, 0))
    assert '"parts": []' in make_page(Exhibit("nothing", nothing))
