"""Frames of a video that are sharp, spread, and not nearly equal, through PyAV."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.video import CONTAINERS, MAX_FRAME_PIXELS
from geolrm.engine.errors import InputError
from geolrm.engine.photographs.intake import EQUAL, FINGERPRINT_SIDE, sharpness
from geolrm.engine.photographs.packages import need
from geolrm.engine.system.atomic import error_text

LONGEST = 1800.0  # s; of a longer video a part has to be chosen
CANDIDATES = 4  # frames looked at for each that is kept
MOST_DECODED = 60_000  # frames, so that a video without keyframes ends


def choose_frames(
    path: Path,
    folder: Path,
    most: int,
    max_side: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write the sharpest frame of each stretch of a video, ``FRAME.png``, nearly equal ones once.

    Args:
        path: The video.
        folder: Takes the frames.
        most: How many frames at most.
        max_side: px of the frames that are written.
        progress: Takes how much is done, of how much.

    Returns:
        ``files`` by name, and how many frames were ``decoded`` and left out as ``equal``.

    Raises:
        InputError: PyAV is not installed, or the video is damaged, empty, or too long.
    """
    need("av", f"reading {path.suffix}", "give its frames as images")
    import av

    try:
        with (
            path.open("rb") as file,
            av.open(file, "r", format=CONTAINERS[path.suffix.lower()]) as container,
        ):
            if not container.streams.video:
                raise InputError(f"{str(path)!r} holds no video; give another file")
            stream: Any = container.streams.video[0]
            if stream.codec_context is None:
                raise InputError(
                    f"{str(path)!r} holds video that no decoder here knows; convert it to H.264"
                )
            seconds = _seconds(container, stream)
            if seconds > LONGEST:
                raise InputError(
                    f"{str(path)!r} lasts {seconds / 60:.0f} minutes; a walk around one object "
                    f"takes a few, and {LONGEST / 60:.0f} are read at most: cut out the part that "
                    "shows the object"
                )
            chooser = _Chooser(folder, most, max_side, seconds)
            stream.thread_type = "AUTO"
            number, whole = -1, False
            for number, frame in enumerate(container.decode(stream)):
                if frame.width * frame.height > MAX_FRAME_PIXELS:
                    raise InputError(
                        f"{str(path)!r} has frames of {frame.width} x {frame.height} pixels, more "
                        "than are supported; make it smaller"
                    )
                if number >= MOST_DECODED:
                    raise InputError(
                        f"{str(path)!r} has more than {MOST_DECODED:,} frames; cut out the part "
                        "that shows the object"
                    )
                whole = whole or frame.key_frame
                if not whole:  # it builds on one that was cut away, and shows a part of it
                    continue
                chooser.look(frame, number)
                if number % 30 == 0:
                    progress(chooser.stretch, most)
            chooser.keep()
    except InputError:
        raise
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:  # pyright: ignore
        raise InputError(
            f"{str(path)!r} cannot be decoded: {error_text(error)}; it may be damaged, restore it"
        ) from error
    if number >= 0 and not whole:
        raise InputError(
            f"{str(path)!r} has no keyframe, so that none of its frames is whole; it may be cut "
            "out of a longer one: cut it again with a program that encodes it anew"
        )
    if not chooser.files:
        raise InputError(f"{str(path)!r} holds no frame; it may be damaged, restore it")
    return {"files": chooser.files, "decoded": chooser.decoded, "equal": chooser.equal}


class _Chooser:
    """Keeps the sharpest frame of each stretch of time."""

    def __init__(self, folder: Path, most: int, max_side: int, seconds: float):
        self.folder, self.most, self.max_side = folder, most, max_side
        # A container that does not say how long it is: a frame every third of a second.
        self.length = seconds / most if seconds > 0 else 1 / 3
        self.files: list[str] = []
        self.decoded = self.equal = self.stretch = 0
        self._best: tuple[float, int, Any] | None = None
        self._looked = -1.0
        self._last: NDArray[np.float32] | None = None

    def look(self, frame: Any, number: int) -> None:
        time = frame.time if frame.time is not None else number / 30
        stretch = min(int(time / self.length), self.most - 1)
        self.decoded += 1
        if stretch != self.stretch:
            self.keep()
            self.stretch = stretch
        if time - self._looked < 0.99 * self.length / CANDIDATES and self._best is not None:
            return
        self._looked = time
        image = frame.to_image()
        sharp = sharpness(image.convert("L"))
        if self._best is None or sharp > self._best[0]:
            self._best = (sharp, number, image)

    def keep(self) -> None:
        if self._best is None:
            return
        _, number, image = self._best
        self._best = None
        small = image.convert("L").resize((FINGERPRINT_SIDE, FINGERPRINT_SIDE), reducing_gap=3.0)
        print_ = np.asarray(small, np.float32)
        if self._last is not None and float(np.abs(print_ - self._last).mean()) < EQUAL:
            self.equal += 1
            return
        self._last = print_
        image.thumbnail((self.max_side, self.max_side))
        name = f"frame{number:06d}.png"
        try:
            image.save(self.folder / name, compress_level=1)
        except OSError as error:
            raise InputError(f"cannot write {str(self.folder / name)!r}: {error}") from error
        self.files.append(name)


def _seconds(container: Any, stream: Any) -> float:
    if container.duration:
        return float(container.duration) / 1e6
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return 0.0
