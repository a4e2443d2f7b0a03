"""The pipeline: photographs to a posed capture, step by step.

photographs or a video
| taken in: upright, reduced, measured          gathering.py, intake.py, video_frames.py
| the useless left out                          intake.left_out
| masks first, if the background is static      masks.py
| features, pairs, matches, models              ladder.py, in a child process
| masks, lens distortion removed                masks.py, cutouts.py
| moved and scaled into the cube                captures/fitting.py
v written, with a report                        writing.py, report.py
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.fitting import fit_to_cube
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras
from geolrm.engine.photographs.cutouts import cut_out
from geolrm.engine.photographs.gathering import (
    UselessSourceError,
    check_useful,
    find_files,
    take_in_all,
    taken_paths,
)
from geolrm.engine.photographs.intake import Photograph, left_out
from geolrm.engine.photographs.ladder import Climb, climb
from geolrm.engine.photographs.masks import write_masks
from geolrm.engine.photographs.models import Model
from geolrm.engine.photographs.options import FEWEST, PhotographOptions
from geolrm.engine.photographs.packages import need
from geolrm.engine.photographs.report import again, reasons, summary
from geolrm.engine.photographs.steps import Steps
from geolrm.engine.photographs.writing import write_capture
from geolrm.engine.system.atomic import atomic_folder, check_writable, existing_path
from geolrm.engine.system.file_lock import locked

Progress = Callable[[str, int, int], None]  # a step's title, how much is done, of how much
LARGE_SIDE = 3200  # px of the photographs of the rung with larger images


def capture_photographs(
    source: str | Path,
    output: str | Path,
    options: PhotographOptions | None = None,
    progress: Progress = lambda title, done, total: None,
) -> dict[str, Any]:
    """Find the poses of photographs, and write them as a capture.

    The steps are kept beside it, in ``OUTPUT.steps``, by hashes of what they were made of: what is
    done is not done again, and an interrupted call goes on where it was.

    Args:
        source: A folder of photographs, or a video.
        output: The folder of the capture, which appears whole or not at all.
        options: How; default: all of :class:`PhotographOptions`.
        progress: Takes titles and progress.

    Returns:
        The report, as ``report.json`` holds it.

    Raises:
        InputError: The photographs are missing, too few or too many, or show no common object.
        GeoLRMError: A package is missing, or COLMAP failed.
    """
    options = options or PhotographOptions()
    source, output = existing_path(source), existing_path(output)
    if not source.exists():
        raise InputError(f"{str(source)!r} does not exist; give a folder of photographs or a video")
    if output.exists() and not (output / "report.json").is_file():
        raise InputError(f"{str(output)!r} was not made by this command; name another output")
    need("pycolmap", "finding the poses of photographs")
    check_writable(output)
    kept = output.with_name(f"{output.name}.steps")
    new = not kept.exists()
    steps = Steps(kept)
    busy = f"another process works on {str(output)!r}; wait for it, or name another output"
    try:
        with _writing(kept), locked(kept / "lock", busy, keep=False):
            return _run(source, output, options, steps, progress)
    except UselessSourceError:
        if new:
            shutil.rmtree(kept, ignore_errors=True)
        raise


def _run(
    source: Path, output: Path, options: PhotographOptions, steps: Steps, progress: Progress
) -> dict[str, Any]:
    def tell(title: str) -> Callable[[int, int], None]:
        progress(title, 0, 0)
        return lambda done, total: progress(title, done, total)

    notes: list[str] = []
    files = find_files(source, options, steps, tell, notes)
    taken, folder, key, broken = take_in_all(files, options, steps, tell)
    early = left_out(taken)
    useful = [each for each in taken if each.file not in early]
    check_useful(source, len(files), len(useful), early, broken)
    sources = {each.file: path for each, path in taken_paths(taken, files)}
    mask_folder = None
    if options.turntable:
        mask_folder = write_masks(useful, sources, folder, options, steps, key, tell, notes)
        if mask_folder is None:
            raise InputError(
                f"{str(source)!r} has no masks, which --turntable needs to tell the object from "
                "the background; give a folder 'masks', or --masks rembg"
            )

    def enlarge() -> tuple[list[Photograph], Path]:
        larger = replace(options, max_side=max(LARGE_SIDE, options.max_side))
        again, place, *_ = take_in_all(files, larger, steps, tell, "large_photographs")
        return [each for each in again if each.file in sources and each.file not in early], place

    mask_key = mask_folder.name if mask_folder else None
    climbed = climb(
        steps, useful, folder, enlarge, mask_folder, [key, mask_key], options.cores, options.seed,
        tell,
    )  # fmt: skip
    if climbed.model is None or len(climbed.model) < FEWEST:
        raise InputError(
            f"no three of the {len(useful)} photographs of {str(source)!r} could be posed "
            "together; move the camera between photographs, by about 15 degrees around the "
            "object, and see docs/photographs.md"
        )
    model = climbed.model
    posed = [next(each for each in useful if each.file == name) for name in model.names]
    if mask_folder is None:
        mask_folder = write_masks(posed, sources, folder, options, steps, key, tell, notes)
    images, pinholes = cut_out(model, posed, folder, mask_folder, steps, key, tell)
    tell("fitting the object into the cube")
    capture = _capture(source, model, posed, images, pinholes)
    out = reasons(taken, climbed, early)
    report = _report(climbed, taken, out, capture, options, notes, steps, broken)
    tell("writing")
    with atomic_folder(output) as folder:
        write_capture(folder, capture, model.rgb, report, [Path(n).stem for n in model.names])
    return report


def _capture(
    source: Path,
    model: Model,
    posed: Sequence[Photograph],
    files: Sequence[Path],
    pinholes: Sequence[dict[str, Any]],
) -> Capture:
    """Make a capture of the model, moved and scaled into the cube."""
    from PIL import Image

    images: list[NDArray[np.uint8]] = []
    for path in files:
        with Image.open(path) as image:
            images.append(np.asarray(image))
    intrinsics = np.zeros((len(images), 3, 3))
    for matrix, camera in zip(intrinsics, pinholes, strict=True):
        size = np.array([camera["width"], camera["height"]], np.float64)
        matrix[[0, 1], [0, 1]] = camera["focal"] / size
        matrix[:2, 2] = camera["centre"] / size
        matrix[2, 2] = 1
    w2c = np.tile(np.eye(4), (len(images), 1, 1))
    w2c[:, :3] = model.w2c
    c2w = (np.linalg.inv(w2c) @ FLIP_YZ).astype(np.float64)
    try:
        capture = Capture(
            source,
            [each.name for each in posed],
            images,
            Cameras(c2w, intrinsics),
            kind="colmap",
            source=source,
            points=model.xyz,
        )
        return fit_to_cube(capture, upright=True)
    except InputError as error:
        raise InputError(f"the photographs of {str(source)!r} were posed, but {error}") from error


def _report(
    climbed: Climb,
    taken: Sequence[Photograph],
    out: dict[str, str],
    capture: Capture,
    options: PhotographOptions,
    notes: Sequence[str],
    steps: Steps,
    broken: dict[str, str],
) -> dict[str, Any]:
    report = summary(climbed, taken, out)
    report["photographs"] += len(broken)
    report["left_out"] += [{"name": name, "reason": why} for name, why in broken.items()]
    by_name = {entry["name"]: entry["reason"] for entry in report["left_out"]}
    return {
        **report,
        "photograph_again": again(capture.cameras.c2w[:, :3, 3], capture.names, by_name),
        "masked": sum(image.shape[2] == 4 for image in capture.images),
        "notes": [*notes, *capture.notes],
        "options": {**asdict(replace(options, threads=options.cores))},
        "steps_done_before": steps.repeated,
    }


@contextlib.contextmanager
def _writing(folder: Path):
    """Turn a disk that fills into a sentence."""
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        raise InputError(
            f"cannot write below {str(folder)!r}: {error.strerror or error} ({free / 1e9:.1f} GB "
            "are free); make room and call again, which goes on from here"
        ) from error
