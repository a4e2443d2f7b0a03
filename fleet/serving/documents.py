"""What ``/openapi.json`` says of the routes beyond their parameters."""

import importlib.metadata
from typing import Any

from fastapi import FastAPI

from geolrm.fleet.serving.formats import EVENT_STREAM, MEDIA_TYPES
from geolrm.fleet.serving.gate import OPEN, route_of
from geolrm.fleet.serving.uploads import FORM_TYPE, ZIP_TYPES

DESCRIPTION = (
    "Posed images of an object to 3D Gaussians. Live captures are at the WebSocket /v1/live. "
    "An error is one sentence with the id of the request."
)
TAGS = [
    {"name": "reconstructions", "description": "Captures to splats."},
    {"name": "state", "description": "What the server says of itself."},
]
REFUSAL = {
    "type": "object",
    "required": ["error", "request_id"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "string",
            "description": "One sentence: the value, the rule, the remedy.",
        },
        "request_id": {"type": "string", "description": "Also in the header X-Request-Id."},
    },
}
MEANINGS = {
    400: "The body is no form, or lacks a part.",
    401: "The token is missing or another one.",
    403: "A page of another site asked.",
    404: "There is no such thing, or not any more.",
    406: "Nothing that is accepted is made here.",
    408: "The client was silent for too long.",
    413: "The body, or what is in it, is too large.",
    415: "The body is of another type.",
    422: "The capture or an option cannot be worked with.",
    429: "The queue is full; Retry-After says when to come again.",
    500: "A fault of the server, in its log under the request's id.",
    503: "No engine is there, or it was lost; the request may be repeated.",
    504: "The request took too long.",
}
Answers = dict[int | str, dict[str, Any]]


def version() -> str:
    """Return the version of the package."""
    return importlib.metadata.version("geolrm")


def _refusals(*statuses: int) -> Answers:
    return {
        status: {
            "description": MEANINGS[status],
            "content": {"application/json": {"schema": REFUSAL}},
        }
        for status in statuses
    }


def _binary() -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary"}}


def _state(value: str) -> dict[str, Any]:
    schema = {
        "type": "object", "required": ["status"], "properties": {"status": {"const": value}},
    }  # fmt: skip
    return {"description": "It is.", "content": {"application/json": {"schema": schema}}}


RESULTS: dict[str, Any] = {media_type: _binary() for media_type in MEDIA_TYPES.values()}
STREAM = {
    EVENT_STREAM: {
        "schema": {
            "type": "string",
            "description": "Events accepted, stage (any number of them), and done with a link, or "
            "failed with an error.",
        }
    }
}
RECONSTRUCTION_ANSWERS: Answers = {
    200: {
        "description": "The splats; the header Server-Timing has the milliseconds of stages.",
        "content": RESULTS | STREAM,
    },
    **_refusals(400, 401, 403, 406, 408, 413, 415, 422, 429, 500, 503, 504),
}
RESULT_ANSWERS: Answers = {
    200: {"description": "The splats.", "content": RESULTS},
    **_refusals(403, 404, 422, 500, 503),
}
HEALTH: Answers = {200: _state("alive"), **_refusals(403)}
READY: Answers = {200: _state("ready"), **_refusals(403, 503)}
FIGURES: Answers = {
    200: {"description": "Figures.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **_refusals(401, 403),
}
FORM = {
    "type": "object",
    "properties": {
        "capture": {"type": "string", "format": "binary", "description": "A zip file."},
        "images": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Or images, PNG, JPEG or WebP, masks among them;",
        },
        "transforms": {
            "type": "string",
            "description": "their transforms.json, whose paths end as the names of the parts do;",
        },
        "anchors": {
            "type": "string", "description": "and [N, 3] anchors to use, as JSON, if any.",
        },
    },
}  # fmt: skip
RECONSTRUCTION_EXTRA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            ZIP_TYPES[0]: _binary(),
            FORM_TYPE: {"schema": FORM, "encoding": {"transforms": {"contentType": "text/plain"}}},
        },
    },
}


def secure(app: FastAPI, wanted: bool) -> None:
    """Say in the document which routes want a token, if any do."""
    if not wanted:
        return
    document = app.openapi()
    document.setdefault("components", {})["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"}
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if route_of(path) not in OPEN:
                operation["security"] = [{"token": []}]
