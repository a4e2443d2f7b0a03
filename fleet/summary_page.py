"""``index.html``: all results of an output at a glance, each with its picture and its viewer."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.metadata
from collections.abc import Iterable
from urllib.parse import quote

from geolrm.engine.system.shown_text import shown
from geolrm.fleet.records import DONE, Record

MOST_SHOWN = 2000  # results; browsers become slow, and results.jsonl has them all
STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c22; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
li { border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
li.failed { border-color: var(--bad); }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; }
div { padding: .5rem .75rem; overflow-wrap: anywhere; }
p { margin: 0; } .facts { opacity: .75; font-size: .85em; } .failed .error { color: var(--bad); }
a:focus-visible { outline: 3px solid; }
"""


def make_summary_page(records: Iterable[Record]) -> bytes:
    """Make the page, failed captures first; it runs no script and fetches its pictures alone."""
    ordered = sorted(records, key=lambda record: (record.status == DONE, record.id))
    failed = sum(record.status != DONE for record in ordered)
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src 'self' file: https: http:",
            f"style-src 'sha256-{style}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    version = _text(importlib.metadata.version("geolrm"))
    told = f"{len(ordered) - failed:,} reconstructed, {failed:,} failed"
    more = len(ordered) - MOST_SHOWN
    rest = f"<p>{more:,} more are in results.jsonl.</p>" if more > 0 else ""
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{told}</title>
<style>{STYLE}</style>
<h1>{told}</h1>
<ul>
{"".join(map(_item, ordered[:MOST_SHOWN]))}</ul>
{rest}
<p class="facts"><a href="./results.jsonl">results.jsonl</a> · geolrm {version}</p>
</html>
"""
    return page.encode(errors="backslashreplace")


def _item(record: Record) -> str:
    name = _text(record.id)
    if record.status != DONE:
        error = _text(record.error or "")
        return (
            f'<li class="failed"><div><p>{name}</p><p class="error">{error}</p>'
            f'<p class="facts">{_text(record.source)}</p></div></li>\n'
        )
    target = record.page or record.splats or ""
    picture = ""
    if record.thumbnail is not None:
        picture = f'<img src="{_link(record.thumbnail)}" alt="" loading="lazy">'
    facts = [f"{record.gaussians or 0:,} Gaussians"]
    if record.psnr is not None:
        facts.append(f"{record.psnr:.1f} dB")
    if "total" in record.seconds:
        facts.append(f"{float(record.seconds['total']):.1f} s")
    download = ""
    if record.splats is not None and record.page is not None:
        download = f' · <a href="{_link(record.splats)}">splats</a>'
    notes = _text("; ".join(record.notes))
    return (
        f'<li><a href="{_link(target)}">{picture}</a><div>'
        f'<p><a href="{_link(target)}">{name}</a>{download}</p>'
        f'<p class="facts" title="{notes}">{", ".join(facts)}</p></div></li>\n'
    )


def _text(text: str) -> str:
    return html.escape(shown(text))


def _link(path: str) -> str:
    """Return a link that leads nowhere else: names become paths, never schemes."""
    return html.escape("./" + quote(path, errors="surrogateescape"))
