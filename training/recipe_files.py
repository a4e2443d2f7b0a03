"""Recipes from files, and changes of single fields, each checked."""

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import error_text, existing_path
from geolrm.training.config import Recipe
from geolrm.training.recipes import RECIPES


def load_recipe(name: str) -> Recipe:
    """Load a recipe by name, or from a .toml or .json file.

    A file holds fields of :class:`Recipe`, nested as tables, over those of the recipe that its
    ``base`` names (mini).

    Raises:
        InputError: Names the file or the field, and what it must be.
    """
    if name in RECIPES:
        return RECIPES[name]()
    path = existing_path(name)
    if path.suffix not in (".toml", ".json") or not path.is_file():
        raise InputError(
            f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}, or name a .toml or "
            ".json file"
        )
    content = _read(path)
    base = content.pop("base", "mini")
    if base not in RECIPES:
        raise InputError(f"{str(path)!r}: base is {base!r}; it must be one of {', '.join(RECIPES)}")
    return changed(RECIPES[base](), content, repr(str(path)))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error_text(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} holds no fields of a recipe; give an object of them")
    return content


def changed(recipe: Recipe, changes: dict[str, Any], where: str) -> Recipe:
    """Return the recipe with some fields replaced; ``changes`` nests like the dataclasses.

    Raises:
        InputError: A field is unknown, of the wrong type, or out of its range.
    """
    _check_names(changes, Recipe, "", where)
    return decode_recipe(_overlaid(asdict(recipe), changes), where)


def decode_recipe(content: Any, where: str) -> Recipe:
    """Make a recipe of its fields; those left out have their defaults.

    Raises:
        InputError: A field is of the wrong type or out of its range; ``where`` is named.
    """
    try:
        return msgspec.convert(content, Recipe)
    except (msgspec.ValidationError, ArithmeticError, TypeError, RecursionError) as error:
        text = str(error).replace(" - at `$.", " - at `").removesuffix(" - at `$`")
        raise InputError(f"{where} makes no recipe: {text}") from error


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Parse ``["losses.mse=4", "precision=fp32"]`` to nested changes.

    Values are JSON or plain words.

    Raises:
        InputError: A text is no assignment, or contradicts another.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise InputError(f"--set is {text!r}; it must be FIELD=VALUE, such as losses.mse=4")
        place = changes
        for name in names[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise InputError(f"--set {text!r} contradicts another --set; give each field once")
        if names[-1] in place:
            raise InputError(f"--set {text!r} contradicts another --set; give each field once")
        try:
            place[names[-1]] = json.loads(value)
        except ValueError:
            place[names[-1]] = value.strip()
    return changes


def _check_names(changes: dict[str, Any], kind: Any, path: str, where: str) -> None:
    """Check that every key names a field; msgspec lets unknown ones of dataclasses pass."""
    hints = typing.get_type_hints(kind)
    for name, value in changes.items():
        if name not in hints:
            raise InputError(
                f"{where}: {path}{name} is no field of a recipe; {path[:-1] or 'a recipe'} has "
                f"{', '.join(hints)}"
            )
        nested = _dataclass_of(hints[name])
        if nested is not None and isinstance(value, dict):
            _check_names(value, nested, f"{path}{name}.", where)


def _dataclass_of(hint: Any) -> Any:
    """Find the dataclass of a type hint, also where it may be None."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((option for option in options if dataclasses.is_dataclass(option)), None)


def _overlaid(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _overlaid(merged[name], value) if nested else value
    return merged
