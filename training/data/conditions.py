"""What real captures have and renders have not: light, exposure, wrong poses, masks, damage."""

import io
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.motions import misplaced
from geolrm.training.data.lighting import Flash, StillLamp, normals_of_depth

GAIN = 0.25  # natural logarithm, standard deviation of a view's exposure
BALANCE = 0.06  # the same of red and of blue against green
BLUR = (0.3, 1.2)  # px, standard deviation
NOISE = (0.004, 0.03)  # standard deviation, of images in [0, 1]
QUALITY = (30, 90)  # of JPEG
MASK_PIXELS = (1, 2, 3)  # by which a mask is too large or too small
CUT = (0.08, 0.4)  # share of the image that is missing along a side
CUT_VIEWS = 0.5  # share of the views that are cut, one at least, where any are


@dataclass(frozen=True, slots=True)
class ConditionConfig:
    """The probability of each condition in a capture; drawn on its own, 0 leaves it out.

    ``pose_degrees`` and ``pose_shift`` (cube sides) bound how wrong poses are, in root mean square.
    """

    lamp: float = 0.0  # light that stands still, on inputs and targets
    flash: float = 0.0  # light that moves with the camera, where there is no lamp
    exposure: float = 0.0  # exposure and white balance of each view
    poses: float = 0.0  # the cameras that are told are not those that saw
    cut: float = 0.0  # images that end before the object does
    masks: float = 0.0  # too large, too small or soft, with background inside
    blur: float = 0.0
    noise: float = 0.0
    compression: float = 0.0  # JPEG
    pose_degrees: float = 1.5
    pose_shift: float = 0.015

    def __post_init__(self) -> None:
        for field in fields(self):
            value, bound = getattr(self, field.name), 90 if field.name == "pose_degrees" else 1
            if not 0 <= value <= bound:
                kind = "a number of degrees" if bound == 90 else "a number"
                raise InputError(f"{field.name} is {value!r}; it must be {kind} from 0 to {bound}")


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The V inputs and T targets of a capture as they were taken."""

    rgba: NDArray[np.float32]  # [V, S, S, 4], premultiplied
    target_rgba: NDArray[np.float32]  # [T, R, R, 4], premultiplied
    cameras: Cameras  # V, as they are told
    valid: NDArray[np.float32] | None  # [V, S, S], 0 where nothing is known; None: all is


def take(
    rgba: NDArray[np.float32],
    depth: NDArray[np.float32],
    cameras: Cameras,
    target_rgba: NDArray[np.float32],
    target_depth: NDArray[np.float32],
    targets: Cameras,
    rng: np.random.Generator,
    config: ConditionConfig,
) -> Taken:
    """Put rendered inputs and targets under conditions drawn at random.

    Args:
        rgba: [V, S, S, 4] premultiplied.
        depth: [V, S, S] z-depth.
        cameras: V, those that saw the inputs.
        target_rgba: [T, R, R, 4] premultiplied; a lamp falls on them too, no other condition does.
        target_depth: [T, R, R].
        targets: T.
        rng: All chance comes from it.
        config: What may happen.
    """
    if happens(rng, config.lamp):
        lamp = StillLamp(rng)
        light = lamp.shade(normals_of_depth(depth, cameras)[0])
        scale = _mean_light(light, rgba)
        rgba = _lit(rgba, light / scale)
        light = lamp.shade(normals_of_depth(target_depth, targets)[0])
        target_rgba = _lit(target_rgba, light / scale)
    elif happens(rng, config.flash):
        light, reflection = Flash(rng).shade(*normals_of_depth(depth, cameras))
        rgba = _lit(rgba, light / _mean_light(light, rgba), reflection)
    if happens(rng, config.exposure):
        rgba = exposed(rgba, rng)
    rgba = photographed(rgba, rng, config)
    valid = None
    if happens(rng, config.cut):
        valid = cut_frames(len(rgba), rgba.shape[1], rng)
        rgba = rgba * valid[..., None]
    if happens(rng, config.poses):
        wrong = rng.uniform()
        cameras = misplaced(cameras, wrong * config.pose_degrees, wrong * config.pose_shift, rng)
    return Taken(rgba, target_rgba, cameras, valid)


def happens(rng: np.random.Generator, probability: float) -> bool:
    """Draw whether something happens; nothing is drawn for what never does."""
    return probability > 0 and rng.random() < probability


def _mean_light(light: NDArray[np.float32], rgba: NDArray[np.float32]) -> float:
    """Return the mean of light [..., 1] over what is opaque, so that brightness stays as it is."""
    alpha = rgba[..., 3:]
    return float((light * alpha).sum() / max(float(alpha.sum()), 1e-6))


def _lit(
    rgba: NDArray[np.float32],
    light: NDArray[np.float32],
    reflection: NDArray[np.float32] | float = 0.0,
) -> NDArray[np.float32]:
    """Light premultiplied views; no colour gets brighter than white."""
    alpha = rgba[..., 3:]
    rgb = np.minimum(rgba[..., :3] * light + reflection * alpha, alpha)
    return np.concatenate([rgb, alpha], axis=-1).astype(np.float32)


def exposed(rgba: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Expose views [V, S, S, 4] differently; the geometric mean of the gains over views is 1."""
    gains = rng.normal(0, GAIN, (len(rgba), 1)) + rng.normal(0, BALANCE, (len(rgba), 3)) * [1, 0, 1]
    gains = np.exp(gains - gains.mean(0)).astype(np.float32)
    return _lit(rgba, gains[:, None, None])


def photographed(
    rgba: NDArray[np.float32], rng: np.random.Generator, config: ConditionConfig
) -> NDArray[np.float32]:
    """Blur views, add noise, compress them, and cut them out by masks that are not exact."""
    blur = rng.uniform(*BLUR) if happens(rng, config.blur) else 0.0
    noise = rng.uniform(*NOISE) if happens(rng, config.noise) else 0.0
    quality = int(rng.integers(*QUALITY)) if happens(rng, config.compression) else None
    grown, softness = 0, 0.0
    if happens(rng, config.masks):
        grown = int(rng.choice(MASK_PIXELS) * rng.choice([-1, 1]))
        softness = float(rng.choice([0.0, rng.uniform(0.5, 2.0)]))
    if not (blur or noise or quality or grown or softness):
        return rgba
    background = rng.uniform(size=3).astype(np.float32)
    out = np.empty_like(rgba)
    for index, view in enumerate(rgba):
        shown = view[..., :3] + (1 - view[..., 3:]) * background
        if noise:
            shown = shown + rng.normal(0, noise, shown.shape).astype(np.float32)
        picture = Image.fromarray((shown.clip(0, 1) * 255 + 0.5).astype(np.uint8))
        mask = Image.fromarray((view[..., 3] * 255 + 0.5).astype(np.uint8))
        if blur:
            picture, mask = (i.filter(ImageFilter.GaussianBlur(blur)) for i in (picture, mask))
        if quality:
            picture = _compressed(picture, quality)
        out[index] = _cut_out(picture, mask, background, grown, softness)
    return out


def _compressed(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _cut_out(
    picture: Image.Image,
    mask: Image.Image,
    background: NDArray[np.float32],
    grown: int,
    softness: float,
) -> NDArray[np.float32]:
    """Return premultiplied RGBA [S, S, 4] of a picture; a mask that is too large takes background.

    Where the mask is the true one, partly covered pixels keep the object's colour alone.
    """
    shown = np.asarray(picture, np.float32) / 255
    true = np.asarray(mask, np.float32)[..., None] / 255
    if grown:
        size = 2 * abs(grown) + 1
        mask = mask.filter(
            ImageFilter.MaxFilter(size) if grown > 0 else ImageFilter.MinFilter(size)
        )
    if softness:
        mask = mask.filter(ImageFilter.GaussianBlur(softness))
    alpha = np.asarray(mask, np.float32)[..., None] / 255
    exact = not (grown or softness)
    rgb = (shown - (1 - true) * background).clip(0, alpha) if exact else alpha * shown
    return np.concatenate([rgb, alpha], axis=-1, dtype=np.float32)


def cut_frames(views: int, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return where views show something, [V, S, S] of 1 and 0; one or two sides may be missing."""
    valid = np.ones((views, size, size), np.float32)
    chosen = rng.random(views) < CUT_VIEWS
    chosen[rng.integers(views)] = True
    for view in np.flatnonzero(chosen):
        for _ in range(int(rng.integers(1, 3))):
            missing = max(1, int(size * rng.uniform(*CUT)))
            side = int(rng.integers(4))
            band = slice(missing) if side < 2 else slice(size - missing, None)
            valid[(view, band) if side % 2 else (view, slice(None), band)] = 0
    return valid
