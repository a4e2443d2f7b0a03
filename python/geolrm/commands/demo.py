"""``geolrm demo``: reconstruct the bundled capture with the bundled model."""

from pathlib import Path
from typing import Annotated

import typer

from geolrm.commands.console import print_json, say, steps
from geolrm.commands.run import print_timings, warn_if_untrained

DEMO_CAPTURE = "shoe"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("out"),
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Reconstruct a bundled real capture: splats, a web page and images.

    Example: geolrm demo -o out
    """
    from geolrm.engine.captures import load_capture
    from geolrm.engine.engine import Engine
    from geolrm.engine.system.atomic import check_writable
    from geolrm.engine.views.sheets import contact_sheet, input_images, save_image, to_bytes
    from geolrm.examples import capture_path
    from geolrm.viewer import Exhibit, write_page

    splats = output / f"{DEMO_CAPTURE}.ply"
    page = output / f"{DEMO_CAPTURE}.html"
    sheet = output / "inputs_and_renders.png"
    for path in (splats, page, sheet):
        check_writable(path)
    with steps(not as_json) as step:
        step("reading the capture")
        capture = load_capture(capture_path(DEMO_CAPTURE))
        step("loading the model")
        engine = Engine("mini")
        chosen = capture.cameras.spread(engine.manifest.views.opt)
        used = capture.subset(chosen)
        step("reconstructing")
        scene = engine.run(used.images, used.cameras, valid=used.valid)
        step("writing")
        scene.gaussians.save(splats)
        write_page(Exhibit.from_scene(scene, DEMO_CAPTURE, used.names), page)
        step("rendering")
        inputs, renders = input_images(scene.views), to_bytes(scene.render().rgb)
        save_image(contact_sheet([inputs, renders]), sheet)
    if as_json:
        print_json(
            {
                "capture": DEMO_CAPTURE,
                "views": chosen,
                "gaussians": len(scene.gaussians),
                "seconds": scene.timings,
                "output": str(splats),
                "page": str(page),
                "picture": str(sheet),
            }
        )
        return
    print_timings(scene.timings)
    say(f"{len(scene.gaussians):,} Gaussians from {len(scene.views)} views -> {splats}")
    say(f"the same in a browser -> {page}")
    say(f"input views above, renders of the Gaussians below -> {sheet}")
    warn_if_untrained(engine.manifest.source.trained)
