"""``WS /v1/live``: views come in one by one, splats come back after each.

A view is a text message, JSON with ``pose`` [4, 4] and either ``fov`` (degrees) or ``intrinsics``
[3, 3], and then a binary message with its JPEG, PNG or WebP. The answer is a text message with
what was made, and then a binary message with the SPZ; or one text message with an ``error``, after
which the view is not there and may be sent again.
"""

import asyncio
import json
import logging
import secrets
import time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from geolrm.fleet.serving.fields import parse_run_fields
from geolrm.fleet.serving.jobs import LiveStep, LiveView, LostSessionError, Made, Pool
from geolrm.fleet.serving.logs import LOGGER
from geolrm.fleet.serving.metrics import Metrics
from geolrm.fleet.serving.refusals import Refusal, refusal_of, sentence_of_fields
from geolrm.fleet.serving.settings import Limits

SILENCE = 300.0  # seconds between views after which a live capture ends
ORDER = "send a view as a text message with its pose, and then a binary message with its image"
MOST_TEXT = 4096  # characters of what is said of a view
Row = Annotated[list[float], Field(max_length=4)]


class ViewFields(BaseModel):
    """What is said of a view."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    pose: list[Row] = Field(min_length=4, max_length=4)
    fov: float | None = None
    intrinsics: list[Row] | None = Field(None, min_length=3, max_length=3)


class LiveSession:
    """A live capture, with its views as they came: an engine that is lost is replaced."""

    def __init__(self, pool: Pool, options: dict[str, Any], limits: Limits, request_id: str):
        self._pool, self._options, self._limits = pool, options, limits
        self._request_id = request_id
        self._name = secrets.token_hex(16)
        self._views: list[LiveView] = []

    async def add(self, view: LiveView) -> Made:
        """Add a view, and reconstruct from all so far.

        Raises:
            Refusal: It cannot be done; the view is not there.
        """
        sent = sum(len(each.image) for each in self._views) + len(view.image)
        if sent > self._limits.body_bytes:
            raise Refusal(
                413,
                f"the views of this live capture are longer than the {self._limits.body_bytes:,} "
                "bytes that this server takes; start another",
            )
        try:
            made = await self._grow(len(self._views), [view])
        except LostSessionError:
            made = await self._grow(0, [*self._views, view])
        self._views.append(view)
        return made

    async def _grow(self, start: int, views: list[LiveView]) -> Made:
        deadline = time.time() + self._limits.seconds
        step = LiveStep(self._name, start, views, self._options, deadline, self._request_id)
        return await self._pool.grow(step, lambda stage: None)

    async def close(self) -> None:
        """Let the engine forget it."""
        await self._pool.forget(self._name)


async def serve_live(websocket: WebSocket, pool: Pool, limits: Limits, metrics: Metrics) -> None:
    """Serve one live capture until its client leaves, or is silent for too long."""
    request_id = websocket.state.request_id
    await websocket.accept()
    session = None
    views = 0
    try:
        if metrics.opened_live() > limits.live:
            raise Refusal(
                429,
                f"{limits.live} live captures are open, as many as this server takes; come again "
                "later",
                30,
            )
        options = parse_run_fields(dict(websocket.query_params)).options()
        session = LiveSession(pool, options, limits, request_id)
        while True:
            try:
                view = await _next_view(websocket, limits)
                if view is None:
                    break
                made = await session.add(view)
            except WebSocketDisconnect:
                break
            except Exception as error:
                await _say_refused(websocket, error, request_id)
                continue
            views += 1
            metrics.ran(made)
            await websocket.send_text(json.dumps({
                "views": made.views, "gaussians": made.gaussians, "anchors": made.anchors,
                "seconds": made.seconds, "bytes": len(made.content),
                "notes": list(made.warnings), "request_id": request_id,
            }))  # fmt: skip
            await websocket.send_bytes(made.content)
    except WebSocketDisconnect:
        pass
    except Exception as error:
        await _say_refused(websocket, error, request_id)
        await websocket.close(1013 if refusal_of(error).status == 429 else 1008)
    finally:
        metrics.closed_live()
        websocket.state.facts["views"] = views
        if session is not None:
            await session.close()


async def _say_refused(websocket: WebSocket, error: Exception, request_id: str) -> None:
    refusal = refusal_of(error)
    if refusal.status == 500:
        LOGGER.log(logging.ERROR, "fault", exc_info=error)
    await websocket.send_text(json.dumps({
        "error": refusal.sentence, "status": refusal.status, "request_id": request_id,
        "retry_after": refusal.retry_after,
    }))  # fmt: skip


async def _next_view(websocket: WebSocket, limits: Limits) -> LiveView | None:
    """Receive the two messages of a view; None after a long silence.

    Raises:
        Refusal: They are no view.
        WebSocketDisconnect: The client left.
    """
    try:
        async with asyncio.timeout(SILENCE):
            fields = _view_fields(await _message(websocket, "text"))
            image = await _message(websocket, "bytes")
    except TimeoutError:
        await websocket.close(1001, "no view came for a while")
        return None
    return LiveView(image, fields.pose, fields.intrinsics, fields.fov)


async def _message(websocket: WebSocket, kind: str) -> Any:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    if message.get(kind) is None:
        raise Refusal(400, f"a message of another kind was expected; {ORDER}")
    return message[kind]


def _view_fields(text: str) -> ViewFields:
    if len(text) > MOST_TEXT:
        raise Refusal(
            413,
            f"the text message of a view has {len(text):,} characters; it may have {MOST_TEXT:,}: "
            "send its pose, and fov or intrinsics alone",
        )
    try:
        return ViewFields.model_validate_json(text)
    except ValidationError as error:
        raise Refusal(
            422,
            f"{sentence_of_fields(error.errors())}; {ORDER}",  # pyright: ignore
        ) from None
