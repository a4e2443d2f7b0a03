"""What a caller asks of a run, checked against the bundle before any work is done."""

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.anchors import Selection, check_selection
from geolrm.engine.bundle.manifest import MAX_REFINE_STEPS, Manifest
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras, intrinsics_from_fov
from geolrm.engine.refinement.budget import DEFAULT_STEPS, Budget, Quality, budget_of, check_quality
from geolrm.engine.system.output import Output, check_output
from geolrm.engine.system.user_warnings import warn

MAX_THREADS = 1024
RefinePoses = Literal["auto"] | bool
Shading = Literal["auto"] | bool


class RunOptions(TypedDict, total=False):
    """How to turn views into a scene: the options of ``run``, live captures and ``geolrm run``.

    Keys:
        seed: Of the random choice of anchors, where more voxels are occupied than ``max_tokens``;
            0 where it is left out.
        max_tokens: Largest number of anchors; None, the default, takes the bundle's preferred
            number.
        selection: ``"random"``, the default, or ``"confident"`` for the largest logits.
        anchors: [N, 3] positions to use instead of the proposal's, in this order.
        quality: How much refinement on the input images follows the network, see
            :mod:`geolrm.engine.refinement`: ``"fast"``, ``"balanced"``, the default of bundles
            that refine, ``"best"``, or seconds that the run may take. Learned steps of the bundle
            come first. Steps of descent follow the number of views, and those of ``"best"`` end
            where a view that is held back gets worse; photographs larger than 256 px are
            compared at up to 512 px, with ``"best"`` at up to 1024 px, and Gaussians that cover too
            much detail are split, up to 200,000. ``scene.refinement`` says how far it got.
            Gaussians that nobody can see are dropped before.
        refine_steps: Six learned steps and just so many of descent instead, at 256 px or, from
            photographs that are larger, up to 512 px. 0 gives what the network says, anchor by
            anchor.
        refine_poses: Whether the poses are refined with the Gaussians, in rounds after which the
            network runs again, and in the refinement after them: True, False, or ``"auto"``, the
            default, where the images lie more than 0.9 pixels of 256 off what the network made of
            them, as root mean square, and, from 6 views on, more than 0.55 when its splats have
            moved. ``scene.alignment`` holds what came of it. Needs ``refine_steps``.
        shading: Whether colours depend on the direction they are seen from, harmonics of degree 1,
            as where a flash moves with the camera: True, False, or ``"auto"``, the default, where
            plain colours explain the light in the median photograph to less than 27 dB, before
            a closing step, there are at least 6, and poses do not look wrong.
            ``scene.alignment.shaded`` says whether. Needs ``refine_steps``.
        output: ``"numpy"``, the default, or ``"device"`` to leave the scene's arrays where they
            were made: on a GPU in device memory, for PyTorch or CuPy to read in place, and nothing
            is waited for but the number of anchors; on the CPU they are NumPy's.
    """

    seed: int
    max_tokens: int | None
    selection: Selection
    anchors: ArrayLike | None
    quality: Quality | None
    refine_steps: int | None
    refine_poses: RefinePoses
    shading: Shading
    output: Output


@dataclass(frozen=True, slots=True, eq=False)
class RunSettings:
    """The options of one run, checked, with the bundle's defaults filled in."""

    seed: int
    limit: int  # largest number of anchors
    selection: Selection
    given: NDArray[np.float32] | None  # [N, 3] anchors that replace the proposal's
    effort: Quality | int  # of the refinement: a whole number is one of steps
    output: Output
    refine_poses: RefinePoses = "auto"
    shading: Shading = "auto"

    @property
    def refines(self) -> bool:
        """Whether anything follows the network."""
        return self.effort != 0

    def budget(self, views: int, elapsed: float) -> Budget:
        """Return what the refinement of so many views may do, so many seconds after the start."""
        if isinstance(self.effort, int):
            return Budget.exactly(self.effort)
        return budget_of(self.effort, views).after(elapsed)

    @property
    def num_anchors(self) -> int:
        """The most anchors that the run can have."""
        return self.limit if self.given is None else len(self.given)


class ArgumentChecks:
    """The checks of what callers give to one bundle; each refuses with an ``InputError``."""

    def __init__(self, manifest: Manifest):
        self._manifest = manifest
        self._warned_of_fov = False

    def settings(
        self,
        seed: int = 0,
        max_tokens: int | None = None,
        selection: Selection = "random",
        anchors: ArrayLike | None = None,
        quality: Quality | None = None,
        refine_steps: int | None = None,
        refine_poses: RefinePoses = "auto",
        shading: Shading = "auto",
        output: Output = "numpy",
    ) -> RunSettings:
        """Check the options of a run; see :class:`RunOptions`."""
        check_output(output)
        seed = check_whole("seed", seed, 0, 2**64)
        check_selection(selection)
        given = None if anchors is None else self._given_anchors(anchors)
        effort = self._effort(quality, refine_steps)
        if not isinstance(refine_poses, bool) and refine_poses != "auto":
            raise InputError(f"refine_poses is {refine_poses!r}; it must be 'auto', True or False")
        if refine_poses is True and not effort:
            raise InputError(
                "refine_poses is True, but refine_steps is 0; poses are refined with the "
                "Gaussians: give steps, or leave one of them out"
            )
        if not isinstance(shading, bool) and shading != "auto":
            raise InputError(f"shading is {shading!r}; it must be 'auto', True or False")
        if shading is True and not effort:
            raise InputError(
                "shading is True, but refine_steps is 0; colours by direction are found by the "
                "refinement: give steps, or leave one of them out"
            )
        limit = self._anchor_limit(max_tokens)
        return RunSettings(seed, limit, selection, given, effort, output, refine_poses, shading)

    def _effort(self, quality: Quality | None, refine_steps: int | None) -> Quality | int:
        """Return what the caller asks of the refinement, or else what the bundle does."""
        if refine_steps is None:
            if quality is not None:
                return check_quality(quality)
            steps = self._manifest.refine_steps
            return "balanced" if steps == DEFAULT_STEPS else steps
        if quality is not None:
            raise InputError(
                f"both quality, {quality!r}, and refine_steps, {refine_steps!r}, were given; give "
                "one of them"
            )
        return check_whole("refine_steps", refine_steps, 0, MAX_REFINE_STEPS)

    def cameras(
        self, poses: ArrayLike | Cameras, intrinsics: ArrayLike | None, fov: float | None
    ) -> Cameras:
        """Return the given cameras, or poses with what stands for their intrinsics."""
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
                fov = self._manifest.fov_degrees
                if not self._warned_of_fov:
                    self._warned_of_fov = True
                    warn(
                        f"neither intrinsics nor fov were given; assuming the training field of "
                        f"view of this model, {fov:g} degrees"
                    )
            intrinsics = intrinsics_from_fov(fov)
        return Cameras(poses, intrinsics)  # pyright: ignore[reportArgumentType]

    def view_count(self, count: int) -> None:
        """Refuse a number of views that the bundle was not made for."""
        views = self._manifest.views
        if not views.min <= count <= views.max:
            low, high = min(count, views.min), max(count, views.max)
            raise InputError(
                f"{count} views were given; this bundle takes {views.min} to {views.max}. Choose "
                f"{'fewer' if count > views.max else 'more'}, or export it again with --views "
                f"{low}:{views.opt}:{high}"
            )

    def _anchor_limit(self, max_tokens: int | None) -> int:
        tokens = self._manifest.anchors
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
        tokens = self._manifest.anchors
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise InputError(f"anchors have shape {positions.shape}; they must be [N, 3]")
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
    """Return a whole number that lies within its bounds, or refuse it."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole or not low <= value <= high:  # pyright: ignore[reportOperatorIssue]
        raise InputError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")
    return int(value)  # pyright: ignore[reportArgumentType]
