"""Every path and every link in the documents leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "examples/*.md", "viewer/*.md", ".github/**/*.md")
PAGES = sorted({str(page.relative_to(ROOT)) for glob in PATTERNS for page in ROOT.glob(glob)})

FENCE = re.compile(r"^```.*?^```", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
BRACES = re.compile(r"\{([^{}]+)\}")

PLACEHOLDER = "NAME"  # what a recipe adds: `engine/formats/NAME.py`
SOURCE = re.compile(r"\w+\.(pyi?|h|inl|cpp|cuh?)")
MADE = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
TOP = {path.name for path in ROOT.iterdir()} - MADE - {".git"}


def prose(page):
    return FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def expanded(path):
    """``a/{b,c}.py`` as ``a/b.py`` and ``a/c.py``."""
    found = BRACES.search(path)
    if found is None:
        return [path]
    head, tail = path[: found.start()], path[found.end() :]
    return [p for choice in found[1].split(",") for p in expanded(f"{head}{choice}{tail}")]


def paths_in(text):
    """Paths from the root, and names of sources, in the code spans of a text."""
    for span in SPAN.findall(text):
        for word in re.split(r"[ ,;:=]+(?![^{]*\})", span):
            path = word.strip("'\"()[]")
            first, slash, _ = path.partition("/")
            if PLACEHOLDER not in path and (first in TOP if slash else SOURCE.fullmatch(path)):
                yield from expanded(path)


def exists(path):
    if "/" not in path:
        return any(any((ROOT / top).rglob(path)) for top in TOP)
    return any(ROOT.glob(path.rstrip("/")))


def anchors(page):
    """As GitHub makes them of the headings."""
    titles = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_a_code_span_exists(page):
    missing = sorted({path for path in paths_in(prose(page)) if not exists(path)})
    assert not missing, f"{page} names what is not there: {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_resolves(page):
    for link in LINK.findall(prose(page)):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page} links to {link}: no such heading"


def test_paths_are_found_and_missed():
    text = "`engine/{engine,none}.py`, `python tests/docs/none.py`, `none.cu`, `engine/NAME.py`"
    assert list(paths_in(text)) == [
        "engine/engine.py", "engine/none.py", "tests/docs/none.py", "none.cu",
    ]  # fmt: skip
    assert exists("engine/engine.py") and exists("engine/") and exists("csrc/*/*.h")
    assert exists("test_links.py") and not exists("none.cu") and not exists("engine/none.py")
