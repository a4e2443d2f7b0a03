"""``geolrm view``: splats as a web page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geolrm.commands.capture_options import AllowOutside, Fit, RemoveBackground
from geolrm.commands.console import counted, print_json, say, steps, warn_if_empty
from geolrm.engine.errors import InputError

if TYPE_CHECKING:
    from geolrm.viewer import Exhibit

OUT_OF_MEMORY = "use fewer splats: geolrm convert A B --max-splats N"
PAGE_SUFFIXES = (".html", ".htm")


def view(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SPLATS|SCENE",
            help="A splat file, or a scene (.safetensors) that 'geolrm run --scene' wrote.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Page to write (.html); default: beside the source."),
    ] = None,
    cameras: Annotated[
        Path | None, typer.Option(help="Show the cameras and images of this capture.")
    ] = None,
    up: Annotated[
        str, typer.Option(help="Axis that stands upright: z, -z, y or -y (many captured scenes).")
    ] = "z",
    title: Annotated[
        str | None, typer.Option(help="Heading of the page; default: the file's name.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the page: en or de; default: the browser's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
    remove_background: RemoveBackground = False,
    fit: Fit = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Write one HTML file that shows splats in any browser, without a network.

    Example: geolrm view shoe.ply --cameras examples/captures/shoe -o shoe.html
    """
    from dataclasses import replace

    from geolrm.engine.captures import load_every_view
    from geolrm.engine.system.atomic import check_writable
    from geolrm.viewer import UP_AXES, InputViews, write_page
    from geolrm.viewer.labels import LANGUAGES

    page = source.with_suffix(".html") if output is None else output
    check_page_name(page)
    if up not in UP_AXES:
        raise InputError(f"--up is {up!r}; it must be one of {', '.join(UP_AXES)}")
    if language is not None and language not in LANGUAGES:
        raise InputError(f"--language is {language!r}; it must be one of {', '.join(LANGUAGES)}")
    check_writable(page)
    with steps(not as_json) as step:
        step("reading")
        exhibit = read_exhibit(source, title)
        if cameras is not None:
            capture = load_every_view(
                cameras,
                remove_background=remove_background,
                fit=fit,
                allow_outside=allow_outside,
            )
            exhibit = replace(exhibit, views=InputViews.from_capture(capture))
        warn_if_empty(exhibit.gaussians, source, "the page shows none")
        step("writing")
        size = write_page(
            exhibit,
            page,
            up=up,  # pyright: ignore[reportArgumentType]
            language=language,
        )
    count, views = len(exhibit.gaussians), len(exhibit.views or ())
    if as_json:
        print_json(
            {"source": str(source), "gaussians": count, "views": views, "output": str(page),
             "bytes": size}
        )  # fmt: skip
        return
    say(
        f"{counted(count, 'Gaussian')}, {counted(views, 'view')} -> {page} "
        f"({size / 1e6:.1f} MB); open it in a browser"
    )


def check_page_name(path: Path) -> None:
    """Refuse what browsers would not open as a page."""
    if path.suffix.lower() not in PAGE_SUFFIXES:
        raise InputError(f"the page is {str(path)!r}; its file name must end in .html")


def read_exhibit(source: Path, title: str | None) -> "Exhibit":
    """Read a scene or a splat file; ``title`` replaces its own."""
    from dataclasses import replace

    from geolrm.engine.gaussians.gaussians import Gaussians
    from geolrm.viewer import Exhibit, is_scene_name, load_scene

    if is_scene_name(source):
        exhibit = load_scene(source)
    else:
        exhibit = Exhibit(source.stem, Gaussians.load(source))
    return exhibit if title is None else replace(exhibit, title=title)
