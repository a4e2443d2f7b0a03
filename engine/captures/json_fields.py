"""Values of untrusted JSON, each checked where it is read."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geolrm.engine.errors import InputError

MAX_JSON_BYTES = 16 << 20  # parsed, up to 24 times as many


def read_json(file: Path) -> dict[str, Any]:
    """Read the JSON object that a file holds."""
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise InputError(
                f"{file} is larger than {MAX_JSON_BYTES} bytes; it cannot be a capture"
            )
        text = file.read_bytes()
        try:
            content = json.loads(text)
        except UnicodeDecodeError:  # names of files that are not UTF-8 come back as their bytes
            content = json.loads(text.decode("utf-8", "surrogateescape"))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; restore it") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no valid JSON: {error}; repair or re-create it") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}; it must be a JSON object")
    return content


def number(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    """Return a field as a finite number; None where it is absent or null."""
    value = fields.get(key)
    if value is None:
        return None
    try:
        found = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{where}: {key} is {str(value)[:40]!r}; it must be a finite number")
    return found


def positive(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    """Return a field as a number above 0; None where it is absent or null."""
    found = number(fields, key, where)
    if found is not None and found <= 0:
        raise InputError(f"{where}: {key} is {found:g}; it must be positive")
    return found
