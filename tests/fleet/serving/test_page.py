"""The page at / in Chromium: drop, progress, picture, and errors that a person understands."""

import tempfile
from pathlib import Path

import pytest
from harness.chromium import PATIENCE, open_browser
from harness.served import serving
from samples.served_captures import box_files, box_zip

from geolrm.fleet.serving.page import POLICY, page_text

# As if a folder had been dropped: a browser's entries, from bytes in the page.
DROP = """(files) => {
  const file = (path, text) => new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))],
    path.split("/").pop());
  const leaf = (path, text) => ({ name: path.split("/").pop(), isFile: true,
    file: (done) => done(file(path, text)) });
  const folder = (name, entries) => {
    let read = false;
    return { name, isFile: false, createReader: () => ({ readEntries: (done) => {
      done(read ? [] : entries);
      read = true;
    } }) };
  };
  const inner = {};
  const top = [];
  for (const [path, text] of Object.entries(files)) {
    const [first, rest] = path.split("/");
    if (rest) (inner[first] ??= []).push(leaf(path, text));
    else top.push(leaf(path, text));
  }
  const entries = [...top, ...Object.entries(inner).map(([name, list]) => folder(name, list))];
  const event = new Event("drop", { bubbles: true, cancelable: true });
  event.dataTransfer = { items: [{ webkitGetAsEntry: () => folder("box", entries) }] };
  document.getElementById("drop").dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def tab(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 700})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.messages = []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.goto(address)
    yield page
    context.close()


def encoded(files):
    import base64

    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def test_a_dropped_folder_becomes_the_viewer(tab):
    seen = []
    tab.expose_function("noted", lambda text: seen.append(text))
    tab.evaluate("""() => {
      const stage = document.getElementById("stage");
      new MutationObserver(() => noted(stage.textContent)).observe(stage, { childList: true });
    }""")
    tab.evaluate(DROP, encoded(box_files()))
    tab.wait_for_url("**/v1/results/*")
    tab.wait_for_selector("html.ready", state="attached")
    assert tab.inner_text("h1") == "Reconstruction"
    assert "from 3 views in" in tab.inner_text("header")  # as many as the model prefers
    assert seen[0] == "Packing" and seen[-1] == "Opening the result"
    before = {"Packing", "Sending", "Waiting for the turn", "Opening the result"}
    assert {*seen} - before  # which stages are seen is up to their times
    tab.evaluate("geolrm.settle()")
    covered = tab.evaluate("""() => {
      const canvas = document.getElementById("canvas");
      geolrm.stage.draw();
      const copy = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
      const context = copy.getContext("2d");
      context.drawImage(canvas, 0, 0, 64, 64);
      return context.getImageData(0, 0, 64, 64).data.filter((v, i) => i % 4 == 3 && v > 0).length;
    }""")
    assert covered > 40  # splats are seen
    # It runs in an origin of its own: what a name in it could do ends there.
    assert tab.evaluate("origin") == "null"
    assert tab.messages == []


@pytest.mark.long  # on a loaded machine the browser's dialog may take minutes
def test_a_zip_is_chosen_by_keyboard_and_what_is_wrong_is_said(tab):
    choosers = []
    tab.on(
        "filechooser", lambda chooser: choosers.append(chooser)
    )  # before the keys, so that none is lost
    for _ in range(5):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "files":
            break
    assert tab.evaluate("document.activeElement.id") == "files"
    for _ in range(6):  # a key that comes while the browser is busy may open nothing
        tab.keyboard.press("Enter")
        for _ in range(200):
            if choosers:
                break
            tab.wait_for_timeout(100)
        if choosers:
            break
    assert choosers
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "broken <b>.ZIP"
        path.write_bytes(b"no zip")
        choosers[0].set_files(path)
        tab.wait_for_selector("#error:not([hidden])")
    said = tab.inner_text("#error")
    assert said.startswith("the zip file is no zip file that can be read: File is not a zip file")
    assert tab.get_attribute("#error", "role") == "alert"
    assert tab.is_visible("#drop") and not tab.is_visible("#work")


def test_it_fits_a_phone(tab):
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [tab.locator(each).bounding_box() for each in ("label[for=files]", "label[for=folder]")]
    assert all(box["height"] >= 44 for box in boxes)
    assert tab.messages == []


def test_a_token_is_asked_for_and_the_capture_sent_again(engine, browser):
    with serving(engine, "a token of 20 chars.") as address:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.set_input_files("#files", {"name": "a.zip", "mimeType": "", "buffer": box_zip()})
        page.wait_for_selector("#token:visible")
        assert page.inner_text("#error").startswith("this server wants its token")
        page.fill("#token", "a token of 20 chars.")
        page.keyboard.press("Enter")
        page.wait_for_url("**/v1/results/*")
        context.close()


def test_the_page_fetches_nothing_of_others():
    assert "default-src 'none'" in POLICY and "connect-src 'self'" in POLICY
    text = page_text(True)
    assert "{{" not in text and "http" not in text.replace("http-equiv", "")
    assert "or photographs of an object" in text
    assert "or photographs of an object" not in page_text(False)
