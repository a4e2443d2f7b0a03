"""Every object that the bundled weights were trained on is named, with its source and licence."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "model-card-objects.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.M)
LICENCES = {
    "CC-BY-4.0": "CC BY 4.0", "CC-BY-3.0-US": "CC BY 3.0 US", "CC-BY-3.0": "CC BY 3.0",
    "CC0-1.0": "CC0", "MIT": "MIT", "MIT-0": "MIT-0", "BSD-3-Clause": "BSD-3-Clause",
    "Apache-2.0": "Apache-2.0",
}  # fmt: skip


def scans(section):
    """Of each source the number that it states, and the names that follow."""
    lists = re.findall(r"^From \S+, commit \w+ \((\d+)\):\n\n((?:.+\n)+)", section, re.M)
    return [(int(count), re.split(r",\s+", names.strip().rstrip("."))) for count, names in lists]


def rows(section):
    """Names and authors of a table's objects."""
    found = re.findall(r"^\| (\S+) \| (.*) \|$", section, re.M)
    return [row for row in found if row[0] != "object"]


SCANS = [name for _, section in SECTIONS for _, names in scans(section) for name in names]
OTHERS = [name for _, section in SECTIONS for name, _ in rows(section)]


def test_the_page_names_as_many_objects_as_it_says():
    said = re.search(r"trained on (\d+) scans and on (\d+) objects", PAGE)
    assert said and (len(SCANS), len(OTHERS)) == tuple(map(int, said.groups()))
    assert len({*SCANS, *OTHERS}) == len(SCANS) + len(OTHERS)


@pytest.mark.parametrize(("title", "section"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_every_section_has_source_licence_and_authors(title, section):
    assert LICENCES[title.rsplit(", ", 1)[1]] in CARD
    assert re.search(r"^From \S+", section, re.M)
    for count, names in scans(section):
        assert len(names) == count and all(re.fullmatch(r"[\w-]+", name) for name in names)
    assert all(author.strip() for _, author in rows(section))
    assert scans(section) or rows(section)


@pytest.mark.parametrize(
    ("title", "pattern"),
    [
        ("Google Scanned Objects, CC-BY-4.0", r"(\d+) of Google Scanned Objects"),
        ("YCB Object and Model Set, CC-BY-4.0", r"(\d+) of YCB"),
    ],
)
def test_the_card_counts_the_scans_as_the_page_does(title, pattern):
    section = dict(SECTIONS)[title]
    count = sum(count for count, _ in scans(section))
    assert section.startswith(f"\n{count} scans")
    assert re.findall(pattern, CARD) == [str(count)]


def test_bundled_captures_show_what_was_not_trained_on():
    captures = sorted((ROOT / "examples" / "captures").glob("*/transforms.json"))
    shown = {json.loads(path.read_text(encoding="utf-8"))["object"] for path in captures}
    assert shown and shown.isdisjoint({*SCANS, *OTHERS})


def test_the_page_goes_with_the_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "docs/model-card-objects.md" in project["license-files"]
