"""Render Gaussians, many cameras in a call: exact and deterministic on the CPU, or on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.rendering.cpu import check_threads, render_frame
from geolrm.engine.rendering.frame import Frame, Posed
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import Splats, splat_model
from geolrm.engine.rendering.options import RenderOptions
from geolrm.engine.system.output import Output, check_output
from geolrm.engine.system.user_warnings import warn

if TYPE_CHECKING:
    from geolrm.engine.cuda.array import Device

BACKENDS = ("auto", "cpu", "cuda")


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
    """Render every camera of a batch.

    Args:
        gaussians: the scene. What depends on it alone is computed once and kept as long as the
            object lives, so its arrays must not be changed in place.
        cameras: OpenGL camera-to-world poses and normalised intrinsics.
        size: width and height in pixels.
        background: colour behind the splats.
        near: splats with a camera z below this are not rendered, in scene units.
        eps2d: added to the diagonal of projected covariances, in square pixels.
        alpha_max: clamp of one splat's alpha. A pixel ends before the splat that would take its
            transmittance to 1e-4. Which splat that is, double decides where more than 0.004 of
            the pixel hangs on it, or more than 0.0099 at 0.99; float elsewhere.
        antialiased: scale opacities by what `eps2d` adds to a splat's area.
        threads: at most this many on the CPU, at most 256 and at most all cores, which None takes
            that this process may use. It never changes the image.
        out: images to write into, instead of new ones: float32, contiguous, of one V and size.
        backend: `"cpu"`; `"cuda"`, the kernels of a GPU, within 90 dB and 0.01 of the CPU's images;
            or `"auto"`: where the Gaussians are, so NumPy arrays on the CPU. Where the GPU cannot
            render what `"auto"` sent there, a warning says why and the CPU does.
        device: number of the GPU for `"cuda"`.
        output: `"numpy"`, or `"device"` to leave images on the GPU that rendered them, as
            :class:`geolrm.engine.rendering.cuda_rasterizer.DeviceRenders`; nothing is waited for.

    A splat of opacity below 1/255, of a scale so small or large that its ellipse has no area or
    none in float32, or with its centre nearer than ``near``, is not rendered. Quaternions may have
    any positive length. No views or no splats are fine.

    Raises:
        ValueError: a scene, camera or option that cannot be rendered, and what to do about it.
        TypeError: an array of another type than float.
        GeoLRMError: the asked backend lacks a driver, a GPU or a package.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    check_output(output)
    check_threads(threads)
    _check_attributes("gaussians", gaussians, ("means", "opacities", "scales", "quats"))
    _check_attributes("cameras", cameras, ("c2w", "intrinsics"))
    frame = Frame.of(cameras, size, RenderOptions(background, near, eps2d, alpha_max, antialiased))
    in_host_memory = isinstance(gaussians.means, np.ndarray) and isinstance(device, int)
    if backend == "cuda" or not in_host_memory:
        images = _render_on_gpu(gaussians, frame, backend, device, out, output)
        if images is not None:
            return images
    return render_frame(splat_model(gaussians), frame, threads=threads, out=out)


def _render_on_gpu(
    gaussians: Splats,
    frame: Frame,
    backend: str,
    device: int | Device,
    out: Renders | None,
    output: Output,
) -> Renders | None:
    """Try the GPU; None leaves the frame to the CPU, with a warning if the GPU was tried."""
    from geolrm.engine.rendering import cuda  # which the CPU alone need not load

    gpu = cuda.choose_gpu(gaussians, backend, device)
    if gpu is None:
        return None
    stays = output == "device" or isinstance(out, cuda.DeviceRenders)
    try:
        return cast(Renders, cuda.render_on_gpu(gpu, gaussians, frame, out=out, stays=stays))
    except GeoLRMError as error:
        if stays or backend != "auto":
            raise
        warn(f"rendering on the CPU instead of the GPU: {error}")
        return None


def _check_attributes(name: str, given: object, attributes: tuple[str, ...]) -> None:
    missing = [attribute for attribute in attributes if not hasattr(given, attribute)]
    if missing:
        raise InputError(
            f"{name} is a {type(given).__name__} without {missing[0]}; pass "
            f"{name.title()}, or what has {', '.join(attributes)}"
        )
