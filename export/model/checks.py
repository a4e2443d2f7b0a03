"""Checks that the frozen dataclasses of a configuration run on themselves."""

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from geolrm.engine.errors import InputError


def require(condition: bool, message: str) -> None:
    """Raise an InputError with the message unless the condition holds."""
    if not condition:
        raise InputError(message)


def require_numbers(record: Any, zero: Iterable[str] = (), signed: Iterable[str] = ()) -> None:
    """Check that every number of a dataclass is finite and above 0.

    Args:
        record: The dataclass.
        zero: Fields that may be 0.
        signed: Fields that are not looked at.

    Raises:
        InputError: Names the field.
    """
    zero, signed = set(zero), set(signed)
    for entry in fields(record):
        value = getattr(record, entry.name)
        if isinstance(value, bool) or not isinstance(value, int | float) or entry.name in signed:
            continue
        least = "0 or more" if entry.name in zero else "above 0"
        require(
            math.isfinite(value) and (value > 0 or (value == 0 and entry.name in zero)),
            f"{entry.name} is {value!r}; it must be a finite number, {least}",
        )


def differences(stored: Any, wanted: Any, path: str = "") -> list[str]:
    """List the dotted names of the fields in which two nested descriptions differ."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        names = list(dict.fromkeys([*stored, *wanted]))
        return [
            found
            for name in names
            for found in differences(
                stored.get(name), wanted.get(name), f"{path}.{name}" if path else name
            )
        ]
    return [] if stored == wanted else [path]
