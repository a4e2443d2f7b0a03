"""What `make docs` does beside what mkdocs checks itself."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("a.md", "[x](../README.md)", "[x](https://host/repo/blob/main/README.md)"),
        (
            "sub/a.md",
            "[x](../../engine/live.py)",
            "[x](https://host/repo/blob/main/engine/live.py)",
        ),
        ("sub/a.md", "[x](../b.md#y)", "[x](../b.md#y)"),
        ("a.md", "[x](b.md) ![y](images/z.png)", "[x](b.md) ![y](images/z.png)"),
    ],
)
def test_links_that_leave_the_documents_lead_to_sources(page, link, expected):
    rewrite = load("source_links").on_page_markdown
    place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    config = SimpleNamespace(repo_url="https://host/repo")
    assert rewrite(link, page=place, config=config, files=None) == expected


def test_the_reference_shows_the_shapes_behind_fields(tmp_path):
    griffe = pytest.importorskip("griffe", reason="needs geolrm[docs]")
    (tmp_path / "records.py").write_text(
        '"""A module."""\n\n\nclass Record:\n    """See :meth:`geolrm.Engine.run`."""\n\n'
        "    means: list  # [N, 3]\n    other: int\n    plain: int = 3  # noqa: E731\n"
    )
    extensions = griffe.load_extensions(load("docstrings").Docstrings)
    module = griffe.load("records", search_paths=[tmp_path], extensions=extensions)
    record = module["Record"]
    assert record["means"].docstring.value == "[N, 3]"
    assert record["other"].docstring is None and record["plain"].docstring is None
    link = '<autoref identifier="geolrm.Engine.run" optional>`geolrm.Engine.run`</autoref>'
    assert record.docstring.value == f"See {link}."


def test_every_decision_is_listed_with_its_status():
    listing = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [path.name[:3] for path in pages] == [f"{i:03}" for i in range(1, len(pages) + 1)]
    for path in pages:
        title, status = path.read_text(encoding="utf-8").split("\n\n")[:2]
        assert title.startswith(f"# {path.name[:3]}: ")
        dated = re.match(r"(Accepted|Replaced by \d{3}), (\d{4}-\d\d-\d\d)", status)
        assert dated, f"{path.name} lacks its status and date"
        (row,) = [line for line in listing.splitlines() if f"({path.name})" in line]
        assert row.endswith(f"| {dated[0].lower()} |")
