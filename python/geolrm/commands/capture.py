"""``geolrm capture``: photographs without poses, or a video, to a posed capture."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from geolrm.commands.console import print_json, say, steps
from geolrm.engine.errors import InputError

OUT_OF_MEMORY = "use a smaller --max-photos or --max-side"


def capture(
    source: Annotated[Path, typer.Argument(help="A folder of photographs, or a video.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the capture.")],
    max_photos: Annotated[
        int, typer.Option(help="Most photographs; of a video, frames, 80 at most.")
    ] = 200,
    max_side: Annotated[
        int, typer.Option(help="Longest side in px; larger ones are reduced.")
    ] = 1600,
    masks: Annotated[
        str,
        typer.Option(help="auto, rembg (the background of photographs without mask) or none."),
    ] = "auto",
    turntable: Annotated[
        bool, typer.Option("--turntable", help="The object turns before a static background.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is random in COLMAP.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Find the poses of photographs, cut the object out, and write a capture.

    Example: geolrm capture photos -o shoe.capture
    """
    from geolrm.engine.photographs import PhotographOptions
    from geolrm.engine.photographs.options import Masks

    options = PhotographOptions(max_photos, max_side, cast(Masks, masks), turntable, threads, seed)
    with steps(not as_json) as step:
        report = pose(source, output, options, step)
    if as_json:
        print_json({"source": str(source), "output": str(output), **report})
        return
    print_report(report)
    say(f"the capture -> {output}")


def pose(source: Path, output: Path, options: Any, step: Callable[[str], None]) -> dict[str, Any]:
    """Find poses, telling the steps, how far they are, and how long they will take."""
    from geolrm.engine.photographs import capture_photographs

    started: dict[str, float] = {}
    shown = ["", 0.0]

    def tell(title: str, done: int, total: int) -> None:
        now = time.monotonic()
        begun = started.setdefault(title, now)
        if not total:
            step(title)
            return
        if now - cast(float, shown[1]) < 2 and done < total:
            return
        shown[1] = now
        left = (now - begun) / done * (total - done) if done else 0
        step(f"{title}: {done} of {total}" + (f", about {left:.0f} s left" if done < total else ""))

    return capture_photographs(source, output, options, tell)


def print_report(report: dict[str, Any]) -> None:
    """Print how many are posed, which are not and why, and what to photograph again."""
    say(
        f"{report['posed']} of {report['photographs']} photographs are posed, from "
        f"{report['points']:,} points, {report['reprojection_error_px']} px reprojection error"
    )
    for entry in report["left_out"]:
        say(f"left out: {entry['name']}: {entry['reason']}")
    for rung in report["rungs"]:
        got = rung.get("failed") or f"{rung['posed']} in one model of {len(rung['models'])}"
        say(f"tried: {rung['rung']}: {got}")
    for sentence in report["photograph_again"]:
        say(f"photograph again: {sentence}")
    for note in report["notes"]:
        say(f"note: {note}")


def capture_beside(output: Path) -> Path:
    """Name the capture that is kept beside a result: ``shoe.capture`` of ``shoe.ply``."""
    path = output.with_suffix(".capture")
    if path == output:
        raise InputError(f"output {str(output)!r} is what its capture is called; name another")
    return path
