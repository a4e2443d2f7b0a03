"""``Engine``: posed images to 3D Gaussians through a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike

from geolrm.engine.anchors import AnchorChoice, Selection
from geolrm.engine.backends.base import Array, open_backend
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.errors import BundleError
from geolrm.engine.features import Features, Proposal
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.live import LiveCapture
from geolrm.engine.options import MAX_THREADS, Arguments, check_whole
from geolrm.engine.refinement.refine import REFERENCE_SIZE, refine
from geolrm.engine.refinement.visibility import drop_hidden
from geolrm.engine.scene import Scene
from geolrm.engine.system.output import Output, check_output
from geolrm.engine.system.stopwatch import Stopwatch
from geolrm.engine.system.user_warnings import warn
from geolrm.engine.views.preprocessing import (
    Images,
    PlacedViews,
    Views,
    count_images,
    prepare_views,
)

if TYPE_CHECKING:
    from geolrm.engine.backends.cuda.memory_plan import MemoryPlan

MAX_DEVICES = 1024


class Engine:
    """A loaded bundle, ready to reconstruct.

    Args:
        model: ``"mini"``, the bundled default, or a bundle folder of ``geolrm-export``.
        backend: ``"onnxruntime"`` (CPU), ``"cuda"``, ``"tensorrt"``, ``"tensorrt-rtx"``, or
            ``"auto"``: the GPU where the bundle holds what this machine can run there, else
            the CPU; :attr:`backend_reason` says why.
        threads: Threads of the CPU's work; None takes all cores this process may use.
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
        self.bundle = Bundle.open(model)
        self.manifest = self.bundle.manifest
        selected, self._backend = open_backend(backend, self.bundle, threads, device)
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
        self.arguments = Arguments(self.manifest)
        self._placed: PlacedViews | None = None
        # Buffers are shared by all runs, so calls from several threads take turns.
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
        seed: int = 0,
        max_tokens: int | None = None,
        selection: Selection = "random",
        anchors: ArrayLike | None = None,
        refine_steps: int | None = None,
        output: Output = "numpy",
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
            output: ``"numpy"``, or ``"device"`` to leave the scene's arrays where they were made:
                on a GPU in device memory, for PyTorch or CuPy to read in place, and nothing is
                waited for but the number of anchors; on the CPU they are NumPy's.

        Returns:
            The scene; with no occupied voxel it has no Gaussians, and a warning says so.

        Raises:
            InputError: An argument breaks its rule; the message says which and what to do.
        """
        check_output(output)
        choice = self.arguments.choose(seed, max_tokens, selection, anchors, refine_steps)
        clock = Stopwatch()
        with clock("prepare"):
            cameras = self.arguments.cameras(poses, intrinsics, fov)
            self.arguments.check_view_count(count_images(images))
            views = self.prepare(images, cameras)
        with self.lock:
            self._backend.check_memory(len(views), choice.num_tokens)
            with clock("encode"):
                features = self.encode(views)
            return self.finish(views, features, choice, clock, output)

    def finish(
        self,
        views: Views,
        features: Features,
        choice: AnchorChoice,
        clock: Stopwatch,
        output: Output = "numpy",
    ) -> Scene:
        """From features to the scene: propose, select, reconstruct, refine."""
        proposal, num_occupied = None, 0
        positions: Array | None = choice.given
        if positions is None or self.reads_volume:
            with clock("propose"):
                proposal = self.propose(features, views)
        if positions is None:
            assert proposal is not None  # made just above
            with clock("select"):
                positions, num_occupied = self._backend.select(proposal.logits, choice)
        with clock("reconstruct"):
            arrays: dict[str, Array] = {"anchors": positions}
            if proposal is not None and choice.given is None:
                arrays["logits"] = proposal.logits
            assert positions is not None  # given or selected
            if len(positions):
                volume = None if proposal is None else proposal.volume
                arrays |= self._decode(features, views, positions, volume)
            elif choice.given is None:
                warn(
                    "no voxel is occupied, so the scene has no Gaussians; check that the object "
                    "lies in the cube [-0.5, 0.5]^3 and that the images are on white"
                )
            self._placed = None
            results = arrays if output == "device" else self._backend.fetch(arrays)
            anchors, logits = results.pop("anchors"), results.pop("logits", None)
            gaussians = _gaussians(results)
        if choice.refine_steps and len(gaussians):
            with clock("refine"):
                gaussians = self._refine(gaussians, views, choice)
        if output == "device":  # what the host has decided or refined joins the rest
            anchors, gaussians = self._backend.put(anchors), self._backend.put_gaussians(gaussians)
        timings, gpu = clock.timings(), self._backend.device
        return Scene(gaussians, anchors, logits, num_occupied, views, timings, gpu)

    def _refine(self, gaussians: Gaussians, views: Views, choice: AnchorChoice) -> Gaussians:
        """Without those that nobody sees, moved by gradient descent on the pictures."""
        return refine(
            drop_hidden(gaussians.numpy(), self.threads),
            views,
            steps=choice.refine_steps,
            seed=choice.seed,
            threads=self.threads,
        )

    def prepare(self, images: Images, cameras: Cameras) -> Views:
        """Images as the model takes them, and at the size that a refinement compares."""
        return prepare_views(images, cameras, self.manifest.image_size, REFERENCE_SIZE)

    def plan_memory(self, views: int, tokens: int | None = None) -> "MemoryPlan | None":
        """GPU memory of a run with so many views and anchors; None on the CPU.

        ``tokens`` None takes the bundle's preferred number.
        """
        if self._backend.device is None or not self.manifest.gpu:
            return None
        from geolrm.engine.backends.cuda.memory_plan import plan_memory

        tokens = self.manifest.anchors.opt if tokens is None else tokens
        return plan_memory(self.manifest, self.manifest.gpu, views, tokens)

    def live(self) -> LiveCapture:
        """A capture that grows view by view; each view is encoded once, when it is added."""
        return LiveCapture(self)

    def encode(self, views: Views) -> Features:
        """Image features of each view alone: which views come with it matters to rounding at most.

        On the CPU it does not matter at all. On a GPU views are encoded together, and matrix
        products of another size may round differently.
        """
        with self.lock:
            placed = self._place(views)
            names = [name for name, stage in self._stages.items() if stage.role == "encoder"]
            features = {name: self._backend.empty_features(name, len(views)) for name in names}
            for batch in self._backend.view_batches(len(views)):
                inputs = {name: placed[name][batch] for name in ("images", "c2w", "intrinsics")}
                for name in names:
                    self._stages[name].run(inputs, {"features": features[name][batch]})
            read = {
                reader: features[name]
                for name in names
                for reader in self._stages[name].stage.features_for
            }
            return Features(read["proposal"], read["reconstruction"])

    def propose(self, features: Features, views: Views) -> Proposal:
        """Occupancy of the voxel grid."""
        with self.lock:
            projection = self._place(views)["projection"]
            inputs = {"features": features.proposal, "projection": projection}
            return Proposal(**self._run_stage("proposal", inputs, views))

    def reconstruct(
        self, features: Features, views: Views, anchors: Array, volume: Array | None = None
    ) -> Gaussians:
        """Gaussians of [M, 3] anchors, those of one anchor after another.

        ``volume`` is the proposal's, where the model reads one.
        """
        with self.lock:
            decoded = self._backend.fetch(self._decode(features, views, anchors, volume))
        return _gaussians(decoded)

    def _decode(
        self, features: Features, views: Views, anchors: Array, volume: Array | None
    ) -> dict[str, Array]:
        anchors = self._backend.put(anchors)
        inputs = {
            "features": features.reconstruction,
            "projection": self._place(views)["projection"],
            "anchors": anchors,
            "rope_index": self._backend.rope_indices(anchors),
        }
        if self.reads_volume:
            if volume is None:
                volume = self.propose(features, views).volume
            assert volume is not None, "the plan of a model with cues makes a volume"
            inputs["volume"] = self._backend.put(volume)
        return self._run_stage("reconstruction", inputs, views)

    @property
    def reads_volume(self) -> bool:
        """Whether anchors read the proposal's volume, as they do in models with cues."""
        return self._stages["reconstruction"].stage.reads("volume")

    def _place(self, views: Views) -> PlacedViews:
        """Where the backend reads them; uploaded once however many stages ask."""
        if self._placed is None or self._placed.views is not views:
            self._placed = PlacedViews(views, self._backend.put)
        return self._placed

    def _run_stage(self, name: str, inputs: dict[str, Array], views: Views) -> dict[str, Array]:
        if self._stages[name].stage.reads("foreground"):
            inputs["foreground"] = self._place(views)["foreground"]
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


def _gaussians(decoded: dict[str, Array]) -> Gaussians:
    """Of what the last stage yields, where it is; none of nothing."""
    if not decoded:
        shapes = ((0, 3), (0,), (0, 3), (0, 4), (0, 3))
        return Gaussians(*(np.empty(shape, np.float32) for shape in shapes))
    if len(decoded["colors"].shape) == 3:
        decoded["sh"] = decoded.pop("colors")
    if isinstance(decoded["means"], np.ndarray):
        return Gaussians(**decoded)
    from geolrm.engine.backends.cuda.gaussians import DeviceGaussians

    return cast(Gaussians, DeviceGaussians(**decoded))
