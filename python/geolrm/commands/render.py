"""``geolrm render``: make images of a splat file."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geolrm.commands.capture_options import AllowOutside, Fit, RemoveBackground
from geolrm.commands.console import counted, print_json, progress_bar, say, steps, warn_if_empty
from geolrm.engine.errors import InputError
from geolrm.engine.system.user_warnings import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geolrm.engine.captures import Capture
    from geolrm.engine.gaussian_arrays import GaussianArrays
    from geolrm.engine.geometry.cameras import Cameras

Size = tuple[int, int]  # width, height in pixels

ORBIT_ELEVATION = 20.0  # degrees, as in the released video; the other figures are SV3D's
FRAMES_PER_SECOND = 30
LARGEST_SIZE = 8192
MOST_FRAMES = 100_000
NEAR = 0.01  # the renderer's own, for objects of the size of the cube
LEAST_SHOWN = 1 / 255  # of alpha: what a pixel can show
OUT_OF_MEMORY = "use a smaller --size, or fewer splats: geolrm convert A B --max-splats N"
VIDEO_SUFFIX = ".mp4"
FRAME_NAME = re.compile(r"\d{4,}\.png")
OTHER_SUFFIXES = (".avi", ".gif", ".jpeg", ".jpg", ".mkv", ".mov", ".png", ".webm", ".webp")


def render(
    splats: Annotated[Path, typer.Argument(help="A .ply, .spz, .splat, .glb, .sog or .npz file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for PNG frames, or a .mp4 file.")
    ],
    cameras: Annotated[
        Path | None, typer.Option(help="Render in the cameras of this capture.")
    ] = None,
    orbit: Annotated[
        int | None, typer.Option(help="Render this many frames around the object (default: 120).")
    ] = None,
    size: Annotated[
        int, typer.Option(help="Longer side of the frames in pixels; an orbit's are square.")
    ] = 512,
    antialiased: Annotated[
        bool, typer.Option("--antialiased", help="Compensate the low-pass filter.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    backend: Annotated[str, typer.Option(help="cpu, or cuda to render on a GPU.")] = "cpu",
    device: Annotated[int, typer.Option(help="Number of the GPU.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
    remove_background: RemoveBackground = False,
    fit: Fit = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Render splats along an orbit or in a capture's cameras.

    Example: geolrm render shoe.ply --orbit 60 --size 512 -o frames
    """
    from geolrm.engine.captures import load_every_view
    from geolrm.engine.formats.splat_files import READ_SUFFIXES, suffix_of
    from geolrm.engine.gaussians.gaussians import Gaussians
    from geolrm.engine.rendering.images import Renders
    from geolrm.engine.rendering.render import render as render_images
    from geolrm.engine.views.sheets import to_bytes

    suffix_of(splats, READ_SUFFIXES)
    if cameras is not None and orbit is not None:
        raise InputError("--cameras and --orbit were both given; choose one")
    if not 1 <= size <= LARGEST_SIZE:
        raise InputError(f"--size is {size}; it must be 1 to {LARGEST_SIZE} pixels")
    if backend not in ("cpu", "cuda"):
        raise InputError(f"--backend is {backend!r}; it must be cpu or cuda")
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}; it must be at least 1")
    count = 120 if orbit is None else orbit
    if cameras is None:
        check_count(count)
    check_output(output, size)
    video = is_video(output)
    with steps(not as_json) as step:
        step("reading")
        gaussians = Gaussians.load(splats)
        near = NEAR
        if cameras is None:
            path, near = orbit_cameras(count, gaussians)
            sizes = [(size, size)] * len(path)
        else:
            capture = load_every_view(
                cameras,
                remove_background=remove_background,
                fit=fit,
                allow_outside=allow_outside,
            )
            path, sizes = capture.cameras, frame_sizes(capture, size, even=video)
    if video and len(set(sizes)) > 1:
        raise InputError(
            f"{str(cameras)!r} has images of different shapes, and a video has one; name a folder "
            "for PNG frames"
        )
    warn_if_empty(gaussians, splats, "the frames are white")

    shown = False

    def frames() -> Iterator["NDArray[np.uint8]"]:
        nonlocal shown
        images = Renders.empty(1, sizes[0])
        for index, frame_size in enumerate(sizes):
            if images.alpha.shape[1:] != frame_size[::-1]:
                images = Renders.empty(1, frame_size)
            render_images(
                gaussians,
                path[[index]],
                frame_size,
                antialiased=antialiased,
                near=near,
                threads=threads,
                out=images,
                backend=backend,
                device=device,
            )
            shown = shown or bool((images.alpha >= LEAST_SHOWN).any())
            yield to_bytes(images.rgb[0])

    with progress_bar("rendering", len(path), not as_json) as advance:
        if video:
            write_video(output, frames(), sizes[0], advance)
        else:
            write_frames(output, frames(), advance)
    if len(gaussians) and not shown:
        warn_of_nothing(gaussians, path)
    if as_json:
        print_json(
            {"input": str(splats), "gaussians": len(gaussians), "frames": len(path), "size": size,
             "output": str(output)}
        )  # fmt: skip
        return
    say(f"{counted(len(path), 'frame')} of {counted(len(gaussians), 'Gaussian')} -> {output}")


def is_video(output: Path) -> bool:
    """Tell whether the frames go into one video file."""
    return output.suffix.lower() == VIDEO_SUFFIX


def check_output(output: Path, size: int) -> None:
    """Refuse before the work what could not be written."""
    from geolrm.engine.system.atomic import check_writable

    if is_video(output):
        require_pyav()
        if size % 2:
            raise InputError(f"--size is {size}; video frames need an even number of pixels")
        if output.is_dir():
            raise InputError(f"output {str(output)!r} is a folder; name a .mp4 file in it")
        return check_writable(output)
    if output.suffix.lower() in OTHER_SUFFIXES and not output.is_dir():
        raise InputError(f"output is {str(output)!r}; name a folder for PNG frames or a .mp4 file")
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; name a folder or a .mp4 file")
    return check_writable(output / "0000.png")


def frame_sizes(capture: "Capture", size: int, *, even: bool) -> list[Size]:
    """Size a frame for each image, in its shape, with ``size`` pixels along the longer side."""
    found = []
    for image in capture.images:
        height, width = image.shape[:2]
        sides = [size * side / max(width, height) for side in (width, height)]
        step = 2 if even else 1
        found.append(tuple(max(step, step * round(side / step)) for side in sides))
    return found


def check_count(count: int) -> None:
    """Refuse what :func:`orbit_cameras` does not take."""
    if not 1 <= count <= MOST_FRAMES:
        raise InputError(f"--orbit is {count}; it must be 1 to {MOST_FRAMES} frames")


def orbit_cameras(count: int, gaussians: "GaussianArrays") -> "tuple[Cameras, float]":
    """Place ``count`` evenly spaced cameras around the splats, and say how near they see.

    Splats in the unit cube around the origin, where GeoLRM makes them, are seen as that cube is, so
    that objects keep their sizes. Others are seen around their own middle, from where they fill the
    frame; the nearest depth that is rendered grows and shrinks with them.
    """
    import numpy as np

    from geolrm.engine.gaussians.extent import find_extent
    from geolrm.engine.geometry.cameras import ORBIT_RADIUS, SV3D_FOV, Cameras

    azimuths = np.arange(count) * (360 / count)
    extent = find_extent(gaussians)
    if extent.within_cube(1.0):
        return Cameras.orbit(azimuths, ORBIT_ELEVATION, ORBIT_RADIUS, SV3D_FOV), NEAR
    distance = extent.distance(SV3D_FOV)
    cameras = Cameras.orbit(azimuths, ORBIT_ELEVATION, distance, SV3D_FOV)
    cameras.c2w[:, :3, 3] += extent.middle
    return cameras, NEAR * distance / ORBIT_RADIUS


def warn_of_nothing(gaussians: "GaussianArrays", path: "Cameras") -> None:
    """Say that all frames are white although there are splats, and why that may be."""
    from geolrm.engine.gaussians.extent import find_extent

    largest = float(gaussians.opacities.max())
    if largest < LEAST_SHOWN:
        return warn(f"no frame shows a splat: their largest opacity is {largest:.3g}")
    extent = find_extent(gaussians)
    middle = ", ".join(f"{value:.3g}" for value in extent.middle)
    camera = ", ".join(f"{value:.3g}" for value in path.c2w[0, :3, 3])
    warn(
        f"no frame shows a splat: they lie within {extent.radius:.3g} of ({middle}), and the first "
        f"camera is at ({camera}); are they of one frame? geolrm run --world keeps a capture's, "
        "and --orbit finds the splats"
    )


def write_frames(
    folder: Path, frames: Iterable["NDArray[np.uint8]"], advance: Callable[[], None]
) -> None:
    """Write PNG files 0000.png onwards, and warn of older ones beyond the last."""
    from geolrm.engine.views.sheets import save_image

    written = set()
    for index, frame in enumerate(frames):
        name = f"{index:04d}.png"
        save_image(frame, folder / name)
        written.add(name)
        advance()
    older = {path.name for path in folder.iterdir() if FRAME_NAME.fullmatch(path.name)} - written
    if older:
        warn(
            f"{str(folder)!r} also holds {counted(len(older), 'frame')} of an earlier run, such as "
            f"{max(older)}"
        )


def require_pyav() -> None:
    """Refuse in one sentence when the extra is not installed."""
    from geolrm.engine.system.extras import require

    require("av", "writing .mp4", instead="name a folder for PNG frames")


def write_video(
    path: Path, frames: Iterable["NDArray[np.uint8]"], size: Size, advance: Callable[[], None]
) -> None:
    """Write an H.264 file through PyAV; both sides are even."""
    from geolrm.engine.system.atomic import atomic_file

    require_pyav()
    import av

    with atomic_file(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            advance()
        container.mux(stream.encode())
