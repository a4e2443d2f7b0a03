"""Results that links lead to, on the disk of one machine, each for an hour."""

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geolrm.fleet.serving.formats import Format
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import RESULT_SECONDS
from geolrm.fleet.serving.working_folders import working_folder


@dataclass(frozen=True, slots=True)
class Kept:
    """What a link leads to."""

    file: Path
    format: Format
    size: int
    until: float  # of the clock


class Results(Protocol):
    """Where results are kept."""

    async def keep(self, content: bytes, format: Format) -> str: ...

    async def find(self, name: str) -> tuple[bytes | Path, Format] | None:
        """Return a result, or the file of one."""
        ...


class ResultsOnDisk:
    """Results in a folder that goes with the process; names are drawn, and cannot be guessed."""

    def __init__(self, most_bytes: int, clock: Callable[[], float] = time.monotonic):
        self._most_bytes, self._clock = most_bytes, clock
        self._made = contextlib.ExitStack()
        self.folder = self._made.enter_context(working_folder("results"))
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # the oldest first

    async def keep(self, content: bytes, format: Format) -> str:
        """Write a result, and return the name that finds it.

        Raises:
            Refusal: Those of the last hour take all the room.
        """
        self._drop_expired()
        if sum(kept.size for kept in self._kept.values()) + len(content) > self._most_bytes:
            wait = next(iter(self._kept.values())).until - self._clock() if self._kept else 60
            raise Refusal(
                429,
                "the results of the last hour take all the room that they have; repeat the request "
                "after the seconds that Retry-After says, or ask for a file instead of a link",
                max(round(wait), 1),
            )
        name = secrets.token_urlsafe(32)
        file = self.folder / secrets.token_hex(16)
        await asyncio.to_thread(file.write_bytes, content)
        until = self._clock() + RESULT_SECONDS
        self._kept[name] = Kept(file, format, len(content), until)
        return name

    async def find(self, name: str) -> tuple[Path, Format] | None:
        """Return the file of a result; None where there is none of that name, or it is over."""
        self._drop_expired()
        kept = self._kept.get(name)
        return None if kept is None else (kept.file, kept.format)

    def close(self) -> None:
        """Remove all of them."""
        self._made.close()

    def _drop_expired(self) -> None:
        while self._kept and next(iter(self._kept.values())).until <= self._clock():
            _, kept = self._kept.popitem(last=False)
            kept.file.unlink(missing_ok=True)
