"""The application in this process, under uvicorn."""

import asyncio
import ipaddress
import json
import logging
import math
import os
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from geolrm.engine.engine import Engine
from geolrm.engine.errors import InputError
from geolrm.engine.system.extras import installed_version
from geolrm.fleet.serving.application import make_app
from geolrm.fleet.serving.local_pool import LocalPool
from geolrm.fleet.serving.logs import log, set_up_logs
from geolrm.fleet.serving.reconstruction import Reconstructor
from geolrm.fleet.serving.results import ResultsOnDisk
from geolrm.fleet.serving.settings import IDLE_SECONDS, MAX_HEADER_BYTES, Limits, Settings
from geolrm.fleet.serving.tokens import read_token

CONNECTIONS = 512  # open at a time
GRACE = 10  # seconds beyond the limit of a request that those which run have when the server ends
UNREADABLE = (
    f"the request is no HTTP/1.1, or its headers are longer than {MAX_HEADER_BYTES} bytes; send "
    "fewer of them"
)


BUSY = json.dumps({
    "error": f"{CONNECTIONS} connections are open, as many as this server takes; repeat the "
    "request after the seconds that Retry-After says",
    "request_id": None,
}).encode()  # fmt: skip


async def busy(scope: Any, receive: Any, send: Any) -> None:
    """Answer a connection too many, before its request is looked at."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BUSY)),
               (b"connection", b"close"), (b"retry-after", b"5")]  # fmt: skip
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY})


class Connection(H11Protocol):
    """uvicorn's connection, whose refusals are ours, and which waits for headers not for ever."""

    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._arm()

    def handle_events(self) -> None:
        cycle = self.cycle
        self.app = busy if len(self.connections) > CONNECTIONS else self.config.loaded_app
        super().handle_events()
        if self.cycle is not cycle:  # the headers of a request have come
            self._disarm()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._disarm()
        self._unwatch()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unwatch()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._unwatch()
        super().resume_writing()

    def _watch(self, unread: int) -> None:
        """End the connection unless the client reads some of what it was sent, again and again."""
        self._unwatch()
        self._reading = self.loop.call_later(IDLE_SECONDS, self._look, unread)

    def _look(self, unread: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= unread:
            self.transport.abort()
        else:
            self._watch(left)

    def _unwatch(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"error": UNREADABLE, "request_id": None}).encode()
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            + f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.transport.close()
        log(logging.INFO, "request", status=400, client=(self.client or [None])[0])

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(IDLE_SECONDS, self.transport.close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """uvicorn's server, which says in the log when it begins and ends."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            log(logging.INFO, "listening", url=f"http://{shown}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log(logging.INFO, "ending", running=len(self.server_state.tasks))
        await super().shutdown(sockets)
        log(logging.INFO, "ended")


def serve_here(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal ends it; what runs then is finished first.

    Raises:
        InputError: The log level, the token, the host or the port cannot be used.
        BundleError: The model is missing or damaged.
    """
    set_up_logs(settings.log_level)
    token = read_token(settings.token_file, os.environ, settings.require_token)
    listening = listen(host, port)
    warn_if_open(token, is_loopback(listening.getsockname()[0]))
    engine = Engine(
        settings.model, backend=settings.backend, threads=settings.threads, device=settings.device
    )
    log(logging.INFO, "loaded", model=engine.manifest.model, backend=engine.backend)
    server = make_server(settings.limits, engine, listening, token)
    try:
        server.run(sockets=[listening])
    except SystemExit as ended:  # uvicorn sends itself the signal again when all is done
        if ended.code != 128 + 15:
            raise


def make_server(
    limits: Limits, engine: Engine, listening: socket.socket, token: str | None = None
) -> "Server":
    """Make a server of one engine; its ``run(sockets=[listening])`` serves."""
    pool = LocalPool(Reconstructor(engine, limits))
    results = ResultsOnDisk(limits.results_bytes)

    def close() -> None:
        pool.close()
        results.close()

    app = make_app(
        pool, results, limits, token=token, loopback=is_loopback(listening.getsockname()[0]),
        photographs=installed_version("pycolmap") is not None, close=close,
    )  # fmt: skip
    config = uvicorn.Config(
        app, http=Connection, h11_max_incomplete_event_size=MAX_HEADER_BYTES, log_config=None,
        access_log=False, server_header=False, proxy_headers=False, lifespan="on",
        ws_max_size=min(limits.body_bytes, 64 << 20),
        ws_max_queue=2, timeout_graceful_shutdown=math.ceil(limits.seconds) + GRACE,
    )  # fmt: skip
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Bind the address before anything is loaded.

    Raises:
        InputError: It is taken, or none of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # a port whose last connections are just closing is free
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen()
        except BaseException:
            bound.close()
            raise
        return bound
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen on {host} port {port}: {reason}; name a free --port, and a --host of "
            "this machine"
        ) from error


def warn_if_open(token: str | None, loopback: bool) -> None:
    """Say in the log that others than this machine may use a server without a token."""
    if token is None and not loopback:
        log(logging.WARNING, "no token: whoever reaches this address may use the server")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
