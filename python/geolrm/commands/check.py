"""``geolrm check``: what is doubtful about a capture."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geolrm.commands.capture_options import AllowOutside, Fit, RemoveBackground
from geolrm.commands.console import CAPTURE_HELP, print_json, say, steps
from geolrm.engine.errors import InputError
from geolrm.engine.system.exit_codes import FAILED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_SIDE = 1024  # px, to which images are reduced: more than is compared or drawn
LEAST_SIDE = 256  # px, to which images of captures of very many views are reduced: what is compared
MEMORY = 1 << 30  # bytes of all images, beyond which they are reduced further
OUT_OF_MEMORY = "use fewer or smaller images"


def check(
    capture: Annotated[Path, typer.Argument(help=CAPTURE_HELP)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Overview of cameras, cube and images (.png).")
    ] = Path("check.png"),
    model: Annotated[str, typer.Option(help="'mini' or a bundle folder.")] = "mini",
    remove_background: RemoveBackground = False,
    fit: Fit = False,
    allow_outside: AllowOutside = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if anything is doubtful.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say what a capture is and what is doubtful about it, and draw its cameras.

    Example: geolrm check examples/captures/shoe -o check.png
    """
    from geolrm.engine.bundle.bundle import Bundle
    from geolrm.engine.captures import read_capture
    from geolrm.engine.captures.diagnostics.diagnosis import diagnose
    from geolrm.engine.captures.lazy_images import LazyImages, shapes_of
    from geolrm.engine.captures.overview import draw_overview
    from geolrm.engine.system.atomic import check_writable
    from geolrm.engine.views.sheets import save_image

    if output.suffix.lower() != ".png":
        raise InputError(f"the overview is {str(output)!r}; its file name must end in .png")
    check_writable(output)
    manifest = Bundle.open(model).manifest
    with steps(not as_json) as step:
        step("reading the capture")
        read = functools.partial(
            read_capture,
            capture,
            remove_background=remove_background,
            fit=fit,
            allow_outside=allow_outside,
        )
        content = read(longest_side=LONGEST_SIDE)
        if (side := _affordable_side(shapes_of(content.images))) < LONGEST_SIDE:
            content = read(longest_side=side)
        if isinstance(content.images, LazyImages):
            content.images.decode()
        step("looking for what is doubtful")
        diagnosis = diagnose(content, manifest.fov_degrees, manifest.image_size)
        step("drawing")
        save_image(draw_overview(content, diagnosis), output)
    if as_json:
        print_json(
            {
                "capture": str(capture),
                "kind": content.kind,
                "found": content.found,
                "notes": content.notes,
                "views": len(content),
                "doubts": [
                    {"topic": each.topic, "text": each.text, "views": each.views}
                    for each in diagnosis.diagnostics
                ],
                "colors": _colors(diagnosis.stops),
                "output": str(output),
            }
        )
    else:
        say(content.found)
        for note in content.notes:
            say(f"note: {note}")
        for diagnostic in diagnosis.diagnostics:
            say(f"doubt: {diagnostic}")
        say(f"{diagnosis.count}; cameras, cube and images -> {output}")
    if strict and diagnosis.diagnostics:
        raise SystemExit(FAILED)


def _affordable_side(shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the longest side in pixels with which images of these shapes fit in ``MEMORY``."""
    excess = sum(map(math.prod, shapes)) / MEMORY
    longest = max(max(shape[:2]) for shape in shapes)
    return LONGEST_SIDE if excess <= 1 else max(int(longest / math.sqrt(excess)), LEAST_SIDE)


def _colors(stops: NDArray[np.float64] | None) -> list[dict[str, Any]] | None:
    """Say by how much each view's colours differ from those of the views beside it."""
    from geolrm.engine.captures.diagnostics.exposure_checks import grey_gains

    if stops is None:
        return None
    return [
        {
            "brightness_stops": round(float(brightness), 3),
            "correction": [round(float(gain), 3) for gain in gains],
        }
        for brightness, gains in zip(stops[:, 0], grey_gains(stops), strict=True)
    ]
