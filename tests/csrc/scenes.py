"""Small scenes and cameras drawn at random, and a way to compare with the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from reference import rasterizer as reference

from geolrm import _C
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.cuda_rasterizer import SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.splat_plan import BUDGET


@dataclass
class Scene:
    means: np.ndarray
    opacities: np.ndarray
    scales: np.ndarray
    quats: np.ndarray
    colors: np.ndarray | None = None
    sh: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("means", "opacities", "scales", "quats", "colors", "sh")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}

    def model(self) -> _C.SplatModel:
        return _C.SplatModel(**self.arrays())


def cloud(count: int, seed: int, *, low=0.01, high=0.1, extent=0.5, sh_count=0) -> Scene:
    """Splats in a cube, with scales spread evenly over the logarithm."""
    rng = np.random.default_rng(seed)
    f = lambda a: np.ascontiguousarray(a, np.float32)  # noqa: E731
    return Scene(
        f(rng.uniform(-extent, extent, (count, 3))),
        f(rng.uniform(0, 1, count)),
        f(np.exp(rng.uniform(np.log(low), np.log(high), (count, 3)))),
        f(rng.normal(size=(count, 4))),
        None if sh_count else f(rng.uniform(0, 1, (count, 3))),
        f(rng.normal(size=(count, sh_count, 3)) * 0.3) if sh_count else None,
    )


def camera(size, *, azimuth=0.4, elevation=0.3, radius=1.6, fov=0.8, aspect=1.0, shift=(0, 0)):
    """A camera that looks at the origin: w2c [4, 4] in OpenCV axes, intrinsics [3, 3] in px."""
    width, height = size
    forward = -np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    w2c = np.eye(4)
    w2c[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    w2c[:3, 3] = w2c[:3, :3] @ forward * radius
    focal = 0.5 * max(size) / np.tan(0.5 * fov)
    k = np.array(
        [[focal, 0, width / 2 + shift[0]], [0, focal * aspect, height / 2 + shift[1]], [0, 0, 1]]
    )
    return w2c, k


def draw(scene: Scene, cam, size, *, p: reference.Parameters | None = None, **options) -> Renders:
    """The C++ images of one camera, with the parameters of the reference."""
    p = p or reference.Parameters()
    frame = Frame(cam[0][None], cam[1][None], size, _C.RasterParameters(**vars(p)))
    return render_frame(scene.model(), frame, **options)


class Arrays:
    """A scene's arrays, and nothing where it has none."""

    def __init__(self, scene: Scene):
        self.__dict__.update(scene.arrays())


def draw_on_device(
    device, scene: Scene, cams, size, *, p: reference.Parameters | None = None, budget: int = BUDGET
) -> Renders:
    """The CUDA rasterizer's images of cameras [(w2c, intrinsics)]."""
    rasterizer = SplatRasterizer(device, budget=budget)
    w2c, intrinsics = (np.stack([cam[i] for cam in cams]) for i in (0, 1))
    frame = Frame(w2c, intrinsics, size, _C.RasterParameters(**vars(p or reference.Parameters())))
    return rasterizer.render_frame(rasterizer.pack(Arrays(scene)), frame).numpy()


def draw_with(
    implementation, scene: Scene, cams, size, *, p: reference.Parameters | None = None
) -> Renders:
    """The images of cameras by an implementation of the rasterizer."""
    if implementation.device:
        return draw_on_device(implementation.device, scene, cams, size, p=p)
    w2c, intrinsics = (np.stack([cam[i] for cam in cams]) for i in (0, 1))
    frame = Frame(w2c, intrinsics, size, _C.RasterParameters(**vars(p or reference.Parameters())))
    return render_frame(scene.model(), frame, isa=implementation.name)


def truth(scene: Scene, cam, size, *, p: reference.Parameters | None = None):
    arrays = scene.arrays()
    geometry = [arrays.pop(n) for n in ("means", "opacities", "scales", "quats")]
    return reference.render(*geometry, *cam, size, p=p, **arrays)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a.astype(np.float64) - b) ** 2), 1e-30)))


def of_view(images: Renders, view: int = 0) -> dict[str, np.ndarray]:
    return {name: getattr(images, name)[view] for name in ("rgb", "alpha", "depth")}


def assert_close(image: Renders, expected: dict, *, view: int = 0, least=90.0, most=0.01) -> None:
    """The gates of the project: PSNR and largest error; depth relative to its largest."""
    far = max(float(np.max(expected["depth"])), 1e-6)
    pairs = {
        "rgb": (image.rgb[view], expected["rgb"]),
        "alpha": (image.alpha[view], expected["alpha"]),
        "depth": (image.depth[view] / far, expected["depth"] / far),
    }
    for name, (ours, theirs) in pairs.items():
        assert np.isfinite(ours).all(), name
        assert np.abs(ours - theirs).max() <= most, (name, np.abs(ours - theirs).max())
        assert psnr(ours, theirs) >= least, (name, psnr(ours, theirs))
