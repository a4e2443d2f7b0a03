"""One row of a page of docs/errors/, and what brings it about."""

import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolrm import GeoLRMError

ANY = "…"  # stands for whatever a message quotes


@dataclass(frozen=True)
class Place:
    """Where an error is brought about."""

    tmp: Path  # an empty folder
    bundle: Callable[[], Path]  # a copy of a small bundle, to be damaged
    engine: Callable[[], Any]  # an Engine of it
    patch: Any  # pytest's monkeypatch


@dataclass(frozen=True)
class Case:
    """A message as the page shows it, what it means, and a call that raises it."""

    message: str
    meaning: str  # and what to do, where the message does not say it all
    trigger: Callable[[Place], object]
    kind: type[BaseException] = GeoLRMError

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = map(re.escape, self.message.split(ANY))
        return re.compile(".*".join(parts), re.DOTALL)


def without(package, call):
    """The call, on a machine that lacks a package."""

    def version(name, found=importlib.metadata.version):
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    def trigger(place):
        place.patch.setattr(importlib.metadata, "version", version)
        return call(place)

    return trigger
