"""``geolrm bench``: measure this machine."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure this machine.\n\nExample: geolrm bench formats --splats 65536 --json",
    no_args_is_help=True,
)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("raster", context_settings=PASSED_ON)
def raster(context: typer.Context) -> None:
    """Measure the CPU rasterizer; see its --help."""
    from geolrm.bench import raster

    raster.main(context.args)


@app.command("kernels", context_settings=PASSED_ON)
def kernels(context: typer.Context) -> None:
    """Measure the CPU kernels; see its --help."""
    from geolrm.bench import kernels

    kernels.main(context.args)


@app.command("engine", context_settings=PASSED_ON)
def engine(context: typer.Context) -> None:
    """Measure the whole engine on the CPU; see its --help."""
    from geolrm.bench import engine

    engine.main(context.args)


@app.command("scaling", context_settings=PASSED_ON)
def scaling(context: typer.Context) -> None:
    """Model what more cores give, from what two do; see its --help."""
    from geolrm.bench import scaling

    scaling.main(context.args)


@app.command("formats", context_settings=PASSED_ON)
def formats(context: typer.Context) -> None:
    """Measure splat files, written and read; see its --help."""
    from geolrm.bench import formats

    formats.main(context.args)


@app.command("fleet", context_settings=PASSED_ON)
def fleet(context: typer.Context) -> None:
    """Measure batches against bare loops, and what survives kills; see its --help."""
    from geolrm.bench import fleet

    fleet.main(context.args)


@app.command("mesh", context_settings=PASSED_ON)
def mesh(context: typer.Context) -> None:
    """Measure colours of meshes, of vertices and of textures, in held-out views; see its --help."""
    from geolrm.bench.quality import mesh_colors

    mesh_colors.main(context.args)


@app.command("photos", context_settings=PASSED_ON)
def photos(context: typer.Context) -> None:
    """Measure what wrong poses and cut views cost; see its --help."""
    from geolrm.bench import photos

    photos.main(context.args)


@app.command("gpu-raster", context_settings=PASSED_ON)
def gpu_raster(context: typer.Context) -> None:
    """Measure the CUDA rasterizer, and gsplat where it is installed; see its --help."""
    from geolrm.bench import gpu_raster

    gpu_raster.main(context.args)


@app.command("gpu")
def gpu(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for gpu.json, gpu.md, logs.tar.gz.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="One part, to be repeated: kernels, rasterizer, cuda, tests, counters, "
            "tensorrt-rtx, tensorrt, sanitizer, torch, gsplat, torch-compile. Default: all."
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(help="Views x anchors, in order: 21x16384,6x8192. Default: 16 of them."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="At most, for one figure.")] = 20.0,
    limit: Annotated[float, typer.Option(help="Seconds of all parts together.")] = 7200.0,
) -> None:
    """Measure all that needs a GPU: kernels, rasterizer, engine, tests and peers."""
    from geolrm.bench.gpu.__main__ import run
    from geolrm.bench.gpu.choices import Choices, parse_settings

    run(output, only or [], choices=Choices(parse_settings(settings), seconds, limit))
