import re

from samples.hostile_text import HOSTILE

from geolrm.fleet import summary_page
from geolrm.fleet.records import DONE, FAILED, Record
from geolrm.fleet.summary_page import make_summary_page

GOOD = Record(
    "shoe", "/a/shoe", DONE, gaussians=1234, psnr=31.04, seconds={"total": 2.0},
    splats="captures/shoe.ply", page="captures/shoe.html", thumbnail="captures/shoe.webp",
)  # fmt: skip


def test_results_are_linked_and_failures_come_first():
    page = make_summary_page(
        [GOOD, Record("lion", "/a/lion", FAILED, error="it is empty")]
    ).decode()
    assert page.index("it is empty") < page.index("shoe") and page.count("<li") == 2
    assert '<img src="./captures/shoe.webp" alt="" loading="lazy">' in page
    assert '<a href="./captures/shoe.html">shoe</a> · <a href="./captures/shoe.ply">splats' in page
    assert "1,234 Gaussians, 31.0 dB, 2.0 s" in page
    assert "<title>1 reconstructed, 1 failed</title>" in page


def test_without_viewers_the_splats_are_linked():
    plain = Record("a", "", DONE, splats="captures/a.ply", thumbnail="captures/a.webp")
    assert '<a href="./captures/a.ply">a</a></p>' in make_summary_page([plain]).decode()


def test_names_do_nothing_in_the_page():
    names = [HOSTILE, "javascript:alert(1)", "a\x1b[2J\u202eb", "\udcff", '"onerror="x']
    records = [
        Record(name, name, status, error=name, notes=(name,), splats=f"captures/{name}",
               page=f"captures/{name}", thumbnail=f"captures/{name}", gaussians=1)
        for name in names for status in (DONE, FAILED)
    ]  # fmt: skip
    page = make_summary_page(records).decode()
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    assert "<b>" not in page and 'onerror="x' not in page
    targets = re.findall(r'(?:href|src)="([^"]*)"', page.replace("./results.jsonl", ""))
    targets = [target for target in targets if target]
    assert len(targets) == 20 and all(target.startswith("./captures/") for target in targets)
    assert "default-src 'none'" in page


def test_a_page_shows_as_many_as_a_browser_can(monkeypatch):
    monkeypatch.setattr(summary_page, "MOST_SHOWN", 2)
    page = make_summary_page([GOOD] * 5).decode()
    assert page.count("<li>") == 2 and "<p>3 more are in results.jsonl.</p>" in page
