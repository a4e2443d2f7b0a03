"""``Engine``: posed images to 3D Gaussians through a bundle."""

import os
import threading
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.bundle import Bundle
from geolrm.engine.cameras import Cameras, intrinsics_from_fov
from geolrm.engine.errors import BundleError, InputError
from geolrm.engine.features import Features, Proposal
from geolrm.engine.gaussians import Gaussians
from geolrm.engine.live import LiveCapture
from geolrm.engine.plan import PlanRunner, Workspace
from geolrm.engine.preprocessing import Images, Views, count_images, prepare_views
from geolrm.engine.refinement import REFERENCE_SIZE, refine
from geolrm.engine.scene import Scene
from geolrm.engine.selection import (
    AnchorChoice,
    Selection,
    check_selection,
    pad_anchors,
    select_anchors,
)
from geolrm.engine.stopwatch import Stopwatch
from geolrm.engine.visibility import drop_hidden
from geolrm.engine.voxel_grid import rope_indices

BACKENDS = ("auto", "onnxruntime")
MAX_THREADS = 1024
MAX_REFINE_STEPS = 1000


class Engine:
    """A loaded bundle, ready to reconstruct.

    Args:
        model: ``"mini"``, the bundled default, or a bundle folder of ``geolrm-export``.
        backend: ``"auto"`` or ``"onnxruntime"`` (CPU).
        threads: Threads of the CPU backend; None takes all cores this process may use.

    Raises:
        BundleError: The bundle is missing, damaged, or of another version.
    """

    def __init__(
        self, model: str | Path = "mini", *, backend: str = "auto", threads: int | None = None
    ):
        if backend not in BACKENDS:
            raise InputError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
        if threads is not None:
            threads = check_whole("threads", threads, 1, MAX_THREADS)
        self.bundle = Bundle.open(model)
        self.manifest = self.bundle.manifest
        self.backend = "onnxruntime"
        self.threads = threads or _usable_cores()
        workspace = Workspace()
        self._stages = {
            name: PlanRunner(self.bundle, plan, workspace, self.threads)
            for name, plan in self.manifest.plans.items()
        }
        missing = {"proposal", "reconstruction"} - set(self._stages)
        if missing or not any(name.startswith("encoder") for name in self._stages):
            raise BundleError(
                f"the bundle {str(self.bundle.path)!r} lacks the plan of "
                f"{', '.join(sorted(missing)) or 'an encoder'}; export it again"
            )
        self._warned_of_fov = False
        # Buffers are shared by all runs, so calls from several threads take turns.
        self.lock = threading.RLock()

    def __repr__(self) -> str:
        manifest = self.manifest
        return (
            f"Engine({manifest.model}, {self.backend} {manifest.precision}, {self.threads} "
            f"threads, {manifest.image_size} px, {manifest.self_attention} attention)"
        )

    def run(
        self,
        images: Images,
        poses: ArrayLike | Cameras,
        *,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        seed: int = 0,
        max_tokens: int | None = None,
        selection: Selection = "random",
        anchors: ArrayLike | None = None,
        refine_steps: int | None = None,
    ) -> Scene:
        """Reconstruct one object.

        Args:
            images: [V, H, W, 3|4] uint8 or [V, 3|4, H, W] float in [0, 1]; or a sequence of such
                images of different sizes. Images without alpha must be on white.
            poses: [V, 4, 4] OpenGL camera-to-world in the object frame (z up, object in
                [-0.5, 0.5]^3), or Cameras.
            intrinsics: [3, 3] or [V, 3, 3], divided by the image size.
            fov: Or the field of view in degrees of square images. With neither, and poses that are
                no Cameras, the bundle's training field of view is assumed, with a warning.
            seed: Of the random choice of anchors, where more voxels are occupied than max_tokens.
            max_tokens: Largest number of anchors; None takes the bundle's preferred number.
            selection: ``"random"``, or ``"confident"`` for the largest logits.
            anchors: [M, 3] positions to use instead of the proposal's, in this order.
            refine_steps: Steps of gradient descent on the input pictures after the network, see
                :mod:`geolrm.engine.refinement`; Gaussians that nobody can see are dropped before.
                None takes the bundle's number; 0 gives what the network says, anchor by anchor.

        Returns:
            The scene; with no occupied voxel it has no Gaussians, and a warning says so.

        Raises:
            InputError: An argument breaks its rule; the message says which and what to do.
        """
        choice = self.choose(seed, max_tokens, selection, anchors, refine_steps)
        clock = Stopwatch()
        with clock("prepare"):
            cameras = self._cameras(poses, intrinsics, fov)
            self._check_view_count(count_images(images))
            views = self.prepare(images, cameras)
        with self.lock:
            with clock("encode"):
                features = self.encode(views)
            return self.finish(views, features, choice, clock)

    def prepare(self, images: Images, cameras: Cameras) -> Views:
        """Images as the model takes them, and at the size that a refinement compares."""
        return prepare_views(images, cameras, self.manifest.image_size, REFERENCE_SIZE)

    def live(self) -> LiveCapture:
        """A capture that grows view by view; each view is encoded once, when it is added."""
        return LiveCapture(self)

    def encode(self, views: Views) -> Features:
        """Image features, view by view, so that a view's features never depend on the others."""
        names = [name for name in self._stages if name.startswith("encoder")]
        shape = (len(views), *self._feature_shape)
        features = {name: np.empty(shape, np.float32) for name in names}
        for i in range(len(views)):
            view = slice(i, i + 1)
            inputs = {
                "images": views.images[view],
                "c2w": views.c2w[view],
                "intrinsics": views.intrinsics[view],
            }
            for name in names:
                self._stages[name].run(inputs, {"features": features[name][view]})
        shared = features.get("encoder")
        if shared is not None:
            return Features(shared, shared)
        return Features(features["encoder_proposal"], features["encoder_reconstruction"])

    def propose(self, features: Features, views: Views) -> Proposal:
        """Occupancy of the voxel grid."""
        inputs = {"features": features.proposal, "projection": views.projection}
        return Proposal(**self._run_stage("proposal", inputs, views))

    def reconstruct(
        self,
        features: Features,
        views: Views,
        anchors: NDArray[np.float32],
        volume: NDArray[np.float32] | None = None,
    ) -> Gaussians:
        """Gaussians of [M, 3] anchors, those of one anchor after another.

        ``volume`` is the proposal's, where the model reads one.
        """
        rope = self.manifest.rope
        inputs = {
            "features": features.reconstruction,
            "projection": views.projection,
            "anchors": anchors,
            "rope_index": rope_indices(anchors, rope.grid_size, rope.xyz_scale),
        }
        if self.reads_volume:
            if volume is None:
                volume = self.propose(features, views).volume
            inputs["volume"] = volume
        decoded = self._run_stage("reconstruction", inputs, views)
        if decoded["colors"].ndim == 3:
            decoded["sh"] = decoded.pop("colors")
        return Gaussians(**decoded)

    @property
    def reads_volume(self) -> bool:
        """Whether anchors read the proposal's volume, as they do in models with cues."""
        return "volume" in self.manifest.plans["reconstruction"].inputs

    def _run_stage(self, name: str, inputs: dict[str, NDArray], views: Views) -> dict[str, NDArray]:
        if "foreground" in self.manifest.plans[name].inputs:
            inputs["foreground"] = views.foreground
        return self._stages[name].run(inputs)

    def step_seconds(self) -> dict[str, float]:
        """Seconds by stage and kind of step since the last :meth:`reset_step_seconds`."""
        return {
            f"{stage}: {kind}": seconds
            for stage, runner in self._stages.items()
            for kind, seconds in runner.seconds.items()
        }

    def reset_step_seconds(self) -> None:
        """Start :meth:`step_seconds` at zero."""
        for runner in self._stages.values():
            runner.seconds.clear()

    def finish(
        self, views: Views, features: Features, choice: AnchorChoice, clock: Stopwatch
    ) -> Scene:
        """From features to the scene: propose, select, reconstruct."""
        proposal, num_occupied = None, 0
        positions = choice.given
        if positions is None or self.reads_volume:
            with clock("propose"):
                proposal = self.propose(features, views)
        if positions is None:
            assert proposal is not None  # made just above
            with clock("select"):
                chosen = select_anchors(
                    proposal.logits, choice.limit, seed=choice.seed, selection=choice.selection
                )
                num_occupied = chosen.num_occupied
                # The released head variant was trained with zero anchors up to a fixed number.
                padded = choice.limit if self.manifest.padded_tokens and num_occupied else None
                positions = pad_anchors(chosen.positions, padded)
        with clock("reconstruct"):
            if len(positions):
                volume = None if proposal is None else proposal.volume
                gaussians = self.reconstruct(features, views, positions, volume)
            elif choice.given is not None:
                gaussians = _no_gaussians()
            else:
                warnings.warn(
                    "no voxel is occupied, so the scene has no Gaussians; check that the object "
                    "lies in the cube [-0.5, 0.5]^3 and that the images are on white",
                    stacklevel=3,
                )
                gaussians = _no_gaussians()
        if choice.refine_steps and len(gaussians):
            with clock("refine"):
                gaussians = refine(
                    drop_hidden(gaussians, self.threads),
                    views,
                    steps=choice.refine_steps,
                    seed=choice.seed,
                    threads=self.threads,
                )
        logits = proposal.logits if proposal is not None and choice.given is None else None
        return Scene(gaussians, positions, logits, num_occupied, views, clock.timings())

    def choose(
        self,
        seed: int,
        max_tokens: int | None,
        selection: Selection,
        anchors: ArrayLike | None,
        refine_steps: int | None,
    ) -> AnchorChoice:
        """Check how anchors are to be chosen and refined, before any work is done."""
        seed = check_whole("seed", seed, 0, 2**64)
        check_selection(selection)
        given = None if anchors is None else self._given_anchors(anchors)
        if refine_steps is None:
            refine_steps = self.manifest.refine_steps or 0
        refine_steps = check_whole("refine_steps", refine_steps, 0, MAX_REFINE_STEPS)
        return AnchorChoice(seed, self._token_limit(max_tokens), selection, given, refine_steps)

    @property
    def _feature_shape(self) -> tuple[int, int]:
        pixels = sum(height * width for height, width in self.manifest.level_shapes)
        return pixels, self.manifest.feature_dim

    def _cameras(
        self, poses: ArrayLike | Cameras, intrinsics: ArrayLike | None, fov: float | None
    ) -> Cameras:
        if intrinsics is not None and fov is not None:
            raise InputError("both intrinsics and fov were given; give one of them")
        if isinstance(poses, Cameras):
            if intrinsics is None and fov is None:
                return poses
            poses = poses.c2w
        if poses is None:
            raise InputError("no poses were given; they must be [V, 4, 4] matrices, or Cameras")
        if intrinsics is None:
            if fov is None:
                fov = self.manifest.fov_degrees
                if not self._warned_of_fov:
                    self._warned_of_fov = True
                    warnings.warn(
                        f"neither intrinsics nor fov were given; assuming the training field of "
                        f"view of this model, {fov:g} degrees",
                        stacklevel=4,
                    )
            intrinsics = intrinsics_from_fov(fov)
        return Cameras(poses, intrinsics)  # pyright: ignore[reportArgumentType]

    def _check_view_count(self, count: int) -> None:
        views = self.manifest.views
        if not views.min <= count <= views.max:
            low, high = min(count, views.min), max(count, views.max)
            raise InputError(
                f"{count} views were given; this bundle takes {views.min} to {views.max}. Choose "
                f"{'fewer' if count > views.max else 'more'}, or export it again with --views "
                f"{low}:{views.opt}:{high}"
            )

    def _token_limit(self, max_tokens: int | None) -> int:
        tokens = self.manifest.tokens
        if max_tokens is None:
            return tokens.opt
        limit = check_whole("max_tokens", max_tokens, 1, 2**31)
        if not tokens.min <= limit <= tokens.max:
            low, high = min(limit, tokens.min), max(limit, tokens.max)
            raise InputError(
                f"max_tokens is {limit}; this bundle takes {tokens.min} to {tokens.max}. Choose "
                f"within that, or export it again with --tokens {low}:{tokens.opt}:{high}"
            )
        return limit

    def _given_anchors(self, anchors: ArrayLike) -> NDArray[np.float32]:
        try:
            positions = np.ascontiguousarray(anchors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"anchors are not an array of numbers: {error}") from error
        tokens = self.manifest.tokens
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise InputError(f"anchors have shape {positions.shape}; they must be [M, 3]")
        if not np.isfinite(positions).all() or np.abs(positions).max(initial=0) > 0.5 + 1e-6:
            raise InputError(
                "anchors hold values outside the object cube; every coordinate must be finite and "
                "in [-0.5, 0.5]"
            )
        if len(positions) and not tokens.min <= len(positions) <= tokens.max:
            raise InputError(
                f"{len(positions)} anchors were given; this bundle takes {tokens.min} to "
                f"{tokens.max}"
            )
        return positions


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number within its bounds."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole or not low <= value <= high:  # pyright: ignore[reportOperatorIssue]
        raise InputError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")
    return int(value)  # pyright: ignore[reportArgumentType]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: respects containers and taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _no_gaussians() -> Gaussians:
    shapes = ((0, 3), (0,), (0, 3), (0, 4), (0, 3))
    return Gaussians(*(np.empty(shape, np.float32) for shape in shapes))
