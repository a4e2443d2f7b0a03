"""``geolrm render``: draw a splat file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geolrm.commands.console import print_json
from geolrm.engine.errors import GeoLRMError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geolrm.engine.cameras import Cameras

ORBIT_RADIUS, ORBIT_ELEVATION, ORBIT_FOV = 1.5, 20.0, 39.6  # the released video's
FRAMES_PER_SECOND = 30
LARGEST_SIZE = 8192
OTHER_VIDEOS = {".avi", ".gif", ".m4v", ".mkv", ".mov", ".webm"}


def render(
    splats: Annotated[Path, typer.Argument(help="A .ply, .spz, .splat or .glb file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for PNG frames, or a .mp4 file.")
    ],
    cameras: Annotated[
        Path | None, typer.Option(help="Draw in the cameras of this capture.")
    ] = None,
    orbit: Annotated[
        int | None, typer.Option(help="Draw this many frames around the object (default: 120).")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the square frames in pixels.")] = 512,
    antialiased: Annotated[
        bool, typer.Option("--antialiased", help="Compensate the low-pass filter.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Draw splats along an orbit or in a capture's cameras.

    Example: geolrm render shoe.ply --orbit 60 --size 512 -o frames
    """
    from geolrm.engine.captures import load_capture
    from geolrm.engine.gaussians import Gaussians
    from geolrm.engine.pictures import to_bytes
    from geolrm.engine.rendering import Renders
    from geolrm.engine.rendering import render as draw

    if cameras is not None and orbit is not None:
        raise InputError("--cameras and --orbit were both given; choose one")
    if not 1 <= size <= LARGEST_SIZE:
        raise InputError(f"--size is {size}; it must be 1 to {LARGEST_SIZE} pixels")
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}; it must be at least 1")
    if output.suffix.lower() in OTHER_VIDEOS:
        raise InputError(f"output {str(output)!r} is no .mp4; name a folder or a .mp4 file")
    if cameras is not None:
        path = load_capture(cameras).cameras
    else:
        path = orbit_cameras(120 if orbit is None else orbit)
    gaussians = Gaussians.load(splats)
    images = Renders.empty(1, (size, size))

    def frames() -> Iterator["NDArray[np.uint8]"]:
        for index in range(len(path)):
            draw(
                gaussians,
                path[[index]],
                (size, size),
                antialiased=antialiased,
                threads=threads,
                out=images,
            )
            yield to_bytes(images.rgb[0])

    with progress_bar("rendering", len(path)) as advance:
        if output.suffix.lower() == ".mp4":
            write_video(output, frames(), size, advance)
        else:
            write_frames(output, frames(), advance)
    if as_json:
        print_json(
            {"input": str(splats), "gaussians": len(gaussians), "frames": len(path), "size": size,
             "output": str(output)}
        )  # fmt: skip
        return
    print(f"{len(path)} frames of {len(gaussians):,} Gaussians -> {output}")


def orbit_cameras(count: int) -> "Cameras":
    """Evenly spaced cameras around the object."""
    import numpy as np

    from geolrm.engine.cameras import Cameras

    if not 1 <= count <= 100_000:
        raise InputError(f"--orbit is {count}; it must be 1 to 100000 frames")
    azimuths = np.arange(count) * (360 / count)
    return Cameras.orbit(azimuths, ORBIT_ELEVATION, ORBIT_RADIUS, ORBIT_FOV)


def write_frames(
    folder: Path, frames: Iterable["NDArray[np.uint8]"], advance: Callable[[], None]
) -> None:
    """PNG files 0000.png onwards."""
    from geolrm.engine.pictures import save_picture

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder or a .mp4 file")
    for index, frame in enumerate(frames):
        save_picture(frame, folder / f"{index:04d}.png")
        advance()


def write_video(
    path: Path, frames: Iterable["NDArray[np.uint8]"], size: int, advance: Callable[[], None]
) -> None:
    """An H.264 file through PyAV."""
    import importlib.metadata

    from geolrm.engine.atomic import atomic_file

    try:
        importlib.metadata.version("av")
    except importlib.metadata.PackageNotFoundError as error:
        raise GeoLRMError(
            "writing .mp4 needs PyAV, which is not installed; run: pip install 'geolrm[video]', or "
            "name a folder for PNG frames"
        ) from error
    import av

    if size % 2:
        raise InputError(f"--size is {size}; video frames need an even number of pixels")
    with atomic_file(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            advance()
        container.mux(stream.encode())


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
