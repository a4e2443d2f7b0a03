"""A headless Chromium that draws WebGL in software, for tests that look at pixels."""

import base64
import contextlib
import importlib.util
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 120_000  # milliseconds; software rendering on a busy machine is slow
SECOND_TRY = 5_000  # milliseconds until a picture that could not be taken is asked for again
CAPTURE = """async () => {
  await geolrm.settle();
  geolrm.stage.draw();
  return document.getElementById("canvas").toDataURL("image/png");
}"""


def find_chromium():
    """Path of the browser; without one the test is skipped, or fails where one is required."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    missing = None
    if path is None:
        missing = "needs Chromium: apt-get install chromium"
    elif importlib.util.find_spec("playwright") is None:
        missing = "needs playwright: pip install 'geolrm[test]'"
    if missing and os.environ.get("GEOLRM_REQUIRE_CHROMIUM") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return path


@contextlib.contextmanager
def open_browser():
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page with what it said and what it asked for."""

    def __init__(
        self, browser, path, *, size=(400, 400), ready=True, before=None, query="", **options
    ):
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", offline=True,
            **{"color_scheme": "light", "locale": "en-US", **options},
        )  # fmt: skip
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.messages, self.requests = [], []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        if before:
            self.page.add_init_script(before)
        self.page.goto(path.as_uri() + query)
        if ready:
            self.page.wait_for_selector("html.ready")

    def picture(self):
        """[H, W, 4] in [0, 1], straight alpha: the canvas alone, once it has settled."""
        text = self.page.evaluate(CAPTURE).split(",", 1)[1]
        return decode(base64.b64decode(text))

    def screenshot(self):
        """[H, W, 3] in [0, 1]: all that a person sees."""
        from playwright.sync_api import Error

        try:
            content = self.page.screenshot()
        except Error as error:
            # A busy machine's browser may have no frame to give yet; it says so at once.
            if "Unable to capture screenshot" not in str(error):
                raise
            self.page.wait_for_timeout(SECOND_TRY)
            content = self.page.screenshot()
        return decode(content)[..., :3]

    def pose(self):
        """[4, 4] OpenGL camera-to-world, in the displayed frame."""
        self.page.evaluate("geolrm.settle()")
        elements = self.page.evaluate("geolrm.stage.camera.matrixWorld.elements")
        return np.array(elements).reshape(4, 4).T

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)


def decode(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGBA")).astype(float) / 255


def on_white(picture):
    return picture[..., :3] * picture[..., 3:] + 1 - picture[..., 3:]
