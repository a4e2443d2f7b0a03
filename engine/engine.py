"""``Engine``: posed images to 3D Gaussians through a bundle."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from numpy.typing import ArrayLike

from geolrm.engine.backends.base import Array
from geolrm.engine.backends.opening import open_backend, open_learned
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.errors import BundleError, DeviceMemoryError
from geolrm.engine.features import Features, PlacedViews, Proposal
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.live import LiveCapture
from geolrm.engine.options import (
    MAX_THREADS,
    ArgumentChecks,
    RunOptions,
    RunSettings,
    check_whole,
)
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.refinement.poses import (
    ROUNDS,
    compare,
    finer_views,
    moved_views,
    poses_look_wrong,
    refine_colors,
    refine_poses,
    splats_explain,
)
from geolrm.engine.refinement.shading import needs_shading, shade
from geolrm.engine.refinement.visibility import drop_hidden
from geolrm.engine.scene import Scene
from geolrm.engine.system.stopwatch import Stopwatch
from geolrm.engine.system.user_warnings import warn
from geolrm.engine.views.photographs import CloserLook, Photographs
from geolrm.engine.views.preprocessing import Images, Valid, Views, count_images, prepare_views

if TYPE_CHECKING:
    from geolrm.engine.cuda.array import Device

MAX_DEVICES = 1024


class Engine:
    """A loaded bundle, ready to reconstruct.

    Args:
        model: ``"mini"``, the bundled default, or a bundle folder of ``geolrm-export``.
        backend: ``"onnxruntime"`` (CPU), ``"cuda"``, ``"tensorrt"``, ``"tensorrt-rtx"``, or
            ``"auto"``: the GPU where the bundle has an artifact for it that this machine can run,
            else the CPU; :attr:`backend_reason` says why.
        threads: Threads of the CPU's work, never more than cores that this process may use; None
            takes them all. The result is the same bits for any number.
        device: Number of the GPU.

    Raises:
        BundleError: The bundle is missing, damaged, of another version, or not made for the asked
            backend or for this GPU.
        GeoLRMError: The asked backend lacks a driver, a GPU or a package.
    """

    def __init__(
        self,
        model: str | Path = "mini",
        *,
        backend: str = "auto",
        threads: int | None = None,
        device: int = 0,
    ):
        if threads is not None:
            threads = check_whole("threads", threads, 1, MAX_THREADS)
        device = check_whole("device", device, 0, MAX_DEVICES)
        self.bundle = Bundle.open(model, load=True)
        self.manifest = self.bundle.manifest
        selected, self._backend = open_backend(backend, self.bundle, threads, device)
        self._learned = open_learned(self.bundle, self._backend.threads)
        self.bundle.release()
        self.backend, self.backend_reason = selected.name, selected.reason
        self.threads = self._backend.threads
        self._stages = self._backend.stages
        roles = {stage.role for stage in self._stages.values()}
        missing = {"proposal", "reconstruction"} - roles
        if missing or "encoder" not in roles:
            raise BundleError(
                f"the bundle {str(self.bundle.path)!r} lacks the plan of "
                f"{', '.join(sorted(missing)) or 'an encoder'}; export it again"
            )
        self.checks = ArgumentChecks(self.manifest)
        # Stages share their memory, so calls from several threads take turns.
        self.lock = self._backend.lock

    def __repr__(self) -> str:
        manifest = self.manifest
        return (
            f"Engine({manifest.model}, {self._backend.description}, {manifest.image_size} px, "
            f"{manifest.self_attention} attention)"
        )

    def run(
        self,
        images: Images,
        poses: ArrayLike | Cameras,
        *,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        valid: Valid | None = None,
        clock: Stopwatch | None = None,
        **options: Unpack[RunOptions],
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
            valid: Of each image [H, W] bool, False where nothing is known of it, or None where it
                is known whole, as :attr:`Capture.valid`; None: all are. What lies outside an image
                is never known.
            clock: Sums the seconds of stages; one that raises when a stage begins stops the run.
            **options: ``seed``, ``max_tokens``, ``selection``, ``anchors``, ``quality``,
                ``refine_steps``, ``refine_poses``, ``shading`` and ``output``: see
                :class:`geolrm.engine.options.RunOptions`.

        Returns:
            The scene; with no occupied voxel it has no Gaussians, and a warning says so.

        Raises:
            InputError: An argument breaks its rule; the message says which and what to do.
        """
        settings = self.checks.settings(**options)
        clock = clock or Stopwatch()
        with clock("prepare"):
            cameras = self.checks.cameras(poses, intrinsics, fov)
            self.checks.view_count(count_images(images))
            views = self.prepare(images, cameras, valid)

        photographs = Photographs(images, cameras, valid, self.manifest.image_size)
        return self.run_views(views, settings, clock, photographs=photographs)

    def run_views(
        self,
        views: Views,
        settings: RunSettings,
        clock: Stopwatch,
        features: Features | None = None,
        photographs: CloserLook | None = None,
    ) -> Scene:
        """Reconstruct from prepared views, and from their features where they are known already.

        A refinement compares with ``photographs`` where they are finer than the views' reference.

        ::

            views           images [V, 3, S, S], alpha [V, S, S], cameras
              | place       the same arrays where the backend reads them
              | encode      features [V, L, C], of each view alone          (paper, 3.1)
              | propose     logits [G, G, G]; with cues also a volume       (3.2)
              | choose      anchors [N, 3]: occupied voxels, or those given
              | reconstruct Gaussians [N k], those of an anchor together    (3.3)
              | refine      the same, moved and thinned; where poses are refined
              |             with them, place and what follows is done again with those
            scene           where ``settings.output`` wants it
        """
        with self.lock:
            self._backend.check_memory(len(views), settings.num_anchors)
            scene = self._see(views, settings, clock, features)
            if settings.refines and len(scene.gaussians):
                scene = self._refine(scene, settings, clock, photographs)
            return replace(scene, timings=clock.timings())

    def live(self) -> LiveCapture:
        """Start a capture that grows; each view is encoded once, when it is added."""
        return LiveCapture(self)

    def prepare(self, images: Images, cameras: Cameras, valid: Valid | None = None) -> Views:
        """Make of images what the model takes, and what a refinement compares with."""
        return prepare_views(images, cameras, self.manifest.image_size, REFERENCE_SIZE, valid)

    def encode(self, views: Views | PlacedViews) -> Features:
        """Encode each view alone: which views come with it matters to rounding at most.

        On the CPU it does not matter at all. On a GPU views are encoded together, and matrix
        products of another size may round differently.
        """
        with self.lock:
            placed = self._backend.place(views)
            names = [name for name, stage in self._stages.items() if stage.role == "encoder"]
            features = {name: self._backend.empty_features(name, len(placed)) for name in names}
            for batch in self._backend.view_batches(len(placed)):
                inputs = {name: placed[name][batch] for name in ("images", "c2w", "intrinsics")}
                for name in names:
                    self._stages[name].run(inputs, {"features": features[name][batch]})
            read = {
                reader: features[name]
                for name in names
                for reader in self._stages[name].stage.features_for
            }
            return Features(read["proposal"], read["reconstruction"])

    def join_features(self, parts: Sequence[Features]) -> Features:
        """Join the features of views that were encoded apart, in their order."""
        with self.lock:
            return Features.join(parts, self._backend.concatenate)

    def propose(self, features: Features, views: Views | PlacedViews) -> Proposal:
        """Predict the occupancy of the voxel grid."""
        with self.lock:
            placed = self._backend.place(views)
            return Proposal(**self._run_stage("proposal", features.proposal, placed))

    def reconstruct(
        self,
        features: Features,
        views: Views | PlacedViews,
        anchors: Array,
        volume: Array | None = None,
    ) -> Gaussians:
        """Decode [N, 3] anchors to Gaussians, those of one anchor after another, in NumPy arrays.

        ``volume`` is the proposal's, where the model reads one; where it is missing, the proposal
        is made once more.
        """
        with self.lock:
            placed = self._backend.place(views)
            return self._decode(features, placed, anchors, volume).numpy()

    @property
    def reads_volume(self) -> bool:
        """Whether anchors read the proposal's volume, as they do in models with cues."""
        return self._stages["reconstruction"].stage.reads("volume")

    def plan_memory(self, views: int, tokens: int | None = None) -> Any:
        """Plan the GPU memory of a run with so many views and anchors; None on the CPU.

        ``tokens`` None takes the bundle's preferred number of anchors.
        """
        tokens = self.manifest.anchors.opt if tokens is None else tokens
        return self._backend.plan_memory(views, tokens)

    def step_seconds(self) -> dict[str, float]:
        """Sum the seconds by stage and kind of step since the last :meth:`reset_step_seconds`."""
        return {
            f"{stage}: {kind}": seconds
            for stage, runner in self._stages.items()
            for kind, seconds in runner.seconds.items()
        }

    def reset_step_seconds(self) -> None:
        """Start :meth:`step_seconds` at zero."""
        for runner in self._stages.values():
            runner.seconds.clear()

    def _choose_anchors(
        self, proposal: Proposal | None, settings: RunSettings
    ) -> tuple[Array, int]:
        """[N, 3] in the backend's memory, padded where the model needs it; occupied voxels."""
        if settings.given is not None:
            return settings.given, 0
        assert proposal is not None, "made where no anchors are given"
        anchors, num_occupied = self._backend.choose_anchors(proposal.logits, settings)
        if not num_occupied:
            warn(
                "no voxel is occupied, so the scene has no Gaussians; check that the object lies "
                "in the cube [-0.5, 0.5]^3 and that the images are on white"
            )
        return anchors, num_occupied

    def _decode(
        self, features: Features, placed: PlacedViews, anchors: Array, volume: Array | None
    ) -> Gaussians:
        """As :meth:`reconstruct`, in the backend's memory."""
        if not len(anchors):
            return Gaussians.empty()
        backend = self._backend
        inputs = {"anchors": backend.put(anchors)}
        inputs["rope_index"] = backend.rope_indices(inputs["anchors"])
        if self.reads_volume:
            if volume is None:
                volume = self.propose(features, placed).volume
            assert volume is not None, "the plan of a model with cues makes a volume"
            inputs["volume"] = backend.put(volume)
        decoded = self._run_stage("reconstruction", features.reconstruction, placed, inputs)
        if len(decoded["colors"].shape) == 3:  # spherical harmonics
            decoded["sh"] = decoded.pop("colors")
        return backend.gaussians(decoded)

    def _see(
        self,
        views: Views,
        settings: RunSettings,
        clock: Stopwatch,
        features: Features | None = None,
    ) -> Scene:
        """Run the network: all of :meth:`run_views` but the refinement."""
        backend, given = self._backend, settings.given is not None
        placed = backend.place(views)
        if features is None:
            with clock("encode"):
                features = self.encode(placed)
        proposal = None
        if self.reads_volume or not given:
            with clock("propose"):
                proposal = self.propose(features, placed)
        with clock("select"):
            anchors, num_occupied = self._choose_anchors(proposal, settings)
        with clock("reconstruct"):
            volume = None if proposal is None else proposal.volume
            gaussians = self._decode(features, placed, anchors, volume)
            logits = None if given or proposal is None else proposal.logits
            scene = Scene(gaussians, anchors, logits, num_occupied, views, gpu=backend.device)
            return backend.deliver(scene, settings.output)

    def _refine(
        self, scene: Scene, settings: RunSettings, clock: Stopwatch, photographs: CloserLook | None
    ) -> Scene:
        """Refine where the network ran; on the CPU where its GPU lacks the memory."""
        gpu = self._backend.device
        try:
            return self._refine_on(gpu, scene, settings, clock, photographs)
        except DeviceMemoryError as error:
            if gpu is None:
                raise
            warn(f"refining on the CPU instead of the GPU: {error}")
        return self._refine_on(None, scene, settings, clock, photographs)

    def _refine_on(
        self,
        gpu: "Device | None",
        scene: Scene,
        settings: RunSettings,
        clock: Stopwatch,
        photographs: CloserLook | None,
    ) -> Scene:
        """Leave out what nobody sees, and move the rest by gradient descent.

        Where poses are refined with it, the network sees the better ones after each round.
        Where the photographs do not agree on plain colours, the colours depend on the direction.
        """
        given, seed, threads = scene.views, settings.seed, self.threads
        with clock("refine"):
            gaussians = drop_hidden(scene.gaussians.numpy(), threads, gpu)
            alignment = compare(gaussians, given, threads, gpu=gpu)
            moves = settings.refine_poses is True
            automatic = "auto" in (settings.refine_poses, settings.shading)  # light depends on it
            if automatic and not moves and poses_look_wrong(alignment):
                explained = splats_explain(
                    gaussians, given, alignment, seed=seed, threads=threads, gpu=gpu
                )
                alignment = replace(alignment, explained=explained)
                moves = settings.refine_poses == "auto" and not explained
        for part in ROUNDS if moves else ():
            with clock("refine"):
                gaussians, alignment = refine_poses(
                    gaussians, scene.views, alignment, part, given=given.c2w, seed=seed,
                    threads=threads, gpu=gpu,
                )  # fmt: skip
            seen = self._see(moved_views(given, alignment.c2w), settings, clock)
            if not len(seen.gaussians):
                break
            scene, gaussians = seen, drop_hidden(seen.gaussians.numpy(), threads, gpu)
        with clock("refine"):
            views = moved_views(given, alignment.c2w) if moves else given
            finer = finer_views(photographs, views)
            start, budget = gaussians, settings.budget(len(views), clock.elapsed)
            gaussians, alignment, progress = refine_colors(
                start, views, alignment, budget, finer=finer, seed=seed, threads=threads,
                learned=self._learned, given=given.c2w, gpu=gpu,
            )  # fmt: skip
            if moves:
                views = moved_views(given, alignment.c2w)
                finer = finer_views(photographs, views)
            shades = settings.shading is True
            shades |= settings.shading == "auto" and needs_shading(alignment)
            if shades:
                # From before the plain colours, which made blotches.
                gaussians, alignment = shade(
                    start, gaussians, views, finer, alignment, seed=seed, threads=threads, gpu=gpu
                )
            scene = replace(
                scene, gaussians=gaussians, views=views, alignment=alignment, refinement=progress
            )
            return self._backend.deliver(scene, settings.output)

    def _run_stage(
        self,
        name: str,
        features: Array,
        placed: PlacedViews,
        more: dict[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Run a stage after the encoders, which reads views by their projection."""
        inputs = {"features": features, "projection": placed["projection"], **(more or {})}
        if self._stages[name].stage.reads("foreground"):
            inputs["foreground"] = placed["foreground"]
        if self._stages[name].stage.reads("valid"):
            inputs["valid"] = placed["shown"]
        return self._stages[name].run(inputs)
