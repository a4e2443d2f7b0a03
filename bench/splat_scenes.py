"""Seeded splat scenes for the rasterizer's bench, and scenes from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.gaussians.gaussians import Gaussians


@dataclass(frozen=True, slots=True)
class Scene:
    """Splats and one camera that sees them whole."""

    means: np.ndarray  # [N, 3]
    opacities: np.ndarray  # [N]
    scales: np.ndarray  # [N, 3]
    quats: np.ndarray  # [N, 4] wxyz
    colors: np.ndarray | None  # [N, 3]
    w2c: np.ndarray  # [4, 4], OpenCV axes
    tan_half: float  # of the field of view
    sh: np.ndarray | None = None  # [N, K, 3] instead of colors

    def splats(self) -> dict[str, Any]:
        """Return the arrays that a SplatModel takes, by its names."""
        names = ("means", "opacities", "scales", "quats", "sh" if self.colors is None else "colors")
        return {name: getattr(self, name) for name in names}

    def intrinsics(self, width: int, height: int) -> np.ndarray:
        """Return the intrinsics [3, 3] in pixels."""
        focal = 0.5 * max(width, height) / self.tan_half
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


W2C = np.array(
    [
        [0.8660254, 0.0, -0.5, 0.0],
        [0.28678823, -0.81915206, 0.49673176, 0.0],
        [-0.40957603, -0.57357645, -0.7094065, 1.5],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
TAN_HALF = 256 / 711.0674


def ring_and_ball(count: int, seed: int = 0) -> Scene:
    """Make a thick ring around a ball.

    Scales are 0.002 to 0.02, evenly in the logarithm; opacities 0 to 1.
    """
    rng = np.random.default_rng(seed)
    on_ball = rng.uniform(size=count) < 0.25
    around, about = rng.uniform(0, 2 * np.pi, (2, count))
    tube = rng.normal(0.15, 0.003, count)
    radius = 0.305 + tube * np.cos(about)
    ring = np.stack([radius * np.cos(around), tube * np.sin(about), radius * np.sin(around)], 1)
    ball = rng.normal(size=(count, 3))
    ball *= rng.normal(0.155, 0.003, (count, 1)) / np.linalg.norm(ball, axis=1, keepdims=True)
    means = np.where(on_ball[:, None], ball, ring)
    colors = 0.5 + 0.45 * np.sin(means @ rng.normal(size=(3, 3)) * 6 + rng.uniform(0, 6, 3))
    arrays = (
        means,
        rng.uniform(size=count),
        np.exp(rng.uniform(np.log(0.002), np.log(0.02), (count, 3))),
        rng.normal(size=(count, 4)),
        colors,
    )
    return _seen(*arrays)


def named(name: str) -> Scene:
    """Make the seeded scene of a number of splats, or read the scene of a file."""
    return ring_and_ball(int(name)) if name.isdigit() else read(Path(name))


def reconstructed(capture: str = "shoe", views: int = 12, seed: int = 0) -> Scene:
    """Reconstruct a bundled capture by the bundled model on the CPU, not refined."""
    from geolrm import Engine
    from geolrm.engine.captures import load_capture
    from geolrm.examples import capture_path

    loaded = load_capture(capture_path(capture))
    chosen = loaded.subset(loaded.cameras.spread(views))
    engine = Engine("mini", backend="onnxruntime")
    scene = engine.run(chosen.images, chosen.cameras, seed=seed, refine_steps=0)
    splats = scene.gaussians
    return _seen(splats.means, splats.opacities, splats.scales, splats.quats, splats.colors)


def read(path: Path) -> Scene:
    """Read a scene from a file.

    ``.npz``: means, scales, quats, opacities, colors, and perhaps a camera. Otherwise a splat file,
    such as the ``.ply`` that a model made, seen from the camera of :func:`ring_and_ball`.
    """
    if path.suffix != ".npz":
        splats = Gaussians.load(path)
        means, opacities, scales, quats = (
            splats.means, splats.opacities, splats.scales, splats.quats
        )  # fmt: skip
        return Scene(means, opacities, scales, quats, splats.colors, W2C, TAN_HALF, splats.sh)
    with np.load(path, allow_pickle=False) as file:
        names = ("means", "opacities", "scales", "quats", "colors")
        arrays = [file[name] for name in names]
        w2c = file["viewmat_512"].astype(np.float64) if "viewmat_512" in file else W2C
        tan_half = 256 / float(file["K_512"][0, 0]) if "K_512" in file else TAN_HALF
    return _seen(*arrays, w2c=w2c, tan_half=tan_half)


def _seen(*splats: Any, w2c: np.ndarray = W2C, tan_half: float = TAN_HALF) -> Scene:
    """Make a scene of means, opacities, scales, quats and colors, contiguous in float32."""
    means, opacities, scales, quats, colors = (np.ascontiguousarray(a, np.float32) for a in splats)
    return Scene(means, opacities, scales, quats, colors, w2c, tan_half)
