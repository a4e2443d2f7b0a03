"""Write the page: the built viewer, the splats and a poster in one HTML file."""

import base64
import hashlib
import html
import importlib.metadata
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats.splat_files import encode
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.system.atomic import atomic_file
from geolrm.engine.system.shown_text import shown
from geolrm.engine.views.sheets import to_bytes
from geolrm.viewer.exhibit import Exhibit, InputViews
from geolrm.viewer.framing import FOV, UP_AXES, Home, Up, find_home
from geolrm.viewer.labels import LANGUAGES, label
from geolrm.viewer.parts import split_by_importance

FILES = Path(__file__).parent
POSTER_SIDE = 768  # pixels
WEBP_QUALITY = 85


def write_page(
    exhibit: Exhibit, path: str | Path, *, up: Up = "z", language: str | None = None
) -> int:
    """Write one HTML file that opens from disk and fetches nothing.

    Args:
        exhibit: What to show.
        path: The file to write.
        up: The axis of the Gaussians' frame that stands upright in the page; everything that
            geolrm reconstructs is "z".
        language: Of the page, "en" or "de"; default: the browser's. ``?lang=de`` behind the page's
            address overrides both.

    Returns:
        The size of the page in bytes.

    Raises:
        InputError: ``up`` is no such axis, ``language`` no such language, or the file cannot be
            written.
    """
    if up not in UP_AXES:
        raise InputError(f"up is {up!r}; it must be one of {', '.join(UP_AXES)}")
    if language is not None and language not in LANGUAGES:
        raise InputError(
            f"the language of the page is {language!r}; it must be one of {', '.join(LANGUAGES)}"
        )
    page = make_page(exhibit, up, language).encode()
    with atomic_file(path) as file:
        file.write(page)
    return len(page)


def make_page(exhibit: Exhibit, up: Up = "z", language: str | None = None) -> str:
    """Make the text of the page.

    The script stands behind the first part of the splats and starts there, while the browser still
    reads the others.
    """
    script, styles = _read("viewer.js"), _read("viewer.css")
    parts = split_by_importance(exhibit.gaussians)
    encoded = [encode(part, ".spz", up="z") for part in parts]
    home = find_home(exhibit, up)
    scene = describe(exhibit, up, home, [len(part) for part in parts], sum(map(len, encoded)))
    scene["language"] = language
    splats = [base64.b64encode(content).decode() for content in encoded]
    written = language or LANGUAGES[0]  # until the script runs
    # The page itself forbids what it does not need: all network, and every other script or style.
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}' 'wasm-unsafe-eval' blob:",
            f"style-src '{_hash(styles)}'",
            "worker-src blob:",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    values = {
        "policy": html.escape(policy, quote=False),
        "title": html.escape(heading(exhibit)),
        "caption": html.escape(caption(exhibit, written)),
        "language": written,
        "loading": label(written, "loading"),
        "needsScript": label(written, "needsScript"),
        "version": html.escape(importlib.metadata.version("geolrm")),
        "poster": _data_uri(render_poster(exhibit.gaussians, home.camera)),
        "styles": styles,
        "scene": json.dumps(scene, allow_nan=False).replace("<", "\\u003c"),
        "first": splats[0] if splats else "",
        "script": script,
        "others": "\n".join(
            f'<script type="text/plain" id="splats-{index}">{part}</script>'
            for index, part in enumerate(splats[1:], 1)
        ),
    }
    # One pass, so that nothing inserted is read as a place to insert.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _read("page.html"))


def describe(
    exhibit: Exhibit, up: Up, home: Home, parts: Sequence[int], splat_bytes: int
) -> dict[str, Any]:
    """Describe the exhibit to the page's script; matrices column by column, as in three.js.

    ``parts`` are the numbers of splats in each part of the page, [P].
    """
    to_display = np.eye(4)
    to_display[:3, :3] = UP_AXES[up]
    anchors = exhibit.anchors if exhibit.anchors is not None and len(exhibit.anchors) else None
    return {
        "title": heading(exhibit),
        "caption": caption_parts(exhibit),
        "version": importlib.metadata.version("geolrm"),
        "toDisplay": to_display.T.ravel().tolist(),
        "home": {
            "position": home.position.tolist(),
            "target": home.target.tolist(),
            "fov": FOV,
        },
        "splats": {"count": len(exhibit.gaussians), "parts": list(parts), "format": "spz"},
        "anchors": None if anchors is None else _base64(anchors),
        "views": [] if exhibit.views is None else _views(exhibit.views),
        "facts": _facts(exhibit, splat_bytes),
        "timings": [[shown(name), seconds] for name, seconds in exhibit.timings.items()],
    }


def heading(exhibit: Exhibit) -> str:
    """Write the title; a blank one would be a heading that is read out as nothing."""
    return shown(exhibit.title.strip()) or "Gaussians"


def caption(exhibit: Exhibit, language: str) -> str:
    """Write the line under the title."""
    return " ".join(label(language, name, **values) for name, values in caption_parts(exhibit))


def caption_parts(exhibit: Exhibit) -> list[tuple[str, dict[str, Any]]]:
    """Name the labels of the line under the title, and their values."""
    parts: list[tuple[str, dict[str, Any]]] = [("gaussians", {"count": len(exhibit.gaussians)})]
    if exhibit.views is not None and exhibit.anchors is not None:
        parts.append(("fromViews", {"count": len(exhibit.views)}))
    if "total" in exhibit.timings:
        parts.append(("inSeconds", {"seconds": exhibit.timings["total"]}))
    return parts


def render_poster(gaussians: Gaussians, camera: Any) -> NDArray[np.uint8]:
    """Render what is seen before any script runs: uint8 [S, S, 4] with straight alpha."""
    renders = gaussians.render(camera, (POSTER_SIDE, POSTER_SIDE), background=(0, 0, 0))
    alpha = renders.alpha[0, ..., None]
    color = renders.rgb[0] / np.maximum(alpha, 1e-6)
    return to_bytes(np.concatenate([color, alpha], axis=-1))


def _facts(exhibit: Exhibit, splat_bytes: int) -> list[tuple[str, str, dict[str, Any]]]:
    """List what is known: label of the row, label of its value, and what stands in that."""
    gaussians = exhibit.gaussians

    def count(name: str, number: int) -> tuple[str, str, dict[str, Any]]:
        return f"fact.{name}", "value.count", {"count": number}

    facts = [count("gaussians", len(gaussians))]
    if len(gaussians):
        low, high = gaussians.means.min(axis=0), gaussians.means.max(axis=0)
        facts += [
            (f"fact.{axis}", "value.range", {"low": float(a), "high": float(b)})
            for axis, a, b in zip("xyz", low, high, strict=True)
        ]
    if gaussians.sh is not None:
        degree = int(np.sqrt(gaussians.sh.shape[1])) - 1
        facts.append(("fact.harmonics", "value.degree", {"degree": degree}))
    if exhibit.anchors is not None:
        facts.append(count("anchors", len(exhibit.anchors)))
    if exhibit.views is not None:
        facts.append(count("views", len(exhibit.views)))
    return [*facts, ("fact.data", "value.megabytes", {"size": splat_bytes / 1e6})]


def _views(views: InputViews) -> list[dict[str, Any]]:
    return [
        {
            "name": shown(name),
            "c2w": c2w.T.ravel().tolist(),
            "fx": float(intrinsics[0, 0]),
            "fy": float(intrinsics[1, 1]),
            "cx": float(intrinsics[0, 2]),
            "cy": float(intrinsics[1, 2]),
            "image": _data_uri(image),
        }
        for name, c2w, intrinsics, image in zip(
            views.names, views.cameras.c2w, views.cameras.intrinsics, views.images, strict=True
        )
    ]


def _data_uri(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="WEBP", quality=WEBP_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _base64(points: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(points, "<f4").tobytes()).decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")
