"""The application: routes over HTTP, whoever runs it and wherever the engines are."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from geolrm.engine.errors import GeoLRMError
from geolrm.fleet.serving import documents
from geolrm.fleet.serving.events import EventResponse
from geolrm.fleet.serving.fields import ReconstructionFields
from geolrm.fleet.serving.formats import MEDIA_TYPES, Format, negotiate
from geolrm.fleet.serving.gate import Gate
from geolrm.fleet.serving.jobs import Job, Made, Pool, Tell
from geolrm.fleet.serving.live import serve_live
from geolrm.fleet.serving.metrics import CONTENT_TYPE, Metrics
from geolrm.fleet.serving.page import POLICY, page_text
from geolrm.fleet.serving.refusals import Refusal, refusal_of, sentence_of_fields
from geolrm.fleet.serving.results import Results
from geolrm.fleet.serving.settings import RESULT_SECONDS, Limits
from geolrm.fleet.serving.uploads import received

# A page of results runs in an origin of its own: it can ask this server for nothing.
SANDBOX = "sandbox allow-scripts allow-downloads allow-pointer-lock"
MOST_NOTES_BYTES = 2048  # of a header; proxies refuse long ones
NOTE = 300  # characters of one; six bytes each at most in ASCII
SENTENCES = {404: "there is nothing at this path; see /openapi.json for what there is",
             405: "this path is not asked with this method; see /openapi.json"}  # fmt: skip


def make_app(
    pool: Pool,
    results: Results,
    limits: Limits,
    *,
    token: str | None = None,
    loopback: bool = False,
    proxied: bool = False,
    photographs: bool = False,
    close: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Make the application.

    Args:
        pool: The engines.
        results: Where results of event streams are kept.
        limits: Of requests.
        token: That guarded routes want; None: they want none.
        loopback: Whether it is reached under this machine's own names alone.
        proxied: Whether a proxy before it names requests, and says their names in answers.
        photographs: Whether the page offers to take photographs without poses.
        close: Called when it ends.
    """
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        close()

    gate = Middleware(
        Gate, limits=limits, token=token, metrics=metrics, loopback=loopback, proxied=proxied
    )
    app = FastAPI(
        title="geolrm", version=documents.version(), description=documents.DESCRIPTION,
        middleware=[gate], lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_tags=documents.TAGS, redirect_slashes=False,
    )  # fmt: skip
    page = page_text(photographs)
    coming = 0  # requests whose bodies come; each will want a place in the queue

    @contextlib.contextmanager
    def incoming() -> Iterator[None]:
        """Count a request whose body comes, if there will be a place for it.

        Raises:
            Refusal: There will be none.
        """
        nonlocal coming
        pool.check_room(coming)
        coming += 1
        try:
            yield
        finally:
            coming -= 1

    async def run(request: Request, make: Callable[[Tell], Any], tell: Tell) -> Made:
        came, queued = time.monotonic(), None

        def heard(stage: str) -> None:
            nonlocal queued
            queued = time.monotonic() - came if queued is None else queued
            tell(stage)

        made = await make(heard)
        made = replace(made, seconds={"queue": queued or 0.0, **made.seconds})
        metrics.ran(made)
        request.state.facts |= {
            "stages": {name: round(value, 4) for name, value in made.seconds.items()},
            "views": made.views, "gaussians": made.gaussians, "anchors": made.anchors,
        }  # fmt: skip
        return made

    @app.post(
        "/v1/reconstructions", tags=["reconstructions"], response_class=Response,
        responses=documents.RECONSTRUCTION_ANSWERS, openapi_extra=documents.RECONSTRUCTION_EXTRA,
        summary="Reconstruct a capture",
    )  # fmt: skip
    async def reconstruct(
        request: Request, fields: Annotated[ReconstructionFields, Query()]
    ) -> Response:
        wish = negotiate(request.headers.get("accept"), fields.format)
        options, file_options = fields.options(), fields.file_options(wish.format)
        async with contextlib.AsyncExitStack() as stack:
            with incoming():
                archive, anchors = await stack.enter_async_context(received(request, limits))
            if anchors is not None:
                options["anchors"] = anchors
            job = Job(
                archive, wish.format, options, fields.views, request.state.deadline,
                request.state.request_id, file_options,
            )  # fmt: skip
            if not wish.events:
                made = await while_there(
                    request, run(request, lambda tell: pool.reconstruct(job, tell), _silent)
                )
                return answer(made.content, made.format, headers_of(made))

            async def work(tell: Tell) -> dict[str, Any]:
                made = await run(request, lambda tell: pool.reconstruct(job, tell), tell)
                name = await results.keep(made.content, made.format)
                return summary_of(made) | {
                    "link": f"/v1/results/{name}", "valid_seconds": RESULT_SECONDS,
                }  # fmt: skip

            events = EventResponse(work, request.state.request_id, request.state.facts)
            await events.begin()  # a full queue is no stream, but a refusal
            events.keep(stack.pop_all())
            return events

    @app.get(
        "/v1/results/{name}", tags=["reconstructions"], response_class=Response,
        responses=documents.RESULT_ANSWERS, summary="Fetch the result of an event stream",
    )  # fmt: skip
    async def result(name: str) -> Response:
        found = await results.find(name)
        if found is None:
            raise Refusal(
                404, "there is no such result, or its hour is over; reconstruct the capture again"
            )
        return answer(*found, {})

    @app.websocket("/v1/live")
    async def live(websocket: WebSocket) -> None:
        await serve_live(websocket, pool, limits, metrics)

    @app.get("/healthz", tags=["state"], responses=documents.HEALTH, summary="Whether it runs")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", tags=["state"], responses=documents.READY, summary="Whether it takes jobs")
    async def ready() -> JSONResponse:
        if not await pool.ready():
            raise Refusal(503, "no engine is ready; ask again", 5)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", tags=["state"], response_class=Response,
             responses=documents.FIGURES, summary="Figures for Prometheus")  # fmt: skip
    async def figures() -> Response:
        metrics.waiting.set(pool.waiting)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    async def front() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    async def refused(request: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        content = {"error": refusal.sentence, "request_id": request.state.request_id}
        return JSONResponse(content, refusal.status, refusal.headers)

    async def misread(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await refused(request, Refusal(422, sentence_of_fields(list(error.errors()))))

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentence = SENTENCES.get(error.status_code, str(error.detail))
        answered = await refused(request, Refusal(error.status_code, sentence))
        answered.headers.update(error.headers or {})
        return answered

    app.add_exception_handler(GeoLRMError, refused)
    app.add_exception_handler(RequestValidationError, misread)
    app.add_exception_handler(HTTPException, unknown)
    documents.secure(app, token is not None)
    return app


async def while_there(request: Request, work: Coroutine[Any, Any, Made]) -> Made:
    """Wait for work, and give it up when the client leaves.

    Raises:
        ClientDisconnect: It did.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        return tasks[0].result()  # pyright: ignore[reportReturnType]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answer(content: bytes | Path, format: Format, headers: dict[str, str]) -> Response:
    """Answer with a result or the file of one, which a browser saves under a name of ours."""
    kind = "inline" if format == "html" else "attachment"
    headers = headers | {"Content-Disposition": f'{kind}; filename="reconstruction.{format}"'}
    if format == "html":
        headers["Content-Security-Policy"] = SANDBOX
    if isinstance(content, Path):  # it is sent in parts: no memory for each that reads slowly
        return FileResponse(content, media_type=MEDIA_TYPES[format], headers=headers)
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


def headers_of(made: Made) -> dict[str, str]:
    """Return the headers of a result: the milliseconds of stages as browsers read them."""
    timing = ", ".join(f"{name};dur={1e3 * value:.1f}" for name, value in made.seconds.items())
    return {
        "Server-Timing": timing,
        "X-GeoLRM-Gaussians": str(made.gaussians),
        "X-GeoLRM-Anchors": str(made.anchors),
        "X-GeoLRM-Views": str(made.views),
    } | ({"X-GeoLRM-Notes": notes_of(made.warnings)} if made.warnings else {})


def notes_of(notes: Sequence[str]) -> str:
    """Write notes as JSON that a header can hold: the first ones, and each no longer than that."""
    cut: list[str] = []
    for note in notes:
        short = note if len(note) <= NOTE else f"{note[:NOTE]}..."
        if len(json.dumps([*cut, short])) > MOST_NOTES_BYTES:
            break
        cut.append(short)
    return json.dumps(cut)


def summary_of(made: Made) -> dict[str, Any]:
    """Return what the last event of a stream says of a result."""
    return {
        "format": made.format, "bytes": len(made.content), "seconds": made.seconds,
        "gaussians": made.gaussians, "anchors": made.anchors, "views": made.views,
        "notes": list(made.warnings),
    }  # fmt: skip


def _silent(stage: str) -> None:
    """Take the title of a stage of which nobody is told."""
