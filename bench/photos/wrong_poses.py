"""What wrong poses cost, and how much of it their refinement brings back.

The frames are those of ``geolrm eval``. Each camera is turned about its own centre and moved, by a
stated root mean square in total. The score is the best over one similarity of the splats near the
identity, since wrong poses say nothing of where the object lies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from geolrm.bench.quality.dataset import Subject, find_subjects, load_subject
from geolrm.bench.quality.judging import on_white
from geolrm.bench.quality.protocol import TARGETS, input_frames
from geolrm.bench.quality.similarity_fit import best_psnr
from geolrm.engine.engine import Engine
from geolrm.engine.geometry.motions import misplaced
from geolrm.engine.refinement.poses import compare
from geolrm.engine.scene import Scene

T = TypeVar("T")

CASES = ((12, 0.0), (12, 1.0), (6, 0.0), (6, 1.0), (12, 2.0))  # views; degrees, % of the cube


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
    chosen = engine.run(used.images, used.cameras, refine_steps=1).alignment
    assert chosen is not None, "one step refines"
    return Row(
        subject.name, views, wrong, scores[0], scores[1], chosen.moved,
        float(np.median(alignment.residual_before)), off_seconds, on_seconds, off_cpu, on_cpu,
        measuring,
    )  # fmt: skip


def measured(call: Callable[[], T]) -> tuple[T, float, float]:
    """Call; return the seconds on the wall and those of the processor, too."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - start, time.process_time() - start_cpu
