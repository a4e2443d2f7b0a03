"""The evaluation: a dataset and a bundle in, a report out. Needs the extra ``[eval]``, no torch."""

import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality import scores
from geolrm.bench.quality.dataset import TRANSFORMS, Subject, find_subjects, load_subject
from geolrm.bench.quality.input_changes import InputChanges
from geolrm.bench.quality.judging import Images, Judge
from geolrm.bench.quality.memory import run_peak_bytes
from geolrm.bench.quality.perceptual import Lpips
from geolrm.bench.quality.protocol import DEFAULT_VIEWS, TARGET_GROUPS, input_frames
from geolrm.bench.quality.shape_metrics import SAMPLES
from geolrm.bench.quality.visual_hull import visual_hull
from geolrm.engine.bundle.manifest import MAX_REFINE_STEPS
from geolrm.engine.captures import Capture
from geolrm.engine.engine import Engine
from geolrm.engine.errors import InputError
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.options import MAX_THREADS, check_whole
from geolrm.engine.refinement.budget import REFERENCE_SIZE, Budget, Quality
from geolrm.engine.refinement.poses import finer_views
from geolrm.engine.refinement.refine import refine_within
from geolrm.engine.scene import Scene
from geolrm.engine.system.extras import require
from geolrm.engine.views.alpha import composite_on_white
from geolrm.engine.views.photographs import Photographs
from geolrm.engine.views.preprocessing import prepare_views

HULL_STEPS = 120  # the seconds that they take stand beside those of the model
BASELINE_GRID = 32  # of iou, where no bundle sets it


class Effort(TypedDict):
    """What is asked of the refinement; at most one of them."""

    quality: Quality | None
    refine_steps: int | None


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
        quality: Of the refinement, as :meth:`geolrm.Engine.run`.
        refine_steps: Just so many steps of it instead.
        transforms: Name of the file with the poses in each capture; captures without it are left
            out.
        changes: What is done to the inputs; the engine then also refines poses, if its default
            finds them wrong, and scores are those after one similarity of the scene.
        hull_steps: Steps of refinement of the baseline ``refined_hull``.
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
        quality: Quality | None = None,
        refine_steps: int | None = None,
        transforms: str = TRANSFORMS,
        changes: InputChanges | None = None,
        hull_steps: int = HULL_STEPS,
        backend: str = "auto",
    ):
        require("scipy", "the evaluation")
        self.inputs = {count: input_frames(count) for count in views}
        if not self.inputs or len(self.inputs) != len(views):
            raise InputError(f"views are {list(views)}; give numbers of views, each once")
        self.seed = check_whole("seed", seed, 0, 2**64)
        if threads is not None:
            check_whole("threads", threads, 1, MAX_THREADS)
        self.hull_steps = check_whole("hull_steps", hull_steps, 0, MAX_REFINE_STEPS)
        self.transforms, self.changes = transforms, changes or InputChanges()
        self.folders = find_subjects(dataset, objects, transforms)
        self.perceive = None if lpips is None else Lpips(lpips, threads)
        self.engine = (
            Engine(model, backend=backend, threads=threads)
            if isinstance(model, str | Path)
            else model
        )
        self.threads, self.effort = threads, Effort(quality=quality, refine_steps=refine_steps)
        if self.engine is not None:
            self.threads = self.engine.threads
            self.engine.checks.settings(**self.effort)
            self._check_views(self.engine)
        for name, folder in self.folders.items():
            self._check_changes(load_subject(name, folder, transforms))

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
        busiest: dict[int, tuple[int, str]] = {}  # by views: most anchors, and the object
        for index, (name, folder) in enumerate(self.folders.items()):
            subject = load_subject(name, folder, self.transforms)
            if index == 0:
                self._warm_up(subject, advance)
            judge = Judge(
                subject,
                grid=self.grid,
                seed=self.seed,
                threads=self.threads,
                perceive=self.perceive,
            )
            white = scores.as_baseline(judge.white())
            objects[name] = scores.ObjectReport({})
            for count, frames in self.inputs.items():
                judged, anchors = self._evaluate(subject, judge, white, frames, show)
                objects[name].views[str(count)] = judged
                if count not in busiest or anchors > busiest[count][0]:
                    busiest[count] = anchors, name
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
        white: scores.BaselineScores,
        frames: list[int],
        show: Callable[[Shown], None],
    ) -> tuple[scores.ObjectScores, int]:
        """Score one object from one choice of input frames; return the number of anchors, too."""
        used = self._inputs(subject, frames)
        baselines, images = self._baselines(used, judge)
        judged = scores.ObjectScores(baselines={"white": white, **baselines})
        anchors = 0
        if self.engine is not None:
            scene, judged.seconds = self._reconstruct(self.engine, used)
            gaussians = self._placed(scene.gaussians, judge)
            images = judge.render(gaussians)
            own = judge.scores(images, gaussians, _occupied(scene))
            for field in scores.Scores.__struct_fields__:
                setattr(judged, field, getattr(own, field))
            judged.gaussians, anchors = len(scene.gaussians), len(scene.anchors)
        inputs = [composite_on_white(image, index) for index, image in enumerate(used.images)]
        show(Shown(subject.name, len(frames), inputs, images, judge.truths))
        return judged, anchors

    def _inputs(self, subject: Subject, frames: list[int]) -> Capture:
        """Choose the input frames, changed as it was asked, for each object differently."""
        return self.changes.apply(subject.capture.subset(frames), self._seed_of(subject.name))

    def _seed_of(self, name: str) -> int:
        """Return the seed of the changes of an object."""
        return self.seed + zlib.crc32(name.encode())

    def _baselines(
        self, used: Capture, judge: Judge
    ) -> tuple[dict[str, scores.BaselineScores], Images]:
        """Score the hull as it is carved and as it is refined; return the latter's images, too."""
        started = time.perf_counter()
        hull = visual_hull(used.images, used.cameras, threads=self.threads)
        carved = time.perf_counter()
        made = [("visual_hull", hull.gaussians, carved - started)]
        if self.hull_steps:
            views = prepare_views(used.images, used.cameras, REFERENCE_SIZE, valid=used.valid)
            photographs = Photographs(used.images, used.cameras, used.valid, REFERENCE_SIZE)
            refined, _ = refine_within(
                hull.gaussians, views, Budget.exactly(self.hull_steps),
                finer=finer_views(photographs, views), seed=self.seed, threads=self.threads,
            )  # fmt: skip
            made.append(("refined_hull", refined, time.perf_counter() - started))
        occupied = hull.occupied(self.grid)
        found: dict[str, scores.BaselineScores] = {}
        images: Images = []
        for name, gaussians, seconds in made:
            placed = self._placed(gaussians, judge)
            images = judge.render(placed)
            found[name] = scores.as_baseline(judge.scores(images, placed, occupied), seconds)
        found.setdefault("refined_hull", found["visual_hull"])
        return found, images

    def _placed(self, gaussians: Gaussians, judge: Judge) -> Gaussians:
        """Move a scene where wrong poses left open where it lies."""
        return judge.placed(gaussians) if self.changes.wrong_poses else gaussians

    def _reconstruct(self, engine: Engine, used: Capture) -> tuple[Scene, float]:
        """Reconstruct a scene; return the seconds that the whole call took, too."""
        with warnings.catch_warnings():  # scenes without Gaussians are counted instead
            warnings.filterwarnings("ignore", message="no voxel is occupied")
            start = time.perf_counter()
            scene = engine.run(
                used.images, used.cameras, valid=used.valid, seed=self.seed, **self.effort
            )
            return scene, time.perf_counter() - start

    def _warm_up(self, subject: Subject, advance: Callable[[], None]) -> None:
        """Run every number of views once, untimed."""
        if self.engine is not None:
            for frames in self.inputs.values():
                self._reconstruct(self.engine, self._inputs(subject, frames))
                advance()

    def _peak_bytes(self, count: int, name: str) -> int | None:
        if self.engine is None:
            return None
        return run_peak_bytes(
            self.engine.bundle.path,
            self.folders[name] / self.transforms,
            self.inputs[count],
            changes=self.changes,
            changes_seed=self._seed_of(name),
            backend=self.engine.backend,
            seed=self.seed,
            threads=self.threads,
            **self.effort,
        )

    def _check_views(self, engine: Engine) -> None:
        allowed = engine.manifest.views
        for count in self.inputs:
            if not allowed.min <= count <= allowed.max:
                raise InputError(
                    f"{count} views were asked for; this bundle takes {allowed.min} to "
                    f"{allowed.max}: leave {count} out, or export it again with more --views"
                )

    def _check_changes(self, subject: Subject) -> None:
        """Refuse early what cannot be changed as asked, from any number of views."""
        for frames in self.inputs.values():
            self.changes.check(subject.capture.subset(frames), self._seed_of(subject.name))

    def _protocol(self) -> scores.Protocol:
        return scores.Protocol(
            inputs={str(count): frames for count, frames in self.inputs.items()},
            targets={group: list(frames) for group, frames in TARGET_GROUPS.items()},
            grid=self.grid,
            points=SAMPLES,
            seed=self.seed,
            transforms=self.transforms,
            hull_steps=self.hull_steps,
            changes={name: value for name, value in asdict(self.changes).items() if value},
        )

    def _facts(self) -> scores.ModelFacts | None:
        if self.engine is None:
            return None
        manifest = self.engine.manifest
        effort = self.engine.checks.settings(**self.effort).effort
        steps = effort if isinstance(effort, int) else None
        return scores.ModelFacts(
            name=manifest.model,
            trained=manifest.source.trained,
            precision=manifest.precision,
            backend=self.engine.backend,
            threads=self.engine.threads,
            checksum=manifest.checksum,
            quality=None if isinstance(effort, int) else effort,
            refine_steps=steps,
        )


def _occupied(scene: Scene) -> NDArray[np.bool_] | None:
    """Mark the voxels with a positive logit, [G, G, G]."""
    return None if scene.logits is None else scene.logits > 0
