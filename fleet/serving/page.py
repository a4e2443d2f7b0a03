"""The page at ``/``: one file, which asks this server and nobody else."""

import base64
import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
STYLES = (FOLDER / "page.css").read_text(encoding="utf-8")
SCRIPT = (FOLDER / "page.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src {_hash(SCRIPT)}",
        f"style-src {_hash(STYLES)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


def page_text(photographs: bool) -> str:
    """Write the page; ``photographs`` says whether it offers to take some without poses."""
    text = (FOLDER / "index.html").read_text(encoding="utf-8")
    offered = "or photographs of an object from all around" if photographs else "with its poses"
    for name, value in (("styles", STYLES), ("script", SCRIPT), ("offered", offered)):
        text = text.replace(f"{{{{{name}}}}}", value)
    return text
