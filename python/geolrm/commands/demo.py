"""``geolrm demo``: reconstruct the bundled capture with the bundled model."""

from pathlib import Path
from typing import Annotated

import typer

from geolrm.commands.console import steps
from geolrm.commands.run import print_timings, warn_if_untrained

DEMO_CAPTURE = "shoe"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("out"),
) -> None:
    """Reconstruct a bundled real capture: splats, a web page and pictures.

    Example: geolrm demo -o out
    """
    from geolrm.engine.captures import load_capture
    from geolrm.engine.engine import Engine
    from geolrm.engine.pictures import contact_sheet, input_pictures, save_picture, to_bytes
    from geolrm.examples import capture_path
    from geolrm.viewer import Exhibit, write_page

    with steps() as step:
        step("reading the capture")
        capture = load_capture(capture_path(DEMO_CAPTURE))
        step("loading the model")
        engine = Engine("mini")
        used = capture.subset(capture.cameras.spread(engine.manifest.views.opt))
        step("reconstructing")
        scene = engine.run(used.images, used.cameras)
        step("writing")
        splats = output / f"{DEMO_CAPTURE}.ply"
        scene.gaussians.save(splats)
        page = output / f"{DEMO_CAPTURE}.html"
        write_page(Exhibit.from_scene(scene, DEMO_CAPTURE, used.names), page)
        step("rendering")
        inputs, renders = input_pictures(scene.views), to_bytes(scene.render().rgb)
        sheet = output / "inputs_and_renders.png"
        save_picture(contact_sheet([inputs, renders]), sheet)
    print_timings(scene.timings)
    print(f"{len(scene.gaussians):,} Gaussians from {len(scene.views)} views -> {splats}")
    print(f"the same in a browser -> {page}")
    print(f"input views above, renders of the Gaussians below -> {sheet}")
    warn_if_untrained(engine.manifest.source.trained)
