"""What a source of photographs is: a folder of them, or a video."""

from pathlib import Path

from geolrm.engine.captures.images import IMAGE_SUFFIXES, natural_sort
from geolrm.engine.captures.orbits import SV3D_FRAMES
from geolrm.engine.captures.video import CONTAINERS
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import existing_path

HEIC_SUFFIXES = (".heic", ".heif")
PHOTOGRAPH_SUFFIXES = (*IMAGE_SUFFIXES, *HEIC_SUFFIXES)
IMAGE_FOLDER, MASK_FOLDER = "images", "masks"
# Files and folders with which a folder is a capture that has poses already.
POSED = ("transforms*.json", "poses.npy", "poses_bounds.npy", "sparse", "colmap", "cameras.*",
         "[0-9]*/[0-9]*.json", "campos_512_v4", "*.npy")  # fmt: skip


def is_photographs(source: Path) -> bool:
    """Tell photographs without poses from captures: a folder of images alone, or a long video."""
    try:
        if source.is_file():
            return source.suffix.lower() in CONTAINERS and not _may_be_orbit(source)
        if not source.is_dir() or any(next(source.glob(each), None) for each in POSED):
            return False
        found = list_photographs(source)
        return bool(found) and not (len(found) == SV3D_FRAMES and _squares(found))
    except OSError:
        return False


def list_photographs(folder: Path) -> list[Path]:
    """List the photographs of a folder, or of its folder ``images``, in natural order.

    Raises:
        InputError: The folder cannot be listed.
    """
    folder = existing_path(folder)
    try:
        for place in (folder, folder / IMAGE_FOLDER):
            if place.is_dir():
                found = [
                    entry
                    for entry in place.iterdir()
                    if entry.suffix.lower() in PHOTOGRAPH_SUFFIXES
                    and not entry.name.startswith(".")
                    and entry.is_file()
                ]
                if found:
                    return natural_sort(found)
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be listed: {error.strerror}") from error
    return []


def mask_file(photograph: Path) -> Path | None:
    """Find the mask of a photograph: its name or stem in ``masks`` in or beside its folder."""
    for folder in (photograph.parent / MASK_FOLDER, photograph.parent.parent / MASK_FOLDER):
        for stem in (photograph.name, photograph.stem):
            for suffix in IMAGE_SUFFIXES:
                if (candidate := folder / f"{stem}{suffix}").is_file():
                    return candidate
    return None


def _squares(files: list[Path]) -> bool:
    from PIL import Image

    try:
        with Image.open(files[0]) as image:
            return image.width == image.height
    except (OSError, SyntaxError, ValueError, MemoryError):
        return True  # whoever reads it says what is wrong


def _may_be_orbit(video: Path) -> bool:
    """Tell whether a video could be a clip of SV3D, which is square and has 21 frames."""
    try:
        import av

        with video.open("rb") as file, av.open(file, format=CONTAINERS[video.suffix.lower()]) as it:
            stream = it.streams.video[0]
            size = stream.codec_context
            return size.width == size.height and stream.frames in (0, SV3D_FRAMES)
    except Exception:  # not installed, or damaged: the reader of clips says which
        return True
