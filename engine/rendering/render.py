"""Draw Gaussians, many cameras in a call: exact and deterministic on the CPU, or on a GPU."""

from __future__ import annotations

import contextlib
import operator
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from geolrm import _C
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.system.cores import usable_cores
from geolrm.engine.system.output import Output, check_output

if TYPE_CHECKING:
    from geolrm.engine.cuda.device import Device

BACKENDS = ("auto", "cpu", "cuda")
LARGEST_SIDE = 16384  # px
MOST_THREADS = 256  # each takes half a megabyte


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

    def numpy(self) -> Renders:
        """Itself: images that a GPU keeps are copied by this."""
        return self

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
    backend: str = "auto",
    device: int | Device = 0,
    output: Output = "numpy",
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
            transmittance to 1e-4. Which splat that is, double decides where more than 0.004 of
            the pixel hangs on it, or more than 0.0099 at 0.99; float elsewhere.
        antialiased: scale opacities by what `eps2d` adds to a splat's area.
        threads: at most this many on the CPU, and at most 256; None for all cores
            that this process may use. It never changes the image.
        out: images to write into, instead of new ones: float32, contiguous, of one V and size.
        backend: `"cpu"`; `"cuda"`, the kernels of a GPU, within 90 dB and 0.01 of the CPU's images;
            or `"auto"`: where the Gaussians are, so NumPy arrays on the CPU. Where the GPU cannot
            draw what `"auto"` sent there, a warning says why and the CPU does.
        device: number of the GPU for `"cuda"`.
        output: `"numpy"`, or `"device"` to leave images on the GPU that drew them, as
            :class:`geolrm.engine.rendering.cuda_rasterizer.DeviceRenders`; nothing is waited for.

    A splat of opacity below 1/255, of a scale so small or large that its ellipse has no area or
    none in float32, or with its centre nearer than ``near``, is not drawn. Quaternions may have any
    positive length. No views or no splats are fine.

    Raises:
        ValueError: a scene, camera or option that cannot be drawn, and what to do about it.
        TypeError: an array of another type than float.
        GeoLRMError: the asked backend lacks a driver, a GPU or a package.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    check_output(output)
    check_threads(threads)
    for name, given, attributes in (
        ("gaussians", gaussians, ("means", "opacities", "scales", "quats")),
        ("cameras", cameras, ("c2w", "intrinsics")),
    ):
        missing = [attribute for attribute in attributes if not hasattr(given, attribute)]
        if missing:
            raise InputError(
                f"{name} is a {type(given).__name__} without {missing[0]}; pass "
                f"{name.title()}, or what has {', '.join(attributes)}"
            )
    on_host = isinstance(gaussians.means, np.ndarray) and isinstance(device, int)
    if backend == "cuda" or not on_host:
        from geolrm.engine.rendering import cuda as drawing

        drawn = drawing.draw(
            gaussians, cameras, size, backend=backend, device=device, out=out, output=output,
            background=background, near=near, eps2d=eps2d, alpha_max=alpha_max,
            antialiased=antialiased,
        )  # fmt: skip
        if drawn is not None:
            return cast(Renders, drawn)
        gaussians = drawing.on_host(gaussians)
    w2c, intrinsics = to_opencv(cameras.c2w, cameras.intrinsics, size)
    parameters = raster_parameters(
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
    else:
        _check_out(out)
    with _input_errors():
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


def raster_parameters(**given: Any) -> _C.RasterParameters:
    """The numbers of the splatting mathematics, checked; those not given have their defaults."""
    for name, value in given.items():
        if name == "background":
            try:
                color = np.asarray(value, np.float64)
            except (TypeError, ValueError):
                color = np.empty(0)
            if color.shape != (3,):
                raise InputError(
                    f"background is {value!r}; it must be three numbers: red, green and blue, "
                    "black at 0 and white at 1"
                )
            given[name] = tuple(color.tolist())
        elif name == "antialiased":
            if not isinstance(value, bool | np.bool_):
                raise InputError(f"antialiased is {value!r}; it must be True or False")
        else:
            try:
                given[name] = float(value)
            except (TypeError, ValueError):
                raise InputError(f"{name} is {value!r}; it must be a number") from None
    with _input_errors():
        return _C.RasterParameters(**given)


@contextlib.contextmanager
def _input_errors() -> Iterator[None]:
    """What the native code refuses, as the error that commands tell in one sentence."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height as integers, or a ValueError."""
    try:
        width, height = (int(side) for side in size)
        whole = (width, height) == tuple(size)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise InputError(f"size is {size!r}; it must be two whole numbers: (width, height) in px")
    for side in (width, height):
        if not 1 <= side <= LARGEST_SIDE:
            raise InputError(
                f"image side is {side}; it must lie in [1, {LARGEST_SIDE}] px. Render larger "
                "images in parts"
            )
    return width, height


def check_threads(threads: int | None) -> int:
    """How many to use; None takes all cores that this process may use."""
    if threads is None:
        return min(usable_cores(), MOST_THREADS)
    try:
        count = operator.index(threads)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(
            f"threads is {threads!r}; it must be a whole number, 1 or more, or None for all cores"
        )
    return min(count, MOST_THREADS)


def _check_out(out: Renders) -> None:
    arrays = [getattr(out, name, None) for name in ("rgb", "alpha", "depth")]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise InputError(
            f"out is a {type(out).__name__}; it must be Renders, such as Renders.empty(views, size)"
        )
    for i in range(3):
        if np.may_share_memory(arrays[i], arrays[i - 1]):
            raise InputError(
                "out has images that share memory; rgb, alpha and depth must be arrays of their own"
            )


def to_opencv(
    c2w: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """OpenGL camera-to-world and normalised intrinsics as OpenCV world-to-camera and pixels."""
    width, height = check_size(size)
    c2w = np.asarray(c2w, np.float64)
    intrinsics = np.asarray(intrinsics, np.float64)
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
        raise InputError(f"cameras.c2w has shape {list(c2w.shape)}; it must be [V, 4, 4]")
    if intrinsics.shape != (len(c2w), 3, 3):
        raise InputError(
            f"cameras.intrinsics has shape {list(intrinsics.shape)}; it must be"
            f" [{len(c2w)}, 3, 3], one for each pose"
        )
    try:
        # Not the transpose: float32 poses are rotations to 1e-7 only, which would move splats.
        w2c = np.linalg.inv(c2w @ FLIP_YZ)
    except np.linalg.LinAlgError:
        raise InputError(
            "cameras.c2w holds a matrix without an inverse; pass rigid camera-to-world matrices"
        ) from None
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
    with _input_errors():
        return _C.SplatModel(**packed)


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64, np.float16):
        raise TypeError(
            f"{name} has dtype {array.dtype}; it must be float32."
            " Convert it with astype(numpy.float32)"
        )
    return np.ascontiguousarray(array, np.float32)
