"""What is done to a capture before it is reconstructed, and said in a note each.

Masks that are inverted are turned over, views whose mask shows nothing are left out, and an object
outside the cube, or tiny in it, is fitted.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.diagnostics.conventions import CLEARLY, convention_warning
from geolrm.engine.captures.diagnostics.diagnostic import name_point, name_views
from geolrm.engine.captures.diagnostics.image_checks import FEWEST_PIXELS
from geolrm.engine.captures.diagnostics.pose_checks import FEWEST_VIEWS, WIDEST_GAP, azimuth_gap
from geolrm.engine.captures.file_search import name_some
from geolrm.engine.captures.fitting import MASK_SIDE, Box, box_of_masks, fit_to_cube
from geolrm.engine.captures.lazy_images import LazyImages, coarse_image, outline, shapes_of
from geolrm.engine.captures.masks import seems_inverted
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.similarity import move_poses
from geolrm.engine.views.alpha import find_background
from geolrm.engine.views.silhouettes import INSIDE

ALWAYS_FITTED = ("colmap", "llff", "predictions")  # kinds whose frame may be any
NEVER_FITTED = ("sv3d", "zero123plus")  # kinds whose cameras say where the object is
MOST_PIXELS = 1 << 28  # of files that are decoded to look at them; of more, some views are chosen
FEWEST_LOOKED_AT = 24
MOSTLY = 0.8  # share of the masks from which all of them are inverted
SMALLEST_HOLE = 0.02  # share of the middle of such masks that the object, black, covers
DECIDING_VIEWS = 12  # whose masks tell whether the object is in the cube
OUTSIDE = 0.15  # cube sides that the hull may reach beyond the cube; it is larger than its object
SMALLEST = 0.5  # least longest side of the object, in sides of the cube


def looked_at(capture: Capture) -> list[int]:
    """Choose the views that are decoded to see what their masks say: all, unless files are large.

    The choice is spread over the directions, and contains any smaller one.
    """
    images, total = capture.images, len(capture)
    if not isinstance(images, LazyImages):
        return list(range(total))
    pixels = sum(width * height for width, height in (p.stored for p in images.pictures))
    count = max(int(total * MOST_PIXELS / max(pixels, 1)), FEWEST_LOOKED_AT)
    return list(range(total)) if count >= total else capture.cameras.spread(count)


def with_masks_ready(capture: Capture) -> Capture:
    """Decode what is looked at, and turn the masks over where they are inverted.

    Raises:
        InputError: An image is damaged.
    """
    images, looked = capture.images, looked_at(capture)
    if not isinstance(images, LazyImages):
        return replace(capture, notes=(*capture.notes, *_background_note(capture, looked)))
    images.decode(looked, coarse=True)
    notes = [*images.reader.mask_notes, *_background_note(capture, looked)]
    shapes = images.shapes  # once: each access lists those of all views
    masked = [i for i in looked if shapes[i][2] == 4]
    inverted = [i for i in masked if seems_inverted(images.coarse(i)[..., 3], SMALLEST_HOLE)]
    if inverted and len(inverted) >= MOSTLY * len(masked):
        images = images.turned_over()
        images.decode(looked, coarse=True)
        notes = [*notes, f"the masks are inverted (the object was black) and were turned over: "
                 f"{len(masked)}"]  # fmt: skip
    return replace(capture, images=images, notes=(*capture.notes, *notes))


def _background_note(capture: Capture, looked: list[int]) -> list[str]:
    """Say that a uniform background other than white was recognised."""
    shapes, colors = shapes_of(capture.images), []
    for index in looked:
        if shapes[index][2] == 3:
            background = find_background(coarse_image(capture.images, index))
            if background is not None and not background.white:
                colors.append(background.name)
    if not colors:
        return []
    return [
        f"images without alpha whose border is of one colour, as {colors[0]}, which counts as "
        f"background: {len(colors)}"
    ]


def faulty_views(capture: Capture) -> dict[int, str]:
    """Find views whose mask shows no object, or the background instead: a reason for each."""
    faulty, shapes = {}, shapes_of(capture.images)
    for index in looked_at(capture):
        image = coarse_image(capture.images, index)
        if shapes[index][2] == 4 and seems_inverted(image[..., 3]):
            faulty[index] = "an inverted mask"
            continue
        found = outline(capture.images, index, MASK_SIDE)
        if found is not None and (found.alpha >= INSIDE).mean() < FEWEST_PIXELS:
            faulty[index] = "an empty mask"
    return faulty


def left_out_note(capture: Capture, faulty: dict[int, str]) -> list[str]:
    """Name the views that are left out for their masks; of none, say nothing.

    Raises:
        InputError: They are all views.
    """
    notes = []
    for reason in sorted(set(faulty.values())):
        views = [index for index, why in faulty.items() if why == reason]
        if len(faulty) == len(capture):
            raise InputError(
                f"{capture.path}: {name_views(range(len(capture)), len(capture))} "
                f"{'has' if len(capture) == 1 else 'have'} a mask that shows no object ({reason}); "
                "the object must be opaque or white in it: make the masks again, or leave them out"
            )
        named = ", ".join(f"{i} ({name_some([capture.names[i]])})" for i in views[:4])
        more = f" and {len(views) - 4} more" if len(views) > 4 else ""
        verb = "view has" if len(views) == 1 else "views have"
        notes.append(f"{len(views)} {verb} {reason} and will be left out: {named}{more}")
    return notes


def ready(capture: Capture, *, fit_if_outside: bool) -> Capture:
    """Leave out views whose mask shows nothing; fit an object that is outside the cube, or tiny.

    Raises:
        InputError: No view is left.
    """
    faulty = faulty_views(capture)
    if faulty:
        notes = (*capture.notes, *left_out_note(capture, faulty))
        rest = [index for index in range(len(capture)) if index not in faulty]
        capture = replace(capture.subset(rest), notes=notes)
    return fit_where_outside(capture) if fit_if_outside else capture


def fit_where_outside(capture: Capture, faulty: Collection[int] = ()) -> Capture:
    """Fit the object where masks agree that it is outside the cube, or fills little of it.

    ``faulty`` views say nothing. Where poses are in another convention or order, nothing is fitted.
    """
    return fit_where_agreed(capture, faulty)[0]


def fit_where_agreed(capture: Capture, faulty: Collection[int] = ()) -> tuple[Capture, bool]:
    """Do as :func:`fit_where_outside`; and tell whether masks clearly agree on one object.

    Then the poses are in no other convention or order, and nobody has to look for one.
    """
    sound = [index for index in range(len(capture)) if index not in faulty]
    if capture.kind in ALWAYS_FITTED + NEVER_FITTED or len(sound) < FEWEST_VIEWS:
        return capture, False
    if np.any(capture.object_to_world != np.eye(4)):  # it was fitted already
        return capture, False
    looked = [index for index in looked_at(capture) if index not in faulty]
    if any(outline(capture.images, index, MASK_SIDE) is None for index in looked):
        return capture, False
    seen = capture.subset(looked)
    deciding = seen.cameras.spread(min(DECIDING_VIEWS, len(looked)))
    box, agreement = box_of_masks(seen.subset(deciding))
    agree = agreement >= CLEARLY
    reason = None if box is None else _misplaced(box, capture.cameras)
    if reason is None or not (agree or convention_warning(capture, faulty) is None):
        return capture, agree  # where masks agree on no object, their box is none of an object
    fitted = fit_by(capture, looked, upright=False)
    note = f"{reason}, so that it was fitted (--no-fit leaves it): {fitted.notes[-1]}"
    return replace(fitted, notes=(*capture.notes, note)), agree


def fit_looked_at(capture: Capture, *, upright: bool) -> Capture:
    """Fit a capture to the cube, as :func:`fit_to_cube` does, by the views that are looked at.

    Raises:
        InputError: Neither masks nor points tell where the object is.
    """
    try:
        return fit_by(capture, looked_at(capture), upright=upright)
    except InputError as error:
        doubt = convention_warning(capture)
        if doubt is None:
            raise
        raise InputError(f"{capture.source or capture.path}: {doubt}") from error


def fit_by(capture: Capture, looked: list[int], *, upright: bool) -> Capture:
    """Fit a capture to the cube by some of its views.

    Raises:
        InputError: Neither masks nor points tell where the object is.
    """
    if len(looked) == len(capture):
        return fit_to_cube(capture, upright=upright)
    fitted = fit_to_cube(capture.subset(looked), upright=upright)
    to_object = np.linalg.inv(fitted.object_to_world) @ capture.object_to_world
    cameras = Cameras(move_poses(capture.cameras.c2w, to_object), capture.cameras.intrinsics)
    return replace(
        capture,
        cameras=cameras,
        points=fitted.points,
        object_to_world=fitted.object_to_world,
        notes=fitted.notes,
    )


def _misplaced(box: Box, cameras: Cameras) -> str | None:
    """Say what is wrong with where an object lies; None where it is in the cube and fills it."""
    low, high = box
    side, beyond = float((high - low).max()), max(float(-low.min()), float(high.max())) - 0.5
    reaches = f"by its masks the object reaches from {name_point(low)} to {name_point(high)}"
    # Seen from one side alone, the hull is longer than the object.
    around = azimuth_gap(cameras)[0] <= WIDEST_GAP
    if beyond > OUTSIDE and around:
        return f"{reaches}, {beyond:.2g} beyond the cube [-0.5, 0.5]^3"
    if side < SMALLEST:
        return f"{reaches}, {side:.2g} of the cube's side"
    if cameras.facing_faults():
        return f"{reaches}, and not every camera sees the cube [-0.5, 0.5]^3"
    return None
