"""The pipeline: photographs to a posed capture, step by step.

photographs or a video
| taken in: upright, reduced, measured          intake.py, video_frames.py
| the useless left out                          intake.left_out
| masks first, if the background is static      masks.py
| features, pairs, matches, models              ladder.py, in a child process
| masks, lens distortion removed                masks.py, mapping_job.undistort
| moved and scaled into the cube                captures/fitting.py
v written, with a report                        writing.py, report.py
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.colmap_model import NO_DISTORTION
from geolrm.engine.captures.fitting import fit_to_cube
from geolrm.engine.captures.video import CONTAINERS
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras
from geolrm.engine.photographs.child_process import run_job
from geolrm.engine.photographs.intake import Photograph, file_stem, left_out, spread, take_in
from geolrm.engine.photographs.ladder import Climb, Tell, climb
from geolrm.engine.photographs.masks import choose_segmenter, find_mask, read_mask
from geolrm.engine.photographs.models import Model
from geolrm.engine.photographs.options import FEWEST, PhotographOptions
from geolrm.engine.photographs.report import again, reasons, summary
from geolrm.engine.photographs.sources import PHOTOGRAPH_SUFFIXES, list_photographs, mask_file
from geolrm.engine.photographs.steps import Steps, digest, file_digest
from geolrm.engine.photographs.video_frames import choose_frames
from geolrm.engine.photographs.writing import write_capture
from geolrm.engine.system.atomic import atomic_folder, check_writable, existing_path
from geolrm.engine.system.extras import require
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
    require("pycolmap", "finding the poses of photographs", extra="photos")
    check_writable(output)
    steps = Steps(output.with_name(f"{output.name}.steps"))
    busy = f"another process works on {str(output)!r}; wait for it, or name another output"
    with _writing(steps.folder), locked(steps.folder / "lock", busy, keep=False):
        return _run(source, output, options, steps, progress)


def _run(
    source: Path, output: Path, options: PhotographOptions, steps: Steps, progress: Progress
) -> dict[str, Any]:
    def tell(title: str) -> Callable[[int, int], None]:
        progress(title, 0, 0)
        return lambda done, total: progress(title, done, total)

    notes: list[str] = []
    files = _files(source, options, steps, tell, notes)
    taken, folder, key, broken = _take_in(files, options, steps, tell)
    early = left_out(taken)
    useful = [each for each in taken if each.file not in early]
    _check_useful(source, len(files), len(useful), early, broken)
    sources = {each.file: path for each, path in taken_paths(taken, files)}
    mask_folder = None
    if options.turntable:
        mask_folder = _masks(useful, sources, folder, options, steps, key, tell, notes)
        if mask_folder is None:
            raise InputError(
                f"{str(source)!r} has no masks, which --turntable needs to tell the object from "
                "the background; give a folder 'masks', or --masks rembg"
            )

    def enlarge() -> tuple[list[Photograph], Path]:
        larger = replace(options, max_side=max(LARGE_SIDE, options.max_side))
        again, place, *_ = _take_in(files, larger, steps, tell, "large_photographs")
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
        mask_folder = _masks(posed, sources, folder, options, steps, key, tell, notes)
    images, pinholes = _undistorted(model, posed, folder, mask_folder, steps, key, tell)
    tell("fitting the object into the cube")
    capture = _capture(source, model, posed, images, pinholes)
    out = reasons(taken, climbed, early)
    report = _report(climbed, taken, out, capture, options, notes, steps, broken)
    tell("writing")
    with atomic_folder(output) as folder:
        write_capture(folder, capture, model.rgb, report, [Path(n).stem for n in model.names])
    return report


def _files(
    source: Path, options: PhotographOptions, steps: Steps, tell: Tell, notes: list[str]
) -> list[Path]:
    """List the photographs, or choose the frames of a video."""
    if source.is_file():
        if source.suffix.lower() not in CONTAINERS:
            raise InputError(
                f"{str(source)!r} is neither a folder of photographs nor a video "
                f"({', '.join(CONTAINERS)})"
            )
        most = min(options.max_photos, 80)
        place = steps.place("frames", file_digest(source), most, options.max_side)
        found = steps.done(
            place,
            lambda: choose_frames(
                source, place, most, options.max_side, tell("choosing frames of the video")
            ),
        )
        notes.append(
            f"{len(found['files'])} of {found['decoded']} frames of the video were chosen, sharp "
            f"and spread; {found['equal']} nearly equal ones were left out"
        )
        return [place / name for name in found["files"]]
    files = list_photographs(source)
    if not files:
        raise InputError(
            f"{str(source)!r} holds no photographs ({', '.join(PHOTOGRAPH_SUFFIXES)}); give the "
            "folder that holds them, or a video"
        )
    if len(files) > options.max_photos:
        raise InputError(
            f"{str(source)!r} holds {len(files):,} photographs, more than --max-photos "
            f"{options.max_photos}; 60 to 150 are enough for one object: put an even subset into a "
            f"folder, such as every {-(-len(files) // options.max_photos)}th, or raise --max-photos"
        )
    return spread(files, options.max_photos)


def _take_in(
    files: Sequence[Path],
    options: PhotographOptions,
    steps: Steps,
    tell: Tell,
    name: str = "photographs",
) -> tuple[list[Photograph], Path, str, dict[str, str]]:
    """Write the photographs upright and reduced, and say which cannot be read."""
    report = tell("reading the photographs")
    hashes = []
    for path in files:
        hashes.append([path.name, file_digest(path)])
    key = digest(hashes, options.max_side)
    place = steps.place(name, key)

    def make() -> dict[str, Any]:
        taken, broken = [], {}
        for index, path in enumerate(files):
            try:
                each = take_in(path, place, file_stem(index, path), options.max_side)
                taken.append(msgspec.to_builtins(each))
            except InputError as error:
                if str(error).startswith("cannot write"):
                    raise
                broken[path.name] = str(error)
            report(index + 1, len(files))
        return {"taken": taken, "broken": broken}

    found = steps.done(place, make)
    return msgspec.convert(found["taken"], list[Photograph]), place, key, found["broken"]


def taken_paths(
    taken: Sequence[Photograph], files: Sequence[Path]
) -> list[tuple[Photograph, Path]]:
    """Pair photographs with the files that they were read from, by the number in their name."""
    return [(each, files[int(each.file.split("_")[0])]) for each in taken]


def _check_useful(
    source: Path, given: int, useful: int, early: dict[str, str], broken: dict[str, str]
) -> None:
    if useful >= FEWEST:
        return
    if given < FEWEST:
        raise InputError(
            f"{str(source)!r} holds {given} photograph{'s' if given > 1 else ''}; a capture needs "
            f"at least {FEWEST}, and 30 to 80 from all around are good: take more"
        )
    counts = {
        "blurred": sum(why == "blurred" for why in early.values()),
        "of one spot, equal to another": sum(why.startswith("equal") for why in early.values()),
        "unreadable": len(broken),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    raise InputError(
        f"of {given} photographs of {str(source)!r} {useful} can be used ({said}), and a capture "
        f"needs at least {FEWEST}; take sharp ones from all around the object"
    )


def _masks(
    photographs: Sequence[Photograph],
    sources: dict[str, Path],
    folder: Path,
    options: PhotographOptions,
    steps: Steps,
    key: str,
    tell: Tell,
    notes: list[str],
) -> Path | None:
    """Write a mask ``FILE.png`` for each photograph; None where there is none to be had."""
    from PIL import Image

    given = {each.file: mask_file(sources[each.file]) for each in photographs}
    hashes = {file: file_digest(path) for file, path in given.items() if path}
    names = [each.file for each in photographs]
    lacking = [each for each in photographs if not each.has_alpha and not given[each.file]]
    segmenter, chosen = choose_segmenter(options.masks) if lacking else (None, "")
    if lacking and segmenter is None:
        notes.append(chosen)
        if len(lacking) == len(photographs):
            return None
    place = steps.place("masks", key, names, hashes, chosen)

    def make() -> dict[str, int]:
        report = tell("cutting out the object")
        counts = {"alpha": 0, "file": 0, "rembg": 0}
        for number, each in enumerate(photographs):
            target = place / f"{each.file}.png"
            file = given[each.file]
            if file is not None:
                mask, how = read_mask(file, (each.width, each.height)), "file"
            elif each.has_alpha:
                mask, how = np.asarray(Image.open(folder / each.file).getchannel("A")), "alpha"
            elif segmenter is not None:
                how = "rembg"
                if target.is_file():  # of an interrupted call
                    counts[how] += 1
                    continue
                with Image.open(folder / each.file) as image:
                    mask = find_mask(segmenter, np.asarray(image.convert("RGB")))
            else:
                continue
            part = target.with_suffix(".part")
            Image.fromarray(mask).save(part, "PNG", compress_level=1)
            part.replace(target)
            counts[how] += 1
            report(number + 1, len(photographs))
        return counts

    counts = steps.done(place, make)
    if counts["rembg"]:
        notes.append(f"{chosen} (rembg) cut {counts['rembg']} photographs out of their background")
    return place


def _undistorted(
    model: Model,
    posed: Sequence[Photograph],
    folder: Path,
    masks: Path | None,
    steps: Steps,
    key: str,
    tell: Tell,
) -> tuple[list[Path], list[dict[str, Any]]]:
    """Give photographs their masks as alpha, and remove lens distortion."""
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
