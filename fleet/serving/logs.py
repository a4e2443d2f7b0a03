"""Logs of a server: one JSON object a line on standard error."""

import contextlib
import contextvars
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from geolrm.engine.errors import InputError
from geolrm.engine.system.shown_text import shown

LEVELS = ("debug", "info", "warning", "error")
LOGGER = logging.getLogger("geolrm.serve")
# Of the request that the current task or thread works on.
REQUEST: contextvars.ContextVar[str | None] = contextvars.ContextVar("request", default=None)
_HEARD: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("heard", default=None)


class JsonLines(logging.Formatter):
    """One JSON object a record; fields are what ``extra={"fields": ...}`` holds."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": shown(record.getMessage()),
        }
        request = REQUEST.get()
        if request is not None:
            fields["request_id"] = request
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)  # ASCII: no name of a client reaches a terminal as it is


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at the time, a line at once."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def set_up_logs(level: str) -> None:
    """Write records of this level and above as JSON lines, Python's warnings among them.

    Raises:
        InputError: There is no such level.
    """
    if level not in LEVELS:
        raise InputError(f"--log-level is {level!r}; it must be one of {', '.join(LEVELS)}")
    handler = _StandardError()
    handler.setFormatter(JsonLines())
    LOGGER.handlers, LOGGER.propagate = [handler], False
    LOGGER.setLevel(level.upper())
    library = logging.getLogger("uvicorn")
    library.handlers, library.propagate = [handler], False
    # What it says of each connection is in our own lines.
    library.setLevel("DEBUG" if level == "debug" else "ERROR")
    show_warnings_in_logs()


def show_warnings_in_logs() -> None:
    """Write the engine's warnings to the log, and to whoever listens to the current request."""

    def write(message: Warning | str, *_: object, **__: object) -> None:
        heard = _HEARD.get()
        if heard is not None:
            heard.append(shown(str(message)))
        LOGGER.warning("%s", message)

    warnings.simplefilter("always", UserWarning)
    warnings.showwarning = write


@contextlib.contextmanager
def heard_warnings(request_id: str) -> Iterator[list[str]]:
    """Work on a request in this thread, and collect the warnings of the block."""
    heard: list[str] = []
    tokens = REQUEST.set(request_id), _HEARD.set(heard)
    try:
        yield heard
    finally:
        REQUEST.reset(tokens[0])
        _HEARD.reset(tokens[1])


def log(level: int, event: str, **fields: Any) -> None:
    """Write one line."""
    LOGGER.log(level, event, extra={"fields": fields})
