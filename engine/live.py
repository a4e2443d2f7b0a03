"""Live capture: views arrive one by one, each is encoded once."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.bundle.manifest import Manifest
from geolrm.engine.errors import InputError
from geolrm.engine.features import Features
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.options import ArgumentChecks, RunOptions, RunSettings
from geolrm.engine.refinement.budget import FINER, REFERENCE_SIZE, USUAL_SIZE
from geolrm.engine.scene import Scene
from geolrm.engine.system.stopwatch import Stopwatch
from geolrm.engine.views.photographs import CloserLook, KeptReferences, Photographs
from geolrm.engine.views.preprocessing import Images, Valid, Views, join_views


class CapturingEngine(Protocol):
    """What a live capture asks of :class:`geolrm.Engine`, which says what each of these does."""

    manifest: Manifest
    checks: ArgumentChecks
    lock: threading.RLock

    def prepare(self, images: Images, cameras: Cameras, valid: Valid | None = None) -> Views: ...
    def encode(self, views: Views) -> Features: ...
    def join_features(self, parts: Sequence[Features]) -> Features: ...
    def run_views(
        self,
        views: Views,
        settings: RunSettings,
        clock: Stopwatch,
        features: Features,
        photographs: CloserLook | None,
    ) -> Scene: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Encoded:
    """One view, and what the encoders made of it."""

    views: Views
    features: Features
    fine: Views | None  # the same with a finer reference, if the photograph has it


class LiveCapture:
    """A growing capture of one object; made by :meth:`Engine.live`.

    Several threads may use it: every call sees the views before or after another call, and never
    more of them than the bundle takes.
    """

    def __init__(self, engine: CapturingEngine):
        self._engine = engine
        self._encoded: dict[int, _Encoded] = {}  # by their numbers, in order
        self._added = 0

    def __len__(self) -> int:
        return len(self._encoded)

    def __repr__(self) -> str:
        return f"LiveCapture({len(self)} views)"

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the views in the order of a run, which :meth:`add` gave them."""
        with self._engine.lock:
            return tuple(self._encoded)

    def add(
        self,
        image: NDArray,
        pose: ArrayLike | Cameras,
        *,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> int:
        """Encode one more view, and return its number, which no other view ever gets.

        Args:
            image: [H, W, 3|4] uint8 or [3|4, H, W] float in [0, 1].
            pose: [4, 4] OpenGL camera-to-world, or one camera.
            intrinsics: [3, 3], divided by the image size.
            fov: Or the field of view in degrees.
            valid: [H, W], False where nothing is known of the image; None: it is known whole.

        Raises:
            InputError: The capture has as many views as the bundle takes, or an argument breaks its
                rule.
        """
        self._check_room()
        views, fine = self._prepare(image, pose, intrinsics, fov, valid)
        with self._engine.lock:
            self._check_room()  # others may have added meanwhile
            encoded = _Encoded(views, self._engine.encode(views), fine)
            number, self._added = self._added, self._added + 1
            self._encoded[number] = encoded
        return number

    def replace(
        self,
        number: int,
        image: NDArray,
        pose: ArrayLike | Cameras,
        *,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Encode another image or pose in the place of a view; the other arguments are add's.

        Args:
            number: What :meth:`add` returned for the view; it stays.
            image: As :meth:`add`.
            pose: As :meth:`add`.
            intrinsics: As :meth:`add`.
            fov: As :meth:`add`.
            valid: As :meth:`add`.

        Raises:
            InputError: There is no such view, or an argument breaks its rule; the old one stays.
        """
        self._check_number(number)
        views, fine = self._prepare(image, pose, intrinsics, fov, valid)
        with self._engine.lock:
            self._check_number(number)
            self._encoded[number] = _Encoded(views, self._engine.encode(views), fine)

    def remove(self, number: int) -> None:
        """Forget a view; the others keep their numbers and their order.

        Args:
            number: What :meth:`add` returned for the view.

        Raises:
            InputError: There is no such view.
        """
        with self._engine.lock:
            self._check_number(number)
            del self._encoded[number]

    def run(self, **options: Unpack[RunOptions]) -> Scene:
        """Reconstruct from all views so far, as :meth:`Engine.run` does from them.

        The scenes are bit-identical on the CPU, but for the quality ``"best"``, which then has no
        more than 512 px of each photograph, and for photographs of different sizes below that. On
        a GPU, where ``run`` encodes views together, they agree up to the rounding of the encoder's
        precision.

        Args:
            **options: As those of :meth:`Engine.run`.
        """
        engine = self._engine
        settings = engine.checks.settings(**options)
        clock = Stopwatch()
        with engine.lock:
            if not self._encoded:
                raise InputError("no images were given; add at least 1 view before run")
            engine.checks.view_count(len(self))
            encoded = list(self._encoded.values())
            features = engine.join_features([each.features for each in encoded])
            views = join_views([each.views for each in encoded])
            return engine.run_views(views, settings, clock, features, _kept(encoded))

    def _prepare(
        self,
        image: NDArray,
        pose: ArrayLike | Cameras,
        intrinsics: ArrayLike | None,
        fov: float | None,
        valid: NDArray[np.bool_] | None,
    ) -> tuple[Views, Views | None]:
        engine = self._engine
        cameras = engine.checks.cameras(pose, intrinsics, fov)
        images, masks = [np.asarray(image)], None if valid is None else [valid]
        views = engine.prepare(images, cameras, masks)
        photograph = Photographs(images, cameras, masks, engine.manifest.image_size)
        if photograph.size < FINER * REFERENCE_SIZE:
            return views, None
        return views, photograph.at(min(photograph.size, USUAL_SIZE))

    def _check_room(self) -> None:
        limit = self._engine.manifest.views.max
        if len(self) >= limit:
            raise InputError(
                f"this capture has {len(self)} views, the most this bundle takes; remove one, "
                "start a new capture, or export the bundle again with --views "
                f"1:{limit}:{2 * limit}"
            )

    def _check_number(self, number: int) -> None:
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or number not in self._encoded:
            listed = ", ".join(map(str, self._encoded)) or "none"
            raise InputError(
                f"this capture has no view {number!r}; its views are {listed}: give a number that "
                "add returned"
            )


def _kept(encoded: Sequence[_Encoded]) -> CloserLook | None:
    """Return the finer references of all views; None where they are not of one size."""
    fine = [each.fine for each in encoded if each.fine is not None]
    sizes = {views.reference.shape[-1] for views in fine}
    return KeptReferences(fine) if len(fine) == len(encoded) and len(sizes) == 1 else None
