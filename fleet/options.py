"""What is asked for each capture of a batch: the options of ``geolrm run``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from geolrm.engine.errors import InputError
from geolrm.engine.formats.splat_files import (
    FORMATS,
    SUFFIXES,
    check_sh_degree,
    check_spz_version,
    suffix_of,
)
from geolrm.engine.options import RunOptions
from geolrm.engine.refinement.budget import check_quality

SWITCHES: dict[str, Any] = {"auto": "auto", "on": True, "off": False}
WHOLE = ("max_tokens", "seed", "refine", "sh_degree", "spz_version")  # their range is checked later


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """The options of one capture, those of ``geolrm run``; a line of a list may set each."""

    views: str | None = None  # how many, or frames such as 0,4,8
    max_tokens: int | None = None
    seed: int = 0
    selection: str = "random"
    quality: str | float | None = None
    refine: int | None = None  # steps
    refine_poses: str = "auto"  # or on, off
    shading: str = "auto"  # or on, off
    remove_background: bool = False
    fit: bool | None = None
    world: bool = False
    format: str = ".ply"
    sh_degree: int | None = None  # of the file
    spz_version: int | None = None

    def changed(self, given: Mapping[str, Any], where: str) -> CaptureOptions:
        """Return these options with some of them set, as a line of a list does.

        Raises:
            InputError: A name is no option, or a value has another type; ``where`` begins the
                sentence.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(map(str, set(given) - known))
        if unknown:
            raise InputError(
                f"{where} has the field {unknown[0]!r}; known are capture, id, "
                f"{', '.join(sorted(known))}"
            )
        values = {name: _typed(name, value, where) for name, value in given.items()}
        if values.get("refine") is not None and "quality" not in values:
            values["quality"] = None  # the line's own wins over that of all
        elif values.get("quality") is not None and "refine" not in values:
            values["refine"] = None
        made = replace(self, **values)
        if "format" in values:  # a line's own; what it cannot hold was asked of the others
            if made.format != ".spz" and "spz_version" not in values:
                made = replace(made, spz_version=None)
            if not FORMATS[made.format].harmonics and "sh_degree" not in values:
                made = replace(made, sh_degree=None)
        try:
            check_sh_degree(made.format, made.sh_degree)
            check_spz_version(made.format, made.spz_version)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        return made

    def run_options(self) -> RunOptions:
        """Return what :meth:`Engine.run` takes; it checks the values."""
        return {
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "selection": self.selection,  # pyright: ignore[reportReturnType]
            "quality": self.quality,  # pyright: ignore[reportReturnType]
            "refine_steps": self.refine,
            "refine_poses": SWITCHES[self.refine_poses],
            "shading": SWITCHES[self.shading],
        }

    def file_options(self) -> dict[str, Any]:
        """Return what :meth:`Gaussians.save` takes."""
        return {"sh_degree": self.sh_degree, "spz_version": self.spz_version}

    def to_dict(self) -> dict[str, Any]:
        """Return the options that are not the default."""
        ours = asdict(self)
        return {name: ours[name] for name, value in asdict(CaptureOptions()).items()
                if ours[name] != value}  # fmt: skip

    def digest(self, *more: object) -> str:
        """Hash the options, and what else decides on the bits of a result."""
        text = json.dumps([asdict(self), *more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _typed(name: str, value: Any, where: str) -> Any:
    """Return a value of a list as the option takes it."""
    default = getattr(CaptureOptions(), name)
    if value is None:
        return default
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name == "views":
        if whole or isinstance(value, str):
            return str(value)
        if isinstance(value, list) and value and all(isinstance(part, int) for part in value):
            return ",".join(map(str, value)) + ("," if len(value) == 1 else "")
        wanted = "a number or a list of frames"
    elif name == "quality":
        try:
            return check_quality(value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    elif name == "format":
        suffix = f".{str(value).removeprefix('.')}"
        try:
            return suffix_of(f"a{suffix}")
        except InputError:
            wanted = SUFFIXES
    elif name in SWITCHED:
        if isinstance(value, bool):
            return "on" if value else "off"
        if value in SWITCHES:
            return value
        wanted = "auto, on or off"
    elif name in WHOLE:
        if whole:
            return value
        wanted = "a whole number"
    elif name == "selection":
        if value in ("random", "confident"):
            return value
        wanted = "random or confident"
    else:
        if isinstance(value, bool):
            return value
        wanted = "true or false"
    raise InputError(f"{where}: {name} is {value!r}; give {wanted}")


SWITCHED = ("refine_poses", "shading")
