"""Draw Gaussians on the CPU: exact, deterministic, many cameras in a call."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geolrm import _C
from geolrm.engine.cores import usable_cores

OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


class Splats(Protocol):
    """What is read of a scene: activated values, in scene units. Colours, or `sh` [N, K, 3]."""

    @property
    def means(self) -> np.ndarray:
        """[N, 3]."""
        ...

    @property
    def opacities(self) -> np.ndarray:
        """[N], in [0, 1]."""
        ...

    @property
    def scales(self) -> np.ndarray:
        """[N, 3], standard deviations."""
        ...

    @property
    def quats(self) -> np.ndarray:
        """[N, 4], wxyz."""
        ...


class Posed(Protocol):
    """What is read of cameras: OpenGL poses, intrinsics divided by the image size."""

    @property
    def c2w(self) -> np.ndarray:
        """[V, 4, 4]."""
        ...

    @property
    def intrinsics(self) -> np.ndarray:
        """[V, 3, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class Renders:
    """Images of V cameras; depth is the sum of alpha T z, not normalised by alpha."""

    rgb: np.ndarray  # [V, H, W, 3] float32
    alpha: np.ndarray  # [V, H, W] float32
    depth: np.ndarray  # [V, H, W] float32

    @classmethod
    def empty(cls, views: int, size: tuple[int, int]) -> Renders:
        """Allocate uninitialised images, to be reused over calls as `out`."""
        width, height = size
        shape = (views, height, width)
        return cls(
            np.empty((*shape, 3), np.float32),
            np.empty(shape, np.float32),
            np.empty(shape, np.float32),
        )

    def __repr__(self) -> str:
        views, height, width = self.alpha.shape
        return f"Renders({views} views, {width}x{height})"


def render(
    gaussians: Splats,
    cameras: Posed,
    size: tuple[int, int],
    *,
    background: Sequence[float] = (1.0, 1.0, 1.0),
    near: float = 0.01,
    eps2d: float = 0.3,
    alpha_max: float = 0.99,
    antialiased: bool = False,
    threads: int | None = None,
    out: Renders | None = None,
) -> Renders:
    """Draw every camera of a batch.

    Args:
        gaussians: the scene. What depends on it alone is computed once and kept as long as the
            object lives, so its arrays must not be changed in place.
        cameras: OpenGL camera-to-world poses and normalised intrinsics.
        size: width and height in pixels.
        background: colour behind the splats.
        near: splats with a camera z below this are not drawn, in scene units.
        eps2d: added to the diagonal of projected covariances, in square pixels.
        alpha_max: clamp of one splat's alpha. A pixel ends before the splat that would take its
            transmittance to 1e-4; where float32 and exact arithmetic disagree about which that is,
            alpha differs by up to 1e-4 / (1 - alpha_max), 0.01 at 0.99 and 0.1 at 0.999, and rgb
            by that times the difference of the colours. It is rare.
        antialiased: scale opacities by what `eps2d` adds to a splat's area.
        threads: at most this many; None for all cores this process may use. It never changes the
            image.
        out: images to write into, instead of new ones.

    Raises:
        ValueError: a scene, camera or size that cannot be drawn, and what to do about it.
    """
    w2c, intrinsics = to_opencv(cameras.c2w, cameras.intrinsics, size)
    parameters = _C.RasterParameters(
        background=background,
        near=near,
        eps2d=eps2d,
        alpha_max=alpha_max,
        antialiased=antialiased,
    )
    return render_opencv(
        splat_model(gaussians), w2c, intrinsics, size, parameters, threads=threads, out=out
    )


def render_opencv(
    model: _C.SplatModel,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    size: tuple[int, int],
    parameters: _C.RasterParameters | None = None,
    *,
    threads: int | None = None,
    out: Renders | None = None,
    **options: Any,
) -> Renders:
    """Draw with world-to-camera OpenCV poses [V, 4, 4] and intrinsics [V, 3, 3] in pixels.

    `options` are those of `_C.SplatModel.render`: isa, tile_size, pair_budget.
    """
    width, height = check_size(size)
    w2c = np.asarray(w2c, np.float64)
    if out is None:
        out = Renders.empty(len(w2c), (width, height))
    model.render(
        w2c,
        np.asarray(intrinsics, np.float64),
        width,
        height,
        parameters or _C.RasterParameters(),
        out.rgb,
        out.alpha,
        out.depth,
        threads=check_threads(threads),
        **options,
    )
    return out


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height as integers, or a ValueError."""
    try:
        width, height = (int(side) for side in size)
        whole = (width, height) == tuple(size)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"size is {size!r}; it must be two whole numbers: (width, height) in px")
    return width, height


def check_threads(threads: int | None) -> int:
    """As many as asked for, or as there are cores that this process may use."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}; it must be 1 or more, or None for all cores")
    return threads or usable_cores()


def to_opencv(
    c2w: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """OpenGL camera-to-world and normalised intrinsics as OpenCV world-to-camera and pixels."""
    width, height = check_size(size)
    c2w = np.asarray(c2w, np.float64)
    intrinsics = np.asarray(intrinsics, np.float64)
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
        raise ValueError(f"cameras.c2w has shape {list(c2w.shape)}; it must be [V, 4, 4]")
    if intrinsics.shape != (len(c2w), 3, 3):
        raise ValueError(
            f"cameras.intrinsics has shape {list(intrinsics.shape)}; it must be"
            f" [{len(c2w)}, 3, 3], one for each pose"
        )
    pose = c2w @ OPENGL_TO_OPENCV
    w2c = np.zeros_like(pose)
    w2c[:, :3, :3] = pose[:, :3, :3].transpose(0, 2, 1)  # the inverse: rotations, checked below
    w2c[:, :3, 3] = -np.einsum("vij,vj->vi", w2c[:, :3, :3], pose[:, :3, 3])
    w2c[:, 3, 3] = 1
    return w2c, intrinsics * np.array([width, height, 1.0])[:, None]


_models: dict[int, tuple[weakref.ref, _C.SplatModel]] = {}
_models_lock = threading.RLock()


def splat_model(gaussians: Splats) -> _C.SplatModel:
    """The packed form of a scene, kept as long as the scene lives."""
    key = id(gaussians)
    with _models_lock:
        held = _models.get(key)
        if held is not None and held[0]() is gaussians:
            return held[1]
        model = pack(gaussians)
        try:
            reference = weakref.ref(gaussians, lambda _: _models.pop(key, None))
        except TypeError:  # a slotted class without __weakref__: packed again each time
            return model
        _models[key] = (reference, model)
        return model


def pack(gaussians: Splats) -> _C.SplatModel:
    """Check and pack a scene; float64 is rounded, other types are refused."""
    sh = getattr(gaussians, "sh", None)
    color = {"colors": gaussians.colors} if sh is None else {"sh": sh}  # type: ignore[attr-defined]
    names = ("means", "opacities", "scales", "quats")
    arrays = {name: getattr(gaussians, name) for name in names} | color
    packed: dict[str, Any] = {name: _float32(name, array) for name, array in arrays.items()}
    return _C.SplatModel(**packed)


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64, np.float16):
        raise TypeError(
            f"{name} has dtype {array.dtype}; it must be float32."
            " Convert it with astype(numpy.float32)"
        )
    return np.ascontiguousarray(array, np.float32)
