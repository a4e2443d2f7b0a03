"""The body of a request, as a zip file of a capture on the disk."""

import json
import tempfile
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from geolrm.engine.captures.images import IMAGE_SUFFIXES
from geolrm.engine.captures.json_fields import MAX_JSON_BYTES
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import Limits

ZIP_TYPES = ("application/zip", "application/x-zip-compressed", "application/octet-stream")
FORM_TYPE = "multipart/form-data"
IN_MEMORY = 1 << 20  # bytes; more of them go to a file without a name
PART = 1 << 20
SUFFIXES = (*IMAGE_SUFFIXES, ".heic", ".heif")
MOST_ANCHOR_BYTES = 1 << 22  # of the part "anchors"
WANTED_PARTS = (
    "send the part 'capture' with a zip file, or parts 'images' and one 'transforms' with "
    "transforms.json"
)


@asynccontextmanager
async def received(request: Request, limits: Limits) -> AsyncIterator[tuple[BinaryIO, Any]]:
    """Yield a zip file of what a request carries, and its anchors; it goes when the block ends.

    Names of files that come as parts are compared with those in transforms.json, and never used.

    Raises:
        Refusal: The body is of another type, or lacks a part.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in (*ZIP_TYPES, FORM_TYPE):
        raise Refusal(
            415,
            f"the content type is {media_type[:100]!r}; send a capture as {ZIP_TYPES[0]}, or as "
            f"{FORM_TYPE}",
        )
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as archive:
        if media_type in ZIP_TYPES:
            async for part in request.stream():
                archive.write(part)
            archive.seek(0)
            yield archive, None  # pyright: ignore[reportReturnType]
            return
        try:
            form = await request.form(
                max_files=limits.images + 3, max_fields=8, max_part_size=MAX_JSON_BYTES
            )
        except HTTPException as error:
            raise Refusal(400, f"the form cannot be read: {error.detail}; {WANTED_PARTS}") from None
        try:
            anchors = await run_in_threadpool(anchors_of, form)
            whole = await run_in_threadpool(capture_of, form, archive, limits)
            yield whole, anchors
        finally:
            await form.close()


def capture_of(form: FormData, archive: Any, limits: Limits) -> BinaryIO:
    """Return the zip file of a form, or write one of its images to ``archive``.

    Raises:
        Refusal: A part is missing, too many, or of another type.
    """
    parts = form.getlist("capture")
    images = form.getlist("images")
    if len(parts) == 1 and isinstance(parts[0], UploadFile) and not images:
        return parts[0].file
    if parts or not images or not all(isinstance(image, UploadFile) for image in images):
        raise Refusal(400, f"the form has other parts than are read; {WANTED_PARTS}")
    if len(images) > limits.images:
        raise Refusal(
            413, f"the form has {len(images)} images; this server takes {limits.images}: send fewer"
        )
    content = transforms_of(form)
    files = [image for image in images if isinstance(image, UploadFile)]
    ours = [f"images/{index:04d}{_suffix(file.filename)}" for index, file in enumerate(files)]
    if content is not None:
        rename_frames(content, [file.filename or "" for file in files], ours)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for name, file in zip(ours, files, strict=True):
            with packed.open(name, "w") as target:
                while part := file.file.read(PART):
                    target.write(part)
        if content is not None:
            packed.writestr("transforms.json", json.dumps(content))
    archive.seek(0)
    return archive


def transforms_of(form: FormData) -> dict[str, Any] | None:
    """Return the part ``transforms``, a file or text; None where there is none: photographs.

    Raises:
        Refusal: It is no JSON object.
    """
    content = _json_of(form, "transforms", MAX_JSON_BYTES)
    if content is not None and not isinstance(content, dict):
        raise Refusal(400, f"the part 'transforms' is no JSON object; {WANTED_PARTS}")
    return content


def anchors_of(form: FormData) -> Any:
    """Return the part ``anchors``, positions [N, 3] that the engine checks; None without."""
    return _json_of(form, "anchors", MOST_ANCHOR_BYTES)


def _json_of(form: FormData, key: str, most: int) -> Any:
    parts = form.getlist(key)
    if not parts:
        return None
    part = parts[0]
    text = part.file.read(most + 1) if isinstance(part, UploadFile) else part
    try:
        if len(parts) > 1 or len(text) > most:
            raise ValueError
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal(
            400, f"the part {key!r} must be there once, as JSON of at most {most:,} bytes"
        ) from None


def rename_frames(content: dict[str, Any], names: Sequence[str], ours: Sequence[str]) -> None:
    """Put our names of files in the place of those in transforms.json that mean them.

    A frame means the file whose name ends as its path does; of several, that of the same suffix,
    and then that whose name says no more. A file that several paths mean is that of the one that
    ends longest as it does.

    Raises:
        Refusal: A path may mean several files, or a file several paths.
    """
    files = _Files(names, ours)
    frames = content.get("frames")
    fields = [
        (frame, key, f"missing/{index:04d}")
        for index, frame in enumerate(frames if isinstance(frames, list) else ())
        for key in ("file_path", "mask_path")
        if isinstance(frame, dict) and isinstance(frame.get(key), str)
    ]
    for frame, key, _ in fields:
        files.claim(frame[key])
    for frame, key, missing in fields:
        frame[key] = files.given(frame[key]) or missing


class _Files:
    """Files by the ends of their names, and the paths that mean them."""

    def __init__(self, names: Sequence[str], ours: Sequence[str]):
        self._known: dict[_Key, list[str]] = {}
        self._best: dict[str, tuple[_Score, str]] = {}  # by file: the path that means it most
        self._found: dict[str, str] = {}  # by path
        for name, our in zip(names, ours, strict=True):
            parts, suffix = _parts(name)
            for start in range(len(parts)):
                for whole in (True, False) if start == 0 else (False,):
                    for kind in (suffix, None):
                        self._known.setdefault((parts[start:], kind, whole), []).append(our)

    def claim(self, path: str) -> None:
        """Look for the file that a path means, and note it unless another path means it more."""
        parts, suffix = _parts(path)
        for end in (parts[start:] for start in range(len(parts))):
            if (end, None, False) not in self._known:
                continue
            keys = ((end, kind, whole) for kind in (suffix, None) for whole in (True, False))
            found, kind = next((self._known[key], key[1]) for key in keys if key in self._known)
            if len(found) > 1:
                raise Refusal(
                    400,
                    f"the form has {len(found)} parts that {_quoted(path)} may mean; give their "
                    "names the folders that tell them apart",
                )
            self._note(path, found[0], (len(end), kind is not None))
            return

    def _note(self, path: str, our: str, score: "_Score") -> None:
        best, other = self._best.get(our, ((0, False), path))
        if score == best and not _alike(path, other):
            raise Refusal(
                400,
                f"a part of the form may mean {_quoted(other)} and {_quoted(path)}; give its name "
                "the folder that tells them apart",
            )
        if score > best:
            self._best[our] = score, path
        self._found[path] = our

    def given(self, path: str) -> str | None:
        """Return the file of a path, None where there is none or another path means it more."""
        our = self._found.get(path)
        return our if our is not None and _alike(self._best[our][1], path) else None


_Key = tuple[tuple[str, ...], str | None, bool]  # an end, a suffix, and whether it is all there is
_Score = tuple[int, bool]  # parts of the end, and whether the suffix is the same


def _alike(one: str, other: str) -> bool:
    """Tell whether two paths are the same as far as both say."""
    (parts, suffix), (others, second) = _parts(one), _parts(other)
    shorter = min(len(parts), len(others))
    same = parts[-shorter:] == others[-shorter:] if shorter else parts == others
    return same and (suffix == second or not (suffix and second))


def _quoted(path: str) -> str:
    return repr(path if len(path) < 100 else f"...{path[-100:]}")


def _parts(name: str) -> tuple[tuple[str, ...], str]:
    """Return what of a name is compared: its components without the suffix, and the suffix."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    suffix = PurePosixPath(parts[-1]).suffix.lower() if parts else ""
    if suffix in SUFFIXES:
        parts[-1] = PurePosixPath(parts[-1]).stem
    else:
        suffix = ""
    return tuple(part.casefold() for part in parts[-8:]), ".jpg" if suffix == ".jpeg" else suffix


def _suffix(name: str | None) -> str:
    """Return the suffix of a known kind of image; the content says in the end what it is."""
    suffix = PurePosixPath(name or "").suffix.lower()
    return suffix if suffix in SUFFIXES else ".png"
