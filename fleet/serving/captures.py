"""A client's capture on its way to the engine: unpacked, measured, read as ``geolrm run`` reads."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from geolrm.engine.captures import Capture
from geolrm.engine.captures.chosen_views import LONGEST_SIDE, read_for_run
from geolrm.engine.captures.images import FORMATS, IMAGE_SUFFIXES
from geolrm.engine.captures.json_fields import MAX_JSON_BYTES
from geolrm.engine.errors import InputError
from geolrm.engine.photographs import PhotographOptions, capture_photographs, is_photographs
from geolrm.engine.system.extras import installed_version
from geolrm.engine.system.user_warnings import warn
from geolrm.fleet.archives import extract_capture
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import Limits

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # of FORMATS, but WebP
FILE_FIELDS = ("file_path", "mask_path")


def unpack(archive: BinaryIO, folder: Path, limits: Limits) -> Path:
    """Unpack a zip file into an empty folder, and measure its images before any is decoded.

    Raises:
        InputError: The archive or what is in it breaks a limit.
    """
    root = extract_capture(archive, folder, limits.archives)
    check_images(root, limits)
    for file in root.glob("transforms*.json"):
        keep_inside(file)
    return root


def check_images(folder: Path, limits: Limits) -> None:
    """Refuse more images, or more pixels in them, than a request may have.

    What a file is, its first bytes say: frames may name images whatever they are called.

    Raises:
        InputError: There are.
    """
    from PIL import Image

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    count = sum(path.suffix.lower() in IMAGE_SUFFIXES or _begins_as_image(path) for path in files)
    if count > limits.images:
        raise InputError(
            f"the capture has {count} images and masks; this server takes {limits.images}: "
            "leave some out"
        )
    pixels = 0
    for path in files:
        try:
            with Image.open(path, formats=FORMATS) as image:
                pixels += image.width * image.height
        except Image.DecompressionBombError:
            pixels = limits.pixels + 1
        except (OSError, SyntaxError, ValueError):  # the reader says what is wrong, if it is used
            continue
        _check_pixels(pixels, path.name, limits)


def _begins_as_image(path: Path) -> bool:
    """Tell whether a file has the first bytes of a format that is decoded."""
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _check_pixels(pixels: int, name: str, limits: Limits) -> None:
    if pixels > limits.pixels:
        raise Refusal(
            413,
            f"the images up to {name!r} state more than the {limits.pixels:,} pixels that this "
            "server decodes for a request; make them smaller, or send fewer",
        )


def keep_inside(file: Path) -> None:
    """Make the paths in a transforms.json relative, so that none is looked up outside its folder.

    What is no such file stays as it is: the reader says what is wrong with it.
    """
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            return
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list):
        return
    changed = False
    for frame in frames:
        for key in FILE_FIELDS if isinstance(frame, dict) else ():
            path = frame.get(key)
            if isinstance(path, str) and (inside := relative(path)) != path:
                frame[key], changed = inside, True
    if changed:
        file.write_text(json.dumps(content), encoding="utf-8")


def relative(path: str) -> str:
    """Return what is left of a path without its root, its drive, and steps upwards."""
    rest = re.sub(r"^[A-Za-z]:", "", path.replace("\\", "/"))
    if not (rest.startswith("/") or rest != path or ".." in path.split("/")):
        return path
    return "/".join(part for part in rest.split("/") if part not in ("", ".", "..")) or "image"


def pose_where_needed(
    root: Path, folder: Path, seed: int, threads: int | None, tell: Callable[[str], None]
) -> Path:
    """Find the poses of photographs that have none; any other capture stays where it is.

    Raises:
        InputError: They are photographs, and this server has no ``[photos]``; or show no object.
    """
    if not is_photographs(root):
        return root
    if installed_version("pycolmap") is None:
        raise InputError(
            "these are photographs without poses, and this server runs without geolrm[photos]; "
            "send transforms.json with them, or another kind of capture"
        )
    options = PhotographOptions(threads=threads, seed=seed % (1 << 31))

    def progress(title: str, done: int, total: int) -> None:
        tell(f"{title} {done}/{total}" if total else title)

    capture_photographs(root, folder / "posed", options, progress)
    return folder / "posed"


def read(root: Path, wanted: str | None, preferred: int, notes: list[str]) -> Capture:
    """Read a capture and choose its views, as ``geolrm run`` does.

    Args:
        root: Its folder.
        wanted: ``6`` for so many views, ``0,4,8`` for frames; None: as many as the model prefers.
        preferred: How many that is.
        notes: Takes what was assumed or changed, a sentence each.

    Raises:
        InputError: The capture cannot be read, or has no such views.
    """
    ready = read_for_run(root)
    for doubt in ready.doubts:
        warn(doubt)
    _, used = ready.choose(wanted, preferred)
    notes += [*ready.capture.notes, *ready.left_out]
    return used


def decode_image(content: bytes, limits: Limits) -> Any:
    """Decode one image that came by itself: uint8 [H, W, 3|4].

    Raises:
        InputError: It is no image.
        Refusal: It states too many pixels.
    """
    import io

    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_pixels(image.width * image.height, "the view", limits)
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            if max(image.size) > LONGEST_SIDE:
                image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            _check_pixels(limits.pixels + 1, "the view", limits)
        why = str(error)[:200] or "memory does not suffice"
        raise InputError(
            f"the view's image cannot be decoded: {why}; send a whole PNG, JPEG or WebP"
        ) from error
