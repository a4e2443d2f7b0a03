"""axe-core finds nothing in any state of the page.

Of npm (``make oracle``); the tests skip without it.
"""

import os
from pathlib import Path

import pytest
from harness.chromium import Tab

AXE = Path(__file__).parents[1] / "oracle" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  const { violations, incomplete, passes } = await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  });
  const node = ({ html, any }) => html.slice(0, 90) + " " + any.map((a) => a.message).join();
  const told = (list) => list.map(({ id, nodes }) => `${id}: ${nodes.map(node).join(" | ")}`);
  const judged = passes.find(({ id }) => id === "color-contrast")?.nodes.length ?? 0;
  return { violations: told(violations), incomplete: told(incomplete), judged };
}"""

HIDE = """(visibility) => {
  for (const element of document.querySelectorAll("#canvas, #poster, #image, #lines, #divider svg"))
    element.style.visibility = visibility;
}"""
STATES = {
    "start": (),
    "details": ("evaluate:geolrm.setDetails(true)",),
    "help": ("?",),
    "at a view": ("]",),
    "blending": ("]", "w"),
    "measuring": ("m",),
    "measured": (
        "m", "Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter",
        "evaluate:geolrm.ruler.setScale()",
    ),
    "saving a picture": ("x",),
    "saving a video": ("v",),
    "saving": ("v", "evaluate:geolrm.saving.setBusy(true)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def axe():
    if not AXE.is_file():
        missing = "needs axe-core: make oracle"
        if os.environ.get("GEOLRM_REQUIRE_ORACLE") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return AXE.read_text(encoding="utf-8")


def check(tab, axe):
    """As it is, and contrasts once more on the plain background: over pictures axe judges none."""
    tab.page.evaluate(axe)
    assert tab.page.evaluate(RUN)["violations"] == []
    tab.page.evaluate(HIDE, "hidden")
    found = tab.page.evaluate(RUN)
    tab.page.evaluate(HIDE, "")
    assert found["violations"] == []
    assert found["judged"] >= 2
    return found["incomplete"]


def stand(tab, steps):
    for step in steps:
        kind, _, script = step.partition(":")
        if kind == "evaluate":
            tab.page.evaluate(script)
        else:
            tab.press(step)
            tab.page.evaluate("geolrm.saving.ready")
    tab.page.evaluate("geolrm.settle()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (360, 640)], ids=["wide", "phone"])
def test_every_state(axe, browser, lion_page, size, scheme):
    tab = Tab(browser, lion_page, size=size, color_scheme=scheme)
    for name, steps in STATES.items():
        tab.page.evaluate(
            """() => {
              for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
              geolrm.saving.setBusy(false);
              geolrm.ruler.close();
              geolrm.comparison.setMode("wipe");
              geolrm.setDetails(false);
              geolrm.reset();
            }"""
        )
        stand(tab, steps)
        try:
            unjudged = [
                line for line in check(tab, axe)
                if "only non-text characters" not in line  # arrows
                and "overlapped by another element" not in line  # the title, by an open panel
            ]  # fmt: skip
            assert unjudged == []
        except AssertionError as error:
            raise AssertionError(f"{name}, {scheme}, {size}") from error
    assert tab.messages == []
    tab.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_where_the_page_is_a_poster(axe, browser, lion_page, scheme):
    no_webgl = """
      const { getContext } = HTMLCanvasElement.prototype;
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.startsWith("webgl") ? null : getContext.call(this, kind, ...rest);
      };"""  # axe itself draws in 2D
    tab = Tab(browser, lion_page, ready=False, before=no_webgl, color_scheme=scheme)
    tab.page.wait_for_selector("html.failed")
    for element in ("canvas", "nav button", "footer"):
        assert not tab.page.is_visible(element)  # nothing that does nothing
    check(tab, axe)
    tab.context.close()


def test_in_german(axe, browser, lion_page):
    tab = Tab(browser, lion_page, size=(360, 640), locale="de-DE")
    for steps in (("]",), ("m", "Enter"), ("Escape", "v")):
        stand(tab, steps)
        check(tab, axe)
    assert tab.page.get_attribute("html", "lang") == "de"
    tab.context.close()


def test_axe_would_find_something(axe, tab):
    """A button without a name, and faint text."""
    tab.page.evaluate(axe)
    tab.page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', "
        "'<p id=faint>faint</p><button id=empty></button>');"
        "document.querySelector('#canvas').style.visibility = 'hidden';"
        "document.querySelector('#faint').style.cssText = 'position: fixed; color: #ddd'"
    )
    found = tab.page.evaluate(RUN)["violations"]
    tab.page.evaluate("faint.remove(); empty.remove(); canvas.style.visibility = ''")
    assert {line.split(":")[0] for line in found} >= {"button-name", "color-contrast"}
