"""The frames of a clip through PyAV, which is the extra ``[video]``."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.orbits import SV3D_FRAMES, sv3d_capture
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import error_text
from geolrm.engine.system.extras import require

# The container is told, not guessed: a playlist under another name would make FFmpeg open files.
CONTAINERS = {".mp4": "mov", ".mov": "mov", ".m4v": "mov", ".webm": "matroska", ".mkv": "matroska"}
MAX_FRAME_PIXELS = 1 << 24


def read_clip(path: Path) -> Capture:
    """Read an SV3D clip of 21 square frames.

    Raises:
        GeoLRMError: PyAV is not installed.
        InputError: The file is damaged, too large, or no clip of 21 frames.
    """
    otherwise = f"give the {SV3D_FRAMES} frames as PNG files in a folder"
    require("av", f"reading {path.suffix}", instead=otherwise)
    import av

    frames: list[NDArray[np.uint8]] = []
    try:
        with (
            path.open("rb") as file,
            av.open(file, format=CONTAINERS[path.suffix.lower()]) as container,
        ):
            if not container.streams.video:
                raise InputError(f"{str(path)!r} holds no video; give an SV3D clip")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise InputError(
                    f"{str(path)!r} holds video that no decoder here knows; convert it to H.264, "
                    "or restore it"
                )
            _check_stream(path, stream.codec_context.width, stream.codec_context.height)
            for frame in container.decode(stream):  # pyright: ignore
                _check_stream(path, frame.width, frame.height)
                if len(frames) == SV3D_FRAMES:
                    raise InputError(
                        f"{str(path)!r} has more than {SV3D_FRAMES} frames; an SV3D orbit has "
                        f"{SV3D_FRAMES}: cut it to those, or give the poses of the frames in "
                        "transforms.json or poses.npy"
                    )
                frames.append(frame.to_ndarray(format="rgb24"))  # pyright: ignore
    except InputError:
        raise
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:  # pyright: ignore
        raise InputError(
            f"{str(path)!r} cannot be decoded: {error_text(error)}; it may be damaged, restore it"
        ) from error
    return sv3d_capture(path, [f"frame {index}" for index in range(len(frames))], frames)


def _check_stream(path: Path, width: int, height: int) -> None:
    if width * height > MAX_FRAME_PIXELS:
        raise InputError(
            f"{str(path)!r} has frames of {width} x {height} pixels, more than are supported; make "
            "it smaller"
        )
