"""Let pages link to files of the repository: on the site such a link leads to its source."""

import re
from typing import Any

OUTSIDE = re.compile(r"\]\((?:\.\./)+(?P<path>[^)]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Rewrite links that leave docs/, which mkdocs would refuse (called by mkdocs)."""
    up = "../" * (page.file.src_uri.count("/") + 1)

    def to_source(link: re.Match[str]) -> str:
        if not link[0].startswith(f"]({up}"):
            return link[0]
        return f"]({config.repo_url}/blob/main/{link['path']})"

    return OUTSIDE.sub(to_source, markdown)
