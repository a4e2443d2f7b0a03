"""What passes between the application and the engines, in one process or between machines."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from geolrm.fleet.serving.formats import Format

Tell = Callable[[str], None]  # takes the title of the stage that begins


@dataclass(frozen=True, slots=True)
class Job:
    """A capture to reconstruct."""

    archive: BinaryIO | bytes  # a zip file
    format: Format
    options: dict[str, Any]  # of Engine.run
    views: str | None  # how many, or frames 0,4,8; None: as many as the model prefers
    deadline: float  # time.time() at which nobody waits for it any more
    request_id: str
    file_options: dict[str, Any] = field(default_factory=dict)  # of the splat file


@dataclass(frozen=True, slots=True)
class LiveView:
    """One view of a live capture, as it came."""

    image: bytes  # JPEG, PNG or WebP
    pose: list[list[float]]  # [4, 4] OpenGL camera-to-world
    intrinsics: list[list[float]] | None  # [3, 3], divided by the image size
    fov: float | None  # degrees


@dataclass(frozen=True, slots=True)
class LiveStep:
    """Views that a live capture grows by, and the run after the last of them."""

    session: str
    start: int  # views that the engine must know already
    views: list[LiveView]
    options: dict[str, Any]
    deadline: float
    request_id: str


@dataclass(frozen=True, slots=True)
class Made:
    """A reconstruction, encoded."""

    content: bytes
    format: Format
    seconds: dict[str, float]  # by stage
    gaussians: int
    anchors: int
    views: int
    warnings: tuple[str, ...] = field(default=())
    engine: str = ""  # that made it
    memory: int | None = None  # bytes of its process then; None: the system does not say


class LostSessionError(Exception):
    """An engine that does not know the earlier views of a live capture, and wants them all."""


class Pool(Protocol):
    """Engines that work on jobs; the application does not know where they are.

    Both calls raise :class:`geolrm.fleet.serving.refusals.Refusal` for what cannot be done, and
    stop the work at the next stage where the caller is cancelled.
    """

    waiting: int  # jobs that wait for an engine

    def check_room(self, coming: int) -> None:
        """Raise a refusal where a job would find no place after so many others that come."""
        ...

    def reconstruct(self, job: Job, tell: Tell) -> Awaitable[Made]: ...

    def grow(self, step: LiveStep, tell: Tell) -> Awaitable[Made]:
        """Raise :class:`LostSessionError` where earlier views must come again."""
        ...

    def forget(self, session: str) -> Awaitable[None]: ...

    def ready(self) -> Awaitable[bool]: ...
