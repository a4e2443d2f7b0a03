"""The evaluation: a dataset and a bundle in, a report out. Needs the extra ``[eval]``, no torch."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality import scores
from geolrm.bench.quality.dataset import Subject, find_subjects, load_subject
from geolrm.bench.quality.judging import Images, Judge, on_white
from geolrm.bench.quality.memory import run_peak_bytes
from geolrm.bench.quality.perceptual import Lpips
from geolrm.bench.quality.protocol import DEFAULT_VIEWS, TARGET_GROUPS, input_frames
from geolrm.bench.quality.shape_metrics import SAMPLES
from geolrm.bench.quality.visual_hull import visual_hull
from geolrm.engine.bundle.manifest import MAX_REFINE_STEPS
from geolrm.engine.engine import Engine
from geolrm.engine.errors import InputError
from geolrm.engine.options import MAX_THREADS, check_whole
from geolrm.engine.scene import Scene
from geolrm.engine.system.extras import require

BASELINE_GRID = 32  # of iou, where no bundle sets it


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The images of one reconstruction: the model's, or the hull's where there is no model."""

    name: str
    views: int
    inputs: Images  # on white
    predictions: Images
    truths: Images


class Evaluation:
    """A dataset checked whole, and an engine: ready to run.

    Args:
        dataset: A capture folder, or a folder of them.
        views: Numbers of input views.
        model: ``"mini"``, a bundle folder, or an engine; None for the baselines alone.
        objects: Names of the objects to keep; None keeps all.
        seed: Of the choice of anchors and of the sampled points.
        threads: Of the engine and of the rasterizer; None takes all cores.
        lpips: A weights file; None leaves LPIPS out.
        refine_steps: As :meth:`geolrm.Engine.run`; None takes the bundle's.
        backend: Of the engine, as :class:`geolrm.Engine`; one that is given has its own.

    Raises:
        InputError: A capture is damaged or does not follow the protocol; nothing was computed.
        GeoLRMError: A package of the extra is not installed.
    """

    def __init__(
        self,
        dataset: str | Path,
        *,
        views: Sequence[int] = DEFAULT_VIEWS,
        model: str | Path | Engine | None = "mini",
        objects: list[str] | None = None,
        seed: int = 0,
        threads: int | None = None,
        lpips: str | Path | None = None,
        refine_steps: int | None = None,
        backend: str = "auto",
    ):
        require("scipy", "the evaluation")
        self.inputs = {count: input_frames(count) for count in views}
        if not self.inputs or len(self.inputs) != len(views):
            raise InputError(f"views are {list(views)}; give numbers of views, each once")
        self.seed = check_whole("seed", seed, 0, 2**64)
        if threads is not None:
            check_whole("threads", threads, 1, MAX_THREADS)
        self.folders = find_subjects(dataset, objects)
        self.perceive = None if lpips is None else Lpips(lpips, threads)
        self.engine = (
            Engine(model, backend=backend, threads=threads)
            if isinstance(model, str | Path)
            else model
        )
        self.threads, self.refine_steps = threads, refine_steps
        if self.engine is not None:
            self.threads = self.engine.threads
            if refine_steps is None:
                self.refine_steps = self.engine.manifest.refine_steps
            check_whole("refine_steps", self.refine_steps, 0, MAX_REFINE_STEPS)
            self._check_views(self.engine)
        for name, folder in self.folders.items():
            load_subject(name, folder)

    @property
    def steps(self) -> int:
        """How often :meth:`run` advances."""
        measured = 0 if self.engine is None else 2 * len(self.inputs)  # warm-up, memory
        return len(self.folders) * len(self.inputs) + measured

    def run(
        self,
        advance: Callable[[], None] = lambda: None,
        show: Callable[[Shown], None] = lambda shown: None,
    ) -> scores.Report:
        """Reconstruct and score every object from every number of views.

        Args:
            advance: Called after each step.
            show: Given what each reconstruction looks like.
        """
        objects: dict[str, scores.ObjectReport] = {}
        busiest: dict[int, tuple[int, Path]] = {}  # by views: most anchors, and the capture
        for index, (name, folder) in enumerate(self.folders.items()):
            subject = load_subject(name, folder)
            if index == 0:
                self._warm_up(subject, advance)
            judge = Judge(
                subject,
                grid=self.grid,
                seed=self.seed,
                threads=self.threads,
                perceive=self.perceive,
            )
            white = judge.white()
            objects[name] = scores.ObjectReport({})
            for count, frames in self.inputs.items():
                judged, anchors = self._evaluate(subject, judge, white, frames, show)
                objects[name].views[str(count)] = judged
                if count not in busiest or anchors > busiest[count][0]:
                    busiest[count] = anchors, folder
                advance()
        views = {}
        for count in self.inputs:
            peak = self._peak_bytes(count, busiest[count][1])
            judged = [report.views[str(count)] for report in objects.values()]
            views[str(count)] = scores.average(judged, peak)
            if self.engine is not None:
                advance()
        return scores.Report(
            protocol=self._protocol(), model=self._facts(), views=views, objects=objects
        )

    @property
    def grid(self) -> int:
        """Voxels along an axis: the bundle's."""
        return BASELINE_GRID if self.engine is None else self.engine.manifest.rope.grid_size

    def _evaluate(
        self,
        subject: Subject,
        judge: Judge,
        white: scores.Scores,
        frames: list[int],
        show: Callable[[Shown], None],
    ) -> tuple[scores.ObjectScores, int]:
        """Score one object from one choice of input frames; return the number of anchors, too."""
        used = subject.capture.subset(frames)
        hull = visual_hull(used.images, used.cameras, threads=self.threads)
        images = judge.render(hull.gaussians)
        hull_scores = judge.scores(images, hull.gaussians, hull.occupied(self.grid))
        judged = scores.ObjectScores(baselines={"white": white, "visual_hull": hull_scores})
        anchors = 0
        if self.engine is not None:
            scene, judged.seconds = self._reconstruct(self.engine, subject, frames)
            images = judge.render(scene.gaussians)
            own = judge.scores(images, scene.gaussians, _occupied(scene))
            for field in scores.Scores.__struct_fields__:
                setattr(judged, field, getattr(own, field))
            judged.gaussians, anchors = len(scene.gaussians), len(scene.anchors)
        inputs = on_white(subject, frames)
        show(Shown(subject.name, len(frames), inputs, images, judge.truths))
        return judged, anchors

    def _reconstruct(
        self, engine: Engine, subject: Subject, frames: list[int]
    ) -> tuple[Scene, float]:
        """Reconstruct a scene; return the seconds that the whole call took, too."""
        used = subject.capture.subset(frames)
        with warnings.catch_warnings():  # scenes without Gaussians are counted instead
            warnings.filterwarnings("ignore", message="no voxel is occupied")
            start = time.perf_counter()
            scene = engine.run(
                used.images, used.cameras, seed=self.seed, refine_steps=self.refine_steps
            )
            return scene, time.perf_counter() - start

    def _warm_up(self, subject: Subject, advance: Callable[[], None]) -> None:
        """Run every number of views once, untimed."""
        if self.engine is not None:
            for frames in self.inputs.values():
                self._reconstruct(self.engine, subject, frames)
                advance()

    def _peak_bytes(self, count: int, folder: Path) -> int | None:
        if self.engine is None:
            return None
        return run_peak_bytes(
            self.engine.bundle.path,
            folder,
            self.inputs[count],
            backend=self.engine.backend,
            seed=self.seed,
            threads=self.threads,
            refine_steps=self.refine_steps,
        )

    def _check_views(self, engine: Engine) -> None:
        allowed = engine.manifest.views
        for count in self.inputs:
            if not allowed.min <= count <= allowed.max:
                raise InputError(
                    f"{count} views were asked for; this bundle takes {allowed.min} to "
                    f"{allowed.max}: leave {count} out, or export it again with more --views"
                )

    def _protocol(self) -> scores.Protocol:
        return scores.Protocol(
            inputs={str(count): frames for count, frames in self.inputs.items()},
            targets={group: list(frames) for group, frames in TARGET_GROUPS.items()},
            grid=self.grid,
            points=SAMPLES,
            seed=self.seed,
        )

    def _facts(self) -> scores.ModelFacts | None:
        if self.engine is None:
            return None
        manifest = self.engine.manifest
        return scores.ModelFacts(
            name=manifest.model,
            trained=manifest.source.trained,
            precision=manifest.precision,
            backend=self.engine.backend,
            threads=self.engine.threads,
            checksum=manifest.checksum,
            refine_steps=self.refine_steps,
        )


def _occupied(scene: Scene) -> NDArray[np.bool_] | None:
    """Mark the voxels with a positive logit, [G, G, G]."""
    return None if scene.logits is None else scene.logits > 0
