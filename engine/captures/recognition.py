"""What a path holds, and the reader for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from geolrm.engine.captures.background import cut_out
from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.colmap import find_model, read_colmap
from geolrm.engine.captures.file_search import OutsideError, name_some
from geolrm.engine.captures.gobjaverse import holds_object, read_object
from geolrm.engine.captures.images import IMAGE_SUFFIXES, LONGEST_SIDE, list_images
from geolrm.engine.captures.llff import POSES_BOUNDS, read_llff
from geolrm.engine.captures.orbits import SV3D_FRAMES, read_frames, read_sheet
from geolrm.engine.captures.poses import POSES, read_posed_folder
from geolrm.engine.captures.predictions import find_predictions, read_predictions
from geolrm.engine.captures.readiness import (
    ALWAYS_FITTED,
    faulty_views,
    fit_looked_at,
    fit_where_outside,
    ready,
    with_masks_ready,
)
from geolrm.engine.captures.transforms import read_transforms
from geolrm.engine.captures.video import CONTAINERS, read_clip
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import existing_path

TRANSFORMS, TRAINING_TRANSFORMS = "transforms.json", "transforms_train.json"
NERFSTUDIO_MODEL = "colmap/sparse/0"  # what ns-process-data makes transforms.json from
WANTED = (
    "give a folder that holds transforms.json with camera_angle_x or fl_x, and frames with "
    "file_path and transform_matrix; or a COLMAP sparse model, a GObjaverse object, images with "
    f"{POSES} or {POSES_BOUNDS}, the .npz of VGGT or Depth Anything 3, {SV3D_FRAMES} frames or a "
    "clip of SV3D, a Zero123++ sheet, or photographs without poses (geolrm capture)"
)

Reader = Callable[[], Capture]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a caller chose."""

    undo_applied: bool
    longest_side: int
    allow_outside: bool

    @property
    def images(self) -> dict[str, Any]:
        return {"longest_side": self.longest_side, "allow_outside": self.allow_outside}


def load_capture(
    path: str | Path,
    *,
    remove_background: bool = False,
    fit: bool | Literal["auto"] = "auto",
    undo_applied_transform: bool = False,
    allow_outside: bool = False,
) -> Capture:
    """Read a capture of any kind; the files say which, and ``Capture.kind`` tells it.

    * a folder with ``transforms.json`` (NeRF/Blender, nerfstudio), or such a file;
    * a folder with a COLMAP sparse model, in ``sparse/0``, ``sparse`` or by itself;
    * the folder of a GObjaverse object;
    * a folder of images with ``poses.npy``, or with LLFF's ``poses_bounds.npy``;
    * an ``.npz`` of VGGT or Depth Anything 3 beside its photographs, or the folder of both;
    * an SV3D clip (.mp4), or a folder of its 21 frames;
    * a Zero123++ sheet.

    Every listed frame is checked, pose and image, before anything is returned; of large JPEG files
    the header, since they are decoded when they are asked for. Frames whose files are missing, and
    views whose mask shows nothing, are left out, and the notes name them.

    Args:
        path: The folder or file.
        remove_background: Give images without alpha one by rembg, the extra ``[rembg]``.
        fit: Move and scale the object into the cube by its masks; z stays up. ``"auto"`` does so
            where masks agree that it lies outside the cube or fills little of it. COLMAP models,
            LLFF and estimated cameras, whose frame is any, always are, by masks or points, and
            turned upright.
        undo_applied_transform: Give the poses of nerfstudio's ``transforms.json`` in the frame
            before its ``applied_transform``.
        allow_outside: Read files that the capture names and that lie outside its folder.

    Raises:
        InputError: Names the file or frame, what is wrong with it, and what to do.
        GeoLRMError: An extra is needed and not installed.
    """
    capture = read_capture(
        path,
        remove_background=remove_background,
        fit=False if fit == "auto" else fit,
        undo_applied_transform=undo_applied_transform,
        allow_outside=allow_outside,
    )
    capture = ready(capture, fit_if_outside=fit == "auto")
    capture.check_facing()
    return capture


def load_every_view(
    path: str | Path,
    *,
    remove_background: bool = False,
    fit: bool = False,
    allow_outside: bool = False,
) -> Capture:
    """Read a capture in the frame that :func:`load_capture` gives it, and leave out no view.

    That is for its cameras; masks may show nothing. Arguments and errors are those of
    :func:`load_capture`.
    """
    capture = read_capture(
        path, remove_background=remove_background, fit=fit, allow_outside=allow_outside
    )
    capture = capture if fit else fit_where_outside(capture, faulty_views(capture))
    capture.check_facing()
    return capture


def load_complete_capture(path: str | Path, *, allow_outside: bool = False) -> Capture:
    """Read a capture of which every frame is needed, in its own frame, as data sets are.

    Raises:
        InputError: As :func:`load_capture`; and an image that is listed is missing.
    """
    try:
        capture = read_capture(path, allow_outside=allow_outside)
    except OutsideError as error:  # no command that reads data sets can allow it
        raise InputError(
            f"{error.fact}; a capture of a data set holds all its files: put the file itself there "
            "(cp -L copies what a link leads to)"
        ) from error
    if capture.missing:
        raise InputError(
            f"{capture.source or capture.path}: listed files that are missing: "
            f"{len(capture.missing)} ({name_some(capture.missing)}); every frame is needed here: "
            "restore them, or remove their frames"
        )
    capture.check_facing()
    return capture


def read_capture(
    path: str | Path,
    *,
    remove_background: bool = False,
    fit: bool = False,
    undo_applied_transform: bool = False,
    longest_side: int = LONGEST_SIDE,
    allow_outside: bool = False,
) -> Capture:
    """Read a capture as it is: cameras may be anywhere and look away, masks may show nothing.

    ``longest_side`` is that of images in pixels, to which larger ones are reduced; the rest is as
    for :func:`load_capture`.
    """
    capture = _read(path, _Reading(undo_applied_transform, longest_side, allow_outside))
    if remove_background:  # first, since masks tell where the object is
        capture = cut_out(capture)
    capture = with_masks_ready(capture)
    if fit or capture.kind in ALWAYS_FITTED:
        capture = fit_looked_at(capture, upright=capture.kind in ALWAYS_FITTED)
    return capture


def _read(path: str | Path, how: _Reading) -> Capture:
    path = existing_path(path)
    if not path.exists():
        raise InputError(f"{str(path)!r} is no capture (there is no such path); {WANTED}")
    if path.is_file():
        return _file_reader(path, how)()
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is neither a file nor a folder; {WANTED}")
    try:
        found = _folder_readers(path, how)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be listed: {error.strerror}") from error
    if not found:
        raise InputError(f"{str(path)!r} is no capture; {WANTED}")
    if len(found) > 1:
        raise InputError(
            f"{str(path)!r} holds more than one capture; give the one that is meant: "
            f"{' or '.join(str(marker) for marker in found)}"
        )
    return next(iter(found.values()))()


def _file_reader(path: Path, how: _Reading) -> Reader:
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        return lambda: read_clip(path)
    if suffix in IMAGE_SUFFIXES:
        return lambda: read_sheet(path)
    if path.name == POSES:
        return lambda: read_posed_folder(path.parent, **how.images)
    if path.name == POSES_BOUNDS:
        return lambda: read_llff(path.parent, **how.images)
    if suffix == ".npz":
        return lambda: read_predictions(path, path.parent, **how.images)
    if suffix == ".json":
        return lambda: read_transforms(
            path, path.parent, undo_applied=how.undo_applied, **how.images
        )
    raise InputError(f"{str(path)!r} is no capture; {WANTED}")


def _folder_readers(folder: Path, how: _Reading) -> dict[Path, Reader]:
    """Return a reader for each capture in a folder, by the path that would name it alone."""
    found: dict[Path, Reader] = {}
    if (file := _transforms_file(folder)) is not None:
        others = sorted(set(folder.glob("transforms_*.json")) - {file})
        notes = (
            (f"{file.name} was read, {', '.join(o.name for o in others)} not",) if others else ()
        )
        if (folder / NERFSTUDIO_MODEL).is_dir():
            notes = (*notes, f"{file.name} was read, {NERFSTUDIO_MODEL} that it is from not")
        found[file] = lambda: read_transforms(
            file, folder, notes, undo_applied=how.undo_applied, **how.images
        )
    model = find_model(folder)
    if model is not None and not (found and model == folder / NERFSTUDIO_MODEL):
        found[model] = lambda: read_colmap(model, folder, **how.images)
    if holds_object(folder):
        found[folder] = lambda: read_object(folder, allow_outside=how.allow_outside)
    if (folder / POSES).is_file():
        found[folder / POSES] = lambda: read_posed_folder(folder, **how.images)
    if (folder / POSES_BOUNDS).is_file() and not found:  # where it is of a model, that says more
        found[folder / POSES_BOUNDS] = lambda: read_llff(folder, **how.images)
    if (predictions := find_predictions(folder)) is not None:
        found[predictions] = lambda: read_predictions(predictions, folder, **how.images)
    if not found:
        files = list_images(folder)
        if len(files) == SV3D_FRAMES:
            found[folder] = lambda: read_frames(folder, files, allow_outside=how.allow_outside)
        elif files:
            raise InputError(
                f"{str(folder)!r} holds {len(files)} images without poses; give transforms.json, a "
                f"COLMAP model in sparse/0 or {POSES} with them, or find their poses with geolrm "
                f"capture ({SV3D_FRAMES} images alone are "
                "read as an SV3D orbit)"
            )
        elif clips := sorted(f for f in folder.iterdir() if f.suffix.lower() in CONTAINERS):
            raise InputError(
                f"{str(folder)!r} holds {clips[0].name!r}; give that file itself if it is an SV3D "
                "clip"
            )
    return found


def _transforms_file(folder: Path) -> Path | None:
    """Choose ``transforms.json``, or the training split of a NeRF data set, or its only split."""
    for name in (TRANSFORMS, TRAINING_TRANSFORMS):
        if (folder / name).is_file():
            return folder / name
    others = sorted(folder.glob("transforms_*.json"))
    if len(others) > 1:
        raise InputError(
            f"{str(folder)!r} holds {', '.join(file.name for file in others)}; give the one file "
            "that is meant"
        )
    return others[0] if others else None
