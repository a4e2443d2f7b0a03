"""The texts of the page, from the table that its script reads, too."""

import json
import re
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("labels.json")
LANGUAGES = ("en", "de")


def label(language: str, name: str, **values: str | float) -> str:
    """Write the text of that name, with its values: ``{name}``, or ``{name:3}`` to three decimals.

    Where ``count`` is one, the text named ``name.one`` is taken if there is one.
    """
    table = _table()[language]
    text = table.get(f"{name}.one", table[name]) if values.get("count") == 1 else table[name]
    return re.sub(
        r"\{(\w+)(?::(\d))?\}",
        lambda found: _number(language, values[found[1]], found[2]),
        text,
    )


def _number(language: str, value: str | float, decimals: str | None) -> str:
    if isinstance(value, str):
        return value
    text = f"{value:,}" if decimals is None else f"{value:,.{decimals}f}"
    if language == "de":
        text = text.translate(str.maketrans(",.", ".,"))
    return text.replace("-", "\N{MINUS SIGN}")


@cache
def _table() -> dict[str, dict[str, str]]:
    return json.loads(FILE.read_text(encoding="utf-8"))
