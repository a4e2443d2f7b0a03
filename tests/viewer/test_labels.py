"""Every text of the page stands in one table, in two languages."""

import json
import re
from pathlib import Path

import pytest
from harness.chromium import Tab

from geolrm import InputError
from geolrm.viewer import Exhibit, labels, write_page
from geolrm.viewer.labels import LANGUAGES, label

SOURCES = Path(__file__).parents[2] / "viewer" / "src"
TABLE = json.loads(labels.FILE.read_text(encoding="utf-8"))
PLACE = r"\{\w+(?::\d)?\}"
TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    if (!walker.currentNode.parentElement.closest("script, noscript, h1"))
      found.push(walker.currentNode.data);
  }
  for (const element of document.querySelectorAll("*")) {
    for (const name of ["aria-label", "title", "alt", "placeholder", "aria-roledescription",
                        "aria-valuetext"])
      found.push(element.getAttribute(name) ?? "");
  }
  return found.map((text) => text.trim()).filter(Boolean);
}"""


def test_the_tables_have_the_same_names_and_places():
    assert set(TABLE) == set(LANGUAGES)
    english, german = TABLE["en"], TABLE["de"]
    assert list(english) == list(german)
    for name, text in english.items():
        assert sorted(re.findall(PLACE, text)) == sorted(re.findall(PLACE, german[name])), name
        assert text.strip() == text and text and german[name].strip() == german[name]


def test_every_name_is_used_and_every_used_name_is_there():
    """A name is used where it stands in quotes, whole or up to the dot before a value."""
    sources = [path for path in SOURCES.iterdir() if path.suffix in (".js", ".html")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    text += (Path(labels.__file__).parent / "page.py").read_text(encoding="utf-8")
    for name in TABLE["en"]:
        stem = name.removesuffix(".one")
        start = stem.rsplit(".", 1)[0] + "."
        whole = re.search(rf"""["'{{ ]{re.escape(stem)}["'}} ]""", text)
        assert whole or re.search(rf"[`\"]{re.escape(start)}[$]?{{", text), name
    for name in re.findall(r'\btext\("([\w.]+)"', text) + re.findall(r'data-\w+="([\w.]+)"', text):
        assert name in TABLE["en"] or re.fullmatch(r"[A-Z0-9?]", name), name


def test_no_text_stands_in_the_page_outside_the_table():
    page = (SOURCES / "page.html").read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>|\{\{\w+\}\}", "", page[page.index("<body>") :])
    texts = {text.strip() for text in re.sub(r"<[^>]*>", "\n", body).split("\n")} - {""}
    assert texts == {"mm", "cm", "m", "in", "ft"}  # symbols of units, the same in both
    assert re.findall(r'\s(?:aria-label|title|placeholder|alt)="([^"]+)"', body) == [", "]


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.js")), ids=lambda path: path.name)
def test_no_text_stands_in_the_script_outside_the_table(path):
    """No two words in a row in quotes, but in what is thrown at programmers."""
    code = re.sub(r"^\s*//.*$| // .*$", "", path.read_text(encoding="utf-8"), flags=re.M)
    code = re.sub(r"new Error\([^)]*\)", "", code)
    literals = re.findall(r'"([^"\n]*)"', code)
    words = [text for text in literals if re.search(r"[A-Za-z]{2,} [a-z]{2,}", text)]
    assert [text for text in words if not re.search(r"[:>\[.#]|inline", text)] == []


def test_python_and_the_script_write_the_same(browser, lion_page):
    tab = Tab(browser, lion_page)
    values = {
        "gaussians": {"count": 1},
        "inSeconds": {"seconds": 1234.5},
        "value.range": {"low": -0.5, "high": 1.25},
    }
    for language in LANGUAGES:
        for name, given in values.items():
            shown = tab.page.evaluate(
                "([language, name, values]) => geolrm.textIn(language, name, values)",
                [language, name, given],
            )
            assert shown == label(language, name, **given)
    assert label("en", "gaussians", count=1) == "1 Gaussian"
    assert label("de", "inSeconds", seconds=1234.5) == "in 1.234,50 s"
    tab.context.close()


@pytest.mark.parametrize(
    ("locale", "query", "language"),
    [
        ("de-AT", "", "de"),
        ("en-GB", "?lang=de", "de"),
        ("de-DE", "?lang=en", "en"),
        ("fr-FR", "", "en"),
        ("en-US", "?lang=xx", "en"),
        ("en-US", "?lang=constructor", "en"),
    ],
)
def test_the_language_is_that_asked_for_or_the_browsers(
    browser, lion_page, locale, query, language
):
    tab = Tab(browser, lion_page, locale=locale, query=query)
    assert tab.page.get_attribute("html", "lang") == language
    assert tab.page.get_attribute("#home", "aria-label") == TABLE[language]["home"]
    tab.context.close()


def test_a_german_page_has_no_english(browser, lion, tmp_path):
    write_page(lion, tmp_path / "de.html", language="de")
    html = (tmp_path / "de.html").read_text(encoding="utf-8")
    assert '<html lang="de">' in html and "8.000 Splats aus 6 Ansichten" in html
    tab = Tab(browser, tmp_path / "de.html", locale="en-US")
    tab.press("]", "m", "x")
    tab.page.wait_for_selector("#saving")
    shown = set(tab.page.evaluate(TEXTS))
    english = set(TABLE["en"].values()) - set(TABLE["de"].values())
    assert shown & english == set()
    assert {"Messen", "Bild oder Video", "Trennlinie zwischen Foto und Splats"} <= shown
    assert tab.messages == []
    tab.context.close()


def test_an_unknown_language_is_refused(tmp_path, lion):
    with pytest.raises(InputError, match="the language of the page is 'fr'; it must be one of en"):
        write_page(Exhibit("a", lion.gaussians), tmp_path / "a.html", language="fr")
    assert list(tmp_path.iterdir()) == []
