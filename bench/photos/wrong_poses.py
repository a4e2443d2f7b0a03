"""What wrong poses cost, and how much of it their refinement brings back.

The frames are those of ``geolrm eval``. Each camera is turned about its own centre and moved, by a
stated root mean square in total. The score is the best over one rigid motion of the splats near the
identity, since wrong poses say nothing of where the object lies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.dataset import Subject, find_subjects, load_subject
from geolrm.bench.quality.judging import on_white
from geolrm.bench.quality.protocol import TARGETS, input_frames
from geolrm.engine.engine import Engine
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.motions import misplaced, motion
from geolrm.engine.refinement.poses import compare, poses_look_wrong
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.model import pack
from geolrm.engine.scene import Scene

T = TypeVar("T")
Errors = Callable[[NDArray[np.float64]], NDArray[np.float32]]  # of a motion [4, 4]

CASES = ((12, 0.0), (12, 1.0), (6, 0.0), (6, 1.0), (12, 2.0))  # views; degrees, % of the cube
STEP = 2e-3  # radians and units, of the differences
ITERATIONS = 4
FITTED_SIZE = 128  # px, of the images that the rigid motion is fitted to
SETTLED = 1e-4  # radians and units: a smaller step ends the fit


@dataclass(frozen=True, slots=True)
class Row:
    """One object from so many views with poses off by so much."""

    name: str
    views: int
    wrong: float  # degrees, and % of the cube
    off: float  # dB, poses left as they are
    on: float  # dB, poses refined
    pays: bool  # whether ``auto`` refines them; its score is that of the one or the other
    residual: float  # px of 256, of the median view before refinement
    off_seconds: float
    on_seconds: float
    off_cpu_seconds: float  # of all threads
    on_cpu_seconds: float
    measuring_cpu_seconds: float  # of the residuals that ``auto`` asks

    @property
    def auto(self) -> float:
        """The dB where refining is left to the engine."""
        return self.on if self.pays else self.off


def rows(
    dataset: str | Path,
    *,
    objects: Sequence[str] | None = None,
    cases: Sequence[tuple[int, float]] = CASES,
    model: str | Path | Engine = "mini",
    threads: int | None = None,
    advance: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Reconstruct each object from wrong poses, with and without their refinement.

    Args:
        dataset: Captures of the evaluation's protocol.
        objects: Names of those to take; None takes all.
        cases: Views, and degrees and % of the cube, of each row of an object.
        model: ``"mini"``, a bundle folder, or an engine.
        threads: Of the engine.
        advance: Given each row when it is known.
    """
    engine = model if isinstance(model, Engine) else Engine(model, threads=threads)
    made = []
    for name, folder in find_subjects(dataset, None if objects is None else list(objects)).items():
        subject = load_subject(name, folder)
        for views, wrong in cases:
            row = score(subject, engine, views, wrong)
            made.append(row)
            advance(row)
    return made


def score(subject: Subject, engine: Engine, views: int, wrong: float) -> Row:
    """Reconstruct one object from wrong poses, with and without their refinement."""
    truths = np.stack(on_white(subject, TARGETS))
    held_out = subject.capture.cameras[list(TARGETS)]
    used = subject.capture.subset(input_frames(views))
    used = replace(
        used, cameras=misplaced(used.cameras, wrong, wrong / 100, np.random.default_rng(0))
    )
    scenes: list[Scene] = []
    scores, clocks = [], []
    for refined in (False, True):
        scene, *clock = measured(
            lambda on=refined: engine.run(used.images, used.cameras, refine_poses=on)
        )
        scenes.append(scene)
        clocks.append(clock)
        scores.append(best_psnr(scene.gaussians.numpy(), held_out, truths, engine.threads))
    plain = scenes[0]
    _, _, measuring = measured(
        lambda: compare(plain.gaussians.numpy(), plain.views, engine.threads)
    )
    alignment = scenes[1].alignment
    assert alignment is not None, "the default refines"
    (off_seconds, off_cpu), (on_seconds, on_cpu) = clocks
    return Row(
        subject.name, views, wrong, scores[0], scores[1], poses_look_wrong(alignment),
        float(np.median(alignment.residual_before)), off_seconds, on_seconds, off_cpu, on_cpu,
        measuring,
    )  # fmt: skip


def measured(call: Callable[[], T]) -> tuple[T, float, float]:
    """Call; return the seconds on the wall and those of the processor, too."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - start, time.process_time() - start_cpu


def best_psnr(
    gaussians: Gaussians, cameras: Cameras, truths: NDArray[np.float32], threads: int | None
) -> float:
    """Return the PSNR at the cameras, best over one rigid motion near the identity.

    Gauss-Newton by differences, which is what least squares ask for, on reduced images; then once
    more on whole ones, and the best of all that was met there.

    Args:
        gaussians: The scene.
        cameras: V, of the truths.
        truths: [V, H, W, 3] on white.
        threads: Of the rasterizer.
    """
    model = pack(gaussians)

    def errors(images: NDArray[np.float32]) -> Errors:
        frame = Frame.of(cameras, images.shape[2:0:-1])

        def error(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
            moved = replace(frame, w2c=frame.w2c @ matrix)
            return (render_frame(model, moved, threads=threads).rgb.clip(0, 1) - images).ravel()

        return error

    whole = errors(truths)
    reduced = _descend(errors(_reduced(truths)), np.eye(4), ITERATIONS)
    start = min(np.eye(4), reduced, key=lambda matrix: _squares(whole(matrix)))
    fitted = _descend(whole, start, 1)
    return float(-10 * np.log10(_squares(whole(fitted)) / truths.size))


def _descend(error: Errors, start: NDArray[np.float64], iterations: int) -> NDArray[np.float64]:
    """Return the motion [4, 4] of the least error that so many steps of Gauss-Newton find."""
    best, there = start, error(start)
    for _ in range(iterations):
        slopes = np.stack(
            [(error(best @ _small(STEP * axis)) - there) / STEP for axis in np.eye(6)]
        )
        matrix = (slopes @ slopes.T).astype(np.float64)
        matrix += 1e-6 * np.trace(matrix) * np.eye(6)
        step = -np.linalg.solve(matrix, (slopes @ there).astype(np.float64))
        candidate = best @ _small(step)
        then = error(candidate)
        if _squares(then) >= _squares(there):
            break
        best, there = candidate, then
        if np.linalg.norm(step) < SETTLED:
            break
    return best


def _small(increment: NDArray[np.float64]) -> NDArray[np.float64]:
    return motion(increment[:3], increment[3:], np.zeros(3))


def _reduced(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average [V, H, W, 3] over squares of pixels, where that leaves FITTED_SIZE."""
    views, height, width, _ = images.shape
    factor = max(min(height, width) // FITTED_SIZE, 1)
    if height % factor or width % factor:
        return images
    parts = images.reshape(views, height // factor, factor, width // factor, factor, 3)
    return parts.mean((2, 4), dtype=np.float32)


def _squares(values: NDArray) -> float:
    return float(np.sum(np.square(values), dtype=np.float64))
