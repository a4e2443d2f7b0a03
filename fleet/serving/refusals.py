"""What a request is answered that cannot be done: a status and one sentence."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.shown_text import shown

LONGEST = 900  # characters of a sentence
FAULT = "the server met an error of its own, which its log holds under this request's id"
REASONS = {  # for the count of refusals, by status
    400: "malformed", 401: "token", 403: "origin", 404: "unknown", 405: "method", 406: "accept",
    408: "slow", 413: "large", 415: "type", 422: "content", 429: "busy", 431: "headers",
    500: "fault", 503: "unavailable", 504: "overtime",
}  # fmt: skip


class Refusal(GeoLRMError):
    """A request that is not done: the HTTP status, the sentence, and when to ask again."""

    def __init__(self, status: int, sentence: str, retry_after: int | None = None):
        super().__init__(status, sentence, retry_after)  # what pickles of it hold
        self.status, self.sentence, self.retry_after = status, sentence, retry_after

    def __str__(self) -> str:
        return self.sentence

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def refusal_of(error: BaseException, folder: Path | None = None) -> Refusal:
    """Return the refusal that stands for an error: the engine's own become 422.

    Args:
        error: What was raised.
        folder: Where the request's files were; sentences name them as the client did.
    """
    if isinstance(error, Refusal):
        return error
    if is_full_disk(error):
        return Refusal(503, "the server's disk is full; repeat the request later", 60)
    if isinstance(error, GeoLRMError):
        return Refusal(422, sentence_of(error, folder))
    if isinstance(error, MemoryError):
        return Refusal(503, "the server lacks the memory for this request; send fewer views", 60)
    return Refusal(500, FAULT)


def is_full_disk(error: BaseException | None) -> bool:
    """Tell whether an error, or what it was raised from, is that of a disk without room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def sentence_of(error: BaseException | str, folder: Path | None = None) -> str:
    """Return an error's text on one line, without paths of the server, and not too long."""
    text = shown(str(error))
    if folder is not None:
        for place in {str(folder), os.path.realpath(folder)}:
            text = text.replace(f"{shown(place)}{os.sep}", "").replace(shown(place), "the capture")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def sentence_of_fields(errors: list[Mapping[str, Any]]) -> str:
    """Say which field of a request breaks its rule, the first of several."""
    first = errors[0]
    name = str(first["loc"][-1]) if first["loc"] else "the request"
    given = first.get("input")
    value = "missing" if first["type"] == "missing" else repr(given)[:100]
    return shown(f"{name} is {value}: {first['msg']}")


def full(waiting: int, seconds: float) -> Refusal:
    """Return the refusal of a request that finds the queue full, to be repeated in a while."""
    return Refusal(
        429,
        f"{waiting} requests wait already, as many as this server lets wait; repeat this one after "
        "the seconds that Retry-After says",
        max(round(seconds), 1),
    )


def lost() -> Refusal:
    """Return the refusal of a request whose engine died under it."""
    return Refusal(
        503, "the engine that worked on this request was lost; repeat it, others go on", 1
    )


def overtime(seconds: float) -> Refusal:
    """Return the refusal of a request that took too long."""
    return Refusal(
        504,
        f"the request took longer than the {seconds:g} s that this server gives one; send fewer "
        "views, or ask for less quality",
    )


def check_seconds(quality: object, limit: float) -> None:
    """Refuse a quality in seconds that no request has.

    Raises:
        InputError: It is more than the limit.
    """
    if isinstance(quality, float) and quality > limit:
        raise InputError(
            f"quality is {quality:g} s; this server gives a request {limit:g} s: ask for less"
        )
