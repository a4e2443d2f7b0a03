"""``geolrm mesh``: splats to triangles."""

from pathlib import Path
from typing import Annotated

import typer

from geolrm.commands.console import check_not_input, counted, print_json, progress_bar, say, steps
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.atomic import check_writable

OUT_OF_MEMORY = "use a smaller --size, or fewer splats: geolrm convert A B --max-splats N"


def mesh(
    splats: Annotated[Path, typer.Argument(help="A .ply, .spz, .splat, .glb, .sog or .npz file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The mesh to write: .glb, .ply or .obj.")
    ],
    size: Annotated[int, typer.Option(help="Voxels along the object's longest side.")] = 128,
    views: Annotated[int, typer.Option(help="Renders from all around that are fused.")] = 48,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Fuse splats into a triangle mesh with vertex colours.

    Example: geolrm mesh shoe.ply -o shoe.glb --size 192
    """
    from geolrm.engine.formats.splat_files import suffix_of
    from geolrm.engine.gaussians.gaussians import Gaussians
    from geolrm.engine.meshing import mesh_files
    from geolrm.engine.meshing.fusion import check_setting, fuse, require_scikit_image

    suffix_of(splats)
    mesh_files.suffix_of(output)
    if output.is_dir():
        raise InputError(
            f"output {str(output)!r} is a folder; name a file in it: {mesh_files.SUFFIXES}"
        )
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}; it must be at least 1")
    check_setting(size, views)
    check_writable(output)
    check_not_input(output, splats)
    require_scikit_image()
    with steps(not as_json) as step:
        step("reading")
        gaussians = Gaussians.load(splats)
    if not len(gaussians):
        raise GeoLRMError(f"{str(splats)!r} holds no Gaussians, and so no mesh was written")
    with progress_bar("fusing", views, not as_json) as advance:
        fused = fuse(gaussians, size=size, views=views, threads=threads, advance=advance)
    if not len(fused.faces):
        raise GeoLRMError(
            f"{str(splats)!r} shows no opaque surface, and so no mesh was written; are its "
            "opacities right? See geolrm render"
        )
    fused.save(output)
    summary = {
        "input": str(splats),
        "output": str(output),
        "gaussians": len(gaussians),
        "vertices": len(fused.vertices),
        "triangles": len(fused.faces),
        "bytes": output.stat().st_size,
    }
    if as_json:
        print_json(summary)
        return
    say(
        f"{len(fused.vertices):,} vertices, {len(fused.faces):,} triangles of "
        f"{counted(len(gaussians), 'Gaussian')} -> {output}"
    )
