"""Models that COLMAP built: poses and points, and several joined into one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST_COMMON = 3  # photographs that two models must share to be joined
CLOSE = 0.05  # median error of common cameras, in the spread of the cameras, to be joined


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Posed photographs in a frame of their own."""

    names: tuple[str, ...]  # M
    w2c: NDArray[np.float64]  # [M, 3, 4], OpenCV
    cameras: tuple[dict[str, Any], ...]  # M: model, width, height, params
    observed: tuple[int, ...]  # M, how many points each photograph shows
    xyz: NDArray[np.float64]  # [P, 3]
    rgb: NDArray[np.uint8]  # [P, 3]
    error: float  # px, mean reprojection error

    def __len__(self) -> int:
        return len(self.names)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Return where the cameras stand, [M, 3]."""
        rotations, shifts = self.w2c[:, :, :3], self.w2c[:, :, 3]
        return -np.einsum("mji,mj->mi", rotations, shifts)


def read_models(folder: Path, count: int) -> list[Model]:
    """Read the models that the child process wrote, largest first."""
    models = []
    for number in range(count):
        content = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
        views = content["views"]
        with np.load(folder / f"{number}.npz") as arrays:
            xyz, rgb = arrays["xyz"], arrays["rgb"]
        models.append(
            Model(
                tuple(view["name"] for view in views),
                np.array([view["w2c"] for view in views], np.float64).reshape(-1, 3, 4),
                tuple(view["camera"] for view in views),
                tuple(view["points"] for view in views),
                xyz,
                rgb,
                content["reprojection_error"],
            )
        )
    return models


def joined(models: Sequence[Model]) -> tuple[Model, int]:
    """Join to the largest model those that share photographs with it, and agree about them.

    Returns:
        The model, and how many others are in it.
    """
    base, rest, count = models[0], list(models[1:]), 0
    while rest:
        for other in rest:
            grown = _join(base, other)
            if grown is not None:
                base, count = grown, count + 1
                rest.remove(other)
                break
        else:
            break
    return base, count


def _join(base: Model, other: Model) -> Model | None:
    common = [name for name in base.names if name in other.names]
    new = [index for index, name in enumerate(other.names) if name not in base.names]
    if len(common) < FEWEST_COMMON or not new:
        return None
    there = [base.names.index(name) for name in common]
    here = [other.names.index(name) for name in common]
    target, source = base.centres[there], other.centres[here]
    # The frame turns as the common cameras say, which also holds for cameras along a line.
    turn = _mean_rotation(np.einsum("mji,mjk->mik", base.w2c[there, :, :3], other.w2c[here, :, :3]))
    spread = float(np.linalg.norm(target - target.mean(axis=0), axis=1).mean())
    size = float(np.linalg.norm(source - source.mean(axis=0), axis=1).mean())
    if min(spread, size) <= 0:
        return None
    scale = spread / size
    shift = target.mean(axis=0) - scale * turn @ source.mean(axis=0)
    moved = scale * source @ turn.T + shift
    if np.median(np.linalg.norm(moved - target, axis=1)) > CLOSE * spread:
        return None
    centres = scale * other.centres[new] @ turn.T + shift
    rotations = other.w2c[new, :, :3] @ turn.T
    w2c = np.concatenate([rotations, -rotations @ centres[:, :, None]], axis=2)
    total = len(base) + len(new)
    return replace(
        base,
        names=(*base.names, *(other.names[i] for i in new)),
        w2c=np.concatenate([base.w2c, w2c]),
        cameras=(*base.cameras, *(other.cameras[i] for i in new)),
        observed=(*base.observed, *(other.observed[i] for i in new)),
        xyz=np.concatenate([base.xyz, scale * other.xyz @ turn.T + shift]),
        rgb=np.concatenate([base.rgb, other.rgb]),
        error=(len(base) * base.error + len(new) * other.error) / total,
    )


def _mean_rotation(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(rotations.sum(axis=0))
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    return left @ right
