"""Posed photographs with their masks as alpha, as a pinhole camera would have seen them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geolrm.engine.captures.colmap_model import NO_DISTORTION
from geolrm.engine.photographs.child_process import run_job
from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.models import Model
from geolrm.engine.photographs.steps import Steps, Tell


def cut_out(
    model: Model,
    posed: Sequence[Photograph],
    folder: Path,
    masks: Path | None,
    steps: Steps,
    key: str,
    tell: Tell,
) -> tuple[list[Path], list[dict[str, Any]]]:
    """Give photographs their masks as alpha, and remove lens distortion.

    Args:
        model: With M photographs.
        posed: M, as they were taken in.
        folder: Of the photographs.
        masks: The folder of ``FILE.png``, or None.
        steps: Keeps the images.
        key: A hash of the photographs.
        tell: Takes titles and progress.

    Returns:
        M images, and their pinhole cameras: width, height, ``focal`` and ``centre`` in pixels.
    """
    from PIL import Image

    bends = any(abs(value) > NO_DISTORTION for c in model.cameras for value in c["params"][3:])
    made_of = (key, model.names, model.cameras, masks.name if masks else None)
    place = steps.place("undistorted", *made_of)
    outputs = [place / f"{each.file}.png" for each in posed]

    def make() -> list[dict[str, Any]]:
        report = tell("removing lens distortion" if bends else "cutting out")
        sources = []
        for number, each in enumerate(posed):
            mask = None if masks is None else masks / f"{each.file}.png"
            target = place / f"{each.file}.cut.png" if bends else outputs[number]
            with Image.open(folder / each.file) as image:
                cut = image.convert("RGB")
            if mask is not None and mask.is_file():
                with Image.open(mask) as alpha:
                    cut.putalpha(alpha.convert("L"))
            cut.save(target, compress_level=1)
            sources.append(target)
            if not bends:
                report(number + 1, len(posed))
        if not bends:
            return [_pinhole(camera) for camera in model.cameras]
        job = [
            {"source": str(s), "output": str(o), "camera": c}
            for s, o, c in zip(sources, outputs, model.cameras, strict=True)
        ]
        cameras = run_job("undistort", place / "colmap.log", report, images=job)
        for path in sources:
            path.unlink()
        return cameras

    return outputs, steps.done(place, make)


def _pinhole(camera: dict[str, Any]) -> dict[str, Any]:
    focal, cx, cy = camera["params"][:3]
    return {"width": camera["width"], "height": camera["height"], "focal": [focal, focal],
            "centre": [cx, cy]}  # fmt: skip
