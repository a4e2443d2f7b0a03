"""What every request passes: an id, the token, its origin, its size and time, a line in the log."""

import asyncio
import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geolrm.engine.system.shown_text import shown
from geolrm.fleet.serving.logs import LOGGER, REQUEST, log
from geolrm.fleet.serving.metrics import Metrics
from geolrm.fleet.serving.refusals import REASONS, Refusal, overtime, refusal_of
from geolrm.fleet.serving.settings import IDLE_SECONDS, MAX_HEADER_BYTES, Limits
from geolrm.fleet.serving.tokens import check_token

GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/v1/results")  # a result's name is a secret
ROUTES = (*OPEN, "/v1/reconstructions", "/v1/live", "/metrics")
LINGER_SECONDS, SILENT_SECONDS = 10.0, 2.0  # that a refused body is read on, in all and in a pause
LEFT = 499  # in logs and counts: the client left before it was answered


class Gate:
    """Middleware around the whole application.

    ``scope["state"]`` of what passes holds ``request_id``, ``deadline`` (of ``time.time()``) and
    ``facts``, a dict for the line of the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        token: str | None,
        metrics: Metrics,
        loopback: bool,
        proxied: bool,
    ):
        self._app, self._limits, self._token, self._metrics = app, limits, token, metrics
        self._loopback, self._proxied = loopback, proxied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        passing = _Passing(scope, receive, send, self._limits, self._proxied)
        REQUEST.set(passing.request_id)
        try:
            check_origin(passing.headers, self._loopback)
            if self._token is not None and _route(scope) not in OPEN:
                check_token(self._token, passing.headers.get("authorization"))
            passing.check_lengths()
            await self._app(scope, passing.receive, passing.send)
        except ClientDisconnect:
            pass
        except Exception as error:  # what the application did not answer itself
            refusal = refusal_of(error)
            if refusal.status == 500:
                LOGGER.error("fault", exc_info=error)
            await passing.refuse(refusal)
        finally:
            self._count(scope, passing)

    def _count(self, scope: Scope, passing: "_Passing") -> None:
        status = passing.status or LEFT
        route = _route(scope)
        outcome = "done" if status < 400 else REASONS.get(status, "left")
        self._metrics.requests.labels(route, outcome).inc()
        if status >= 400 and status != LEFT:
            self._metrics.refusals.labels(outcome).inc()
        log(
            logging.INFO,
            "request",
            method=scope.get("method", "WEBSOCKET"),
            path=shown(scope["path"])[:200] if route != "/v1/results" else f"{route}/...",
            status=status,
            seconds=round(time.monotonic() - passing.start, 4),
            bytes_in=passing.received,
            bytes_out=passing.sent,
            client=(scope.get("client") or [None])[0],
            **scope["state"]["facts"],
        )


class _Passing:
    """One request on its way in, and its answer on the way out."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, limits: Limits, proxied: bool = False
    ):
        self._receive, self._send, self._limits = receive, send, limits
        self._proxied = proxied
        self._socket = scope["type"] == "websocket"
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        given = self.headers.get("x-request-id", "")
        self.request_id = given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex[:16]
        self.start, self.status, self.received, self.sent = time.monotonic(), 0, 0, 0
        state: dict[str, Any] = scope.setdefault("state", {})
        self._deadline = time.time() + limits.seconds
        state |= {"request_id": self.request_id, "deadline": self._deadline, "facts": {}}
        self._whole = self._socket  # the body has come

    def check_lengths(self) -> None:
        """Refuse headers by their length, and a body by what it states, before any of it is read.

        Raises:
            Refusal: They are too long.
        """
        headers = sum(len(name) + len(value) for name, value in self.headers.items())
        if headers > MAX_HEADER_BYTES:
            raise Refusal(
                431,
                f"the headers have {headers:,} bytes; this server takes {MAX_HEADER_BYTES:,}: send "
                "fewer",
            )
        length = self.headers.get("content-length", "")
        self._check_size(int(length[:20]) if length.isdecimal() else 0)

    async def receive(self) -> Message:
        """Pass on what comes: no more than may, and not more slowly.

        Raises:
            Refusal: The body is too long, or the client too slow.
        """
        if self._whole:
            return await self._receive()
        seconds = min(IDLE_SECONDS, self._deadline - time.time())
        try:
            message = await asyncio.wait_for(self._receive(), max(seconds, 0))
        except TimeoutError:
            raise self._late() from None
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            self._check_size(self.received)
        return message

    def _late(self) -> Refusal:
        if time.time() >= self._deadline:
            return overtime(self._limits.seconds)
        return Refusal(
            408, f"nothing came for {IDLE_SECONDS:g} s; send the request without such pauses"
        )

    def _check_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise Refusal(
                413,
                f"the body is longer than the {self._limits.body_bytes:,} bytes that this server "
                "takes; send fewer or smaller images",
            )

    async def send(self, message: Message) -> None:
        """Pass on the answer, with what every answer carries."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._own_headers()]
        elif message["type"] == "websocket.accept":
            self.status = 101
            message["headers"] = [*message.get("headers", ()), *self._own_headers()]
        elif message["type"] == "websocket.close" and not self.status:
            self.status = 403
        self.sent += len(message.get("body") or message.get("bytes") or b"")
        if message["type"] == "http.response.body" and self._refused_early(message):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _refused_early(self, message: Message) -> bool:
        """Tell whether the answer ends while the client still sends its body.

        One that waits to be told to go on sends none, and one that is too slow had its time.
        """
        length = self.headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in self.headers
        waits = "expect" in self.headers and not self.received
        ends = self.status >= 400 and not message.get("more_body", False)
        slow = self.status in (408, 504)
        return ends and has_body and not (self._whole or waits or slow or self._proxied)

    async def _linger(self) -> None:
        """Drop what still comes of a body, so that its client gets to read why it was refused.

        A connection that is closed with unread bytes is reset, and takes the answer with it.
        """
        end = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(TimeoutError):
            while not self._whole:
                left = min(end - time.monotonic(), SILENT_SECONDS)
                message = await asyncio.wait_for(self._receive(), max(left, 0))
                self._whole = not message.get("more_body", False)  # or it has left

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        named = [] if self._proxied else [(b"x-request-id", self.request_id.encode())]
        return [
            *named,
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),  # a link to a result is its key
            (b"cache-control", b"no-store"),
        ]

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal, if nothing has been answered yet."""
        if self.status:
            return
        if self._socket:
            await self._send({"type": "websocket.close", "code": 1008})
            self.status = refusal.status
            return
        body = json.dumps({"error": refusal.sentence, "request_id": self.request_id}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= refusal.headers
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": refusal.status, "headers": encoded}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})


def check_origin(headers: MutableMapping[str, str], loopback: bool) -> None:
    """Refuse what a page of another site sends through a person's browser.

    Args:
        headers: Of the request.
        loopback: The server is for this machine alone, and so has its names alone: a site that lets
            its own name lead to this machine is another one.

    Raises:
        Refusal: Of status 403.
    """
    origin, host = headers.get("origin"), headers.get("host", "").lower()
    foreign = origin is not None and _host_of(origin) != host
    if foreign or (loopback and not _is_loopback(host)):
        named = host if origin is None else origin
        raise Refusal(
            403,
            f"the request is for or from {shown(named)[:100]!r}; this server answers its own page "
            "and programs alone, by its own name",
        )


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", name))


def _route(scope: Scope) -> str:
    """Return the route that the router sees: a prefix before all of it (``root_path``) is none."""
    return route_of(get_route_path(scope))


def route_of(path: str) -> str:
    """Return the route of a path, which no client makes up: "other" where there is none."""
    if path.startswith("/v1/results/"):
        return "/v1/results"
    return path if path in ROUTES else "other"
