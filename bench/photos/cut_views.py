"""Objects of which every view is cut, against the same views whole.

Each input view is cropped at one side, in turn the left, the right, the top and the bottom, until a
share of its silhouette lies outside, and keeps its camera: an image whose principal point is off
its centre. Scores are over the region seen: of the held-out views, the background, and what of the
object some cropped view shows. Cut views hold less than whole ones, so fewer whole views, which
hold about as much, stand beside them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.dataset import Subject, find_subjects, load_subject
from geolrm.bench.quality.image_metrics import psnr
from geolrm.bench.quality.input_changes import cut_views
from geolrm.bench.quality.judging import Images, on_white, render_each
from geolrm.bench.quality.protocol import TARGETS, input_frames
from geolrm.engine.captures.capture import Capture
from geolrm.engine.engine import Engine
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ

VIEWS = 12
OUTSIDE = 0.3  # share of each silhouette that is cut off
DEPTH_UNIT = 1e-4  # of the depth images
BEHIND = 0.02  # object units behind the depth of a view, beyond which it does not show a point


@dataclass(frozen=True, slots=True)
class Row:
    """One object."""

    name: str
    whole: float  # dB over the region seen, from whole views
    fewer: float  # dB over the same region, from so many whole views that they show as much
    cut: float  # dB over the same region, from cut views
    outside: float  # share of the silhouettes that is cut off, on average
    seen: float  # share of the object's pixels in the held-out views that the cut views show


def rows(
    dataset: str | Path,
    *,
    objects: Sequence[str] | None = None,
    model: str | Path | Engine = "mini",
    outside: float = OUTSIDE,
    views: int = VIEWS,
    threads: int | None = None,
    advance: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Reconstruct each object from whole and from cut views.

    Args:
        dataset: Captures of the evaluation's protocol, with depth images.
        objects: Names of those to take; None takes all.
        model: ``"mini"``, a bundle folder, or an engine.
        outside: Share of each silhouette to cut off.
        views: Number of input views.
        threads: Of the engine.
        advance: Given each row when it is known.
    """
    engine = model if isinstance(model, Engine) else Engine(model, threads=threads)
    made = []
    for name, folder in find_subjects(dataset, None if objects is None else list(objects)).items():
        row = score(load_subject(name, folder), engine, outside, views)
        made.append(row)
        advance(row)
    return made


def score(subject: Subject, engine: Engine, outside: float, views: int) -> Row:
    """Reconstruct one object from whole and from cut views."""
    frames = input_frames(views)
    whole = subject.capture.subset(frames)
    parts = cut_views(whole, outside)
    fewer = max(round(views * (1 - outside)), 1)
    truths = on_white(subject, TARGETS)
    depths = read_depths(subject.capture.path, len(subject.capture))
    region, seen = seen_region(subject, [depths[frame] for frame in frames], parts, depths)
    scores = [
        region_psnr(_render(engine, used, subject, truths), truths, region)
        for used in (whole, subject.capture.subset(input_frames(fewer)), parts)
    ]
    left = [
        (image[..., 3] > 127).sum() / max((full[..., 3] > 127).sum(), 1)
        for image, full in zip(parts.images, whole.images, strict=True)
    ]
    return Row(subject.name, scores[0], scores[1], scores[2], 1 - float(np.mean(left)), seen)


def read_depths(folder: Path, count: int) -> list[NDArray[np.float64]]:
    """Read the depths [H, W] along the optical axis of so many frames; 0 where there is nothing.

    Raises:
        InputError: A frame has no depth image.
    """
    from PIL import Image

    frames = json.loads((folder / "transforms.json").read_bytes())["frames"][:count]
    depths = []
    for index, frame in enumerate(frames):
        path = folder / str(frame.get("depth_file_path", ""))
        if not path.is_file():
            raise InputError(
                f"{str(folder)!r}: frame {index} has no depth image; give captures with "
                "'depth_file_path', which tells what a view shows"
            )
        with Image.open(path) as image:
            depths.append(np.asarray(image).astype(np.float64) * DEPTH_UNIT)
    return depths


def seen_region(
    subject: Subject,
    input_depths: Sequence[NDArray[np.float64]],
    parts: Capture,
    depths: Sequence[NDArray[np.float64]],
) -> tuple[list[NDArray[np.bool_]], float]:
    """Mark the pixels of each held-out view that scores are over, [H, W] each.

    They are its background, and the object where at least one cut view shows the same surface.

    Returns:
        The masks, and the share of the object's pixels that are shown.
    """
    cameras, masks, shown, total = subject.capture.cameras, [], 0, 0
    for frame in TARGETS:
        points, where = surface(depths[frame], cameras.c2w[frame], cameras.intrinsics[frame])
        seen = np.zeros(len(points), np.bool_)
        for index, depth in enumerate(input_depths):
            seen |= shows(points, depth, parts, index)
        mask = np.ones(depths[frame].shape, np.bool_)
        mask[where] = seen
        masks.append(mask)
        shown, total = shown + int(seen.sum()), total + len(seen)
    return masks, shown / max(total, 1)


def surface(
    depth: NDArray[np.float64], c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the points [N, 3] of a depth image's surface, and their rows and columns."""
    rows, columns = np.nonzero(depth)
    height, width = depth.shape
    x = ((columns + 0.5) / width - intrinsics[0, 2]) / intrinsics[0, 0]
    y = ((rows + 0.5) / height - intrinsics[1, 2]) / intrinsics[1, 1]
    camera = np.stack([x, -y, -np.ones_like(x)], axis=-1) * depth[rows, columns, None]
    return camera @ c2w[:3, :3].T + c2w[:3, 3], (rows, columns)


def shows(
    points: NDArray[np.float64], depth: NDArray[np.float64], parts: Capture, index: int
) -> NDArray[np.bool_]:
    """Tell of points [N, 3] whether a cut view has them inside, and nothing before them.

    Args:
        points: In the object frame.
        depth: [H, W] of the view before it was cut.
        parts: The cut views.
        index: Of the view.
    """
    c2w, matrix = parts.cameras.c2w[index], parts.cameras.intrinsics[index]
    camera = (points - c2w[:3, 3]) @ (c2w[:3, :3] @ FLIP_YZ[:3, :3])
    uv = camera @ matrix.T
    uv = uv[:, :2] / uv[:, 2:]
    inside = ((uv > 0) & (uv < 1)).all(axis=1)
    height, width = depth.shape
    side = index % 4
    crop_height, crop_width = parts.images[index].shape[:2]
    left, top = (width - crop_width) * (side == 0), (height - crop_height) * (side == 2)
    columns = (uv[:, 0].clip(0, 1) * crop_width + left).astype(np.int64).clip(0, width - 1)
    rows = (uv[:, 1].clip(0, 1) * crop_height + top).astype(np.int64).clip(0, height - 1)
    nearest = depth[rows, columns]
    return inside & (nearest > 0) & (camera[:, 2] <= nearest + BEHIND)


def region_psnr(images: Images, truths: Images, region: Sequence[NDArray[np.bool_]]) -> float:
    """Return the PSNR of the one mean squared error over the region of all images."""
    errors = [
        (image.astype(np.float64) - truth)[mask] ** 2
        for image, truth, mask in zip(images, truths, region, strict=True)
    ]
    return psnr(float(np.concatenate(errors).mean()))


def _render(engine: Engine, used: Capture, subject: Subject, truths: Images) -> Images:
    scene = engine.run(used.images, used.cameras, valid=used.valid)
    sizes = [(truth.shape[1], truth.shape[0]) for truth in truths]
    cameras = subject.capture.cameras[list(TARGETS)]
    return render_each(scene.gaussians, cameras, sizes, engine.threads)
