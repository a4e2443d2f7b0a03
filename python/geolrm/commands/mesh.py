"""``geolrm mesh``: splats to triangles, with vertex colours or a texture from the photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geolrm.commands.capture_options import AllowOutside, AutoFit, RemoveBackground
from geolrm.commands.console import check_not_input, counted, print_json, progress_bar, say, steps
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.atomic import check_writable
from geolrm.engine.system.user_warnings import warn

if TYPE_CHECKING:
    from geolrm.engine.captures import Capture
    from geolrm.engine.meshing.mesh import Mesh
    from geolrm.engine.meshing.textured_mesh import TexturedMesh

OUT_OF_MEMORY = "use a smaller --size, or fewer splats: geolrm convert A B --max-splats N"


def mesh(
    splats: Annotated[Path, typer.Argument(help="A .ply, .spz, .splat, .glb, .sog or .npz file.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The mesh to write: .glb, .ply, .obj, .stl, .usda, .usdc or .usdz; with "
            "--capture .glb, .obj, .usda, .usdc or .usdz.",
        ),
    ],
    size: Annotated[int, typer.Option(help="Voxels along the object's longest side.")] = 128,
    views: Annotated[int, typer.Option(help="Renders from all around that are fused.")] = 48,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
    capture: Annotated[
        Path | None,
        typer.Option(help="Bake a texture from the photographs of this capture."),
    ] = None,
    texture_size: Annotated[
        int | None, typer.Option(help="Side of the texture in pixels (default: 2048).")
    ] = None,
    faces: Annotated[
        int | None,
        typer.Option(help="At most so many triangles (default: all; with --capture 12000)."),
    ] = None,
    world: Annotated[
        bool,
        typer.Option(
            "--world", help="The splats are in the frame of the capture's poses, as of run --world."
        ),
    ] = False,
    remove_background: RemoveBackground = False,
    fit: AutoFit = None,
    allow_outside: AllowOutside = False,
) -> None:
    """Fuse splats into a triangle mesh, with vertex colours or a texture.

    Example: geolrm mesh shoe.ply --capture examples/captures/shoe -o shoe.glb
    """
    import numpy as np

    from geolrm.engine.formats.splat_files import suffix_of
    from geolrm.engine.gaussians.gaussians import Gaussians
    from geolrm.engine.meshing.decimation import check_faces, decimate, require_simplifier
    from geolrm.engine.meshing.fusion import check_setting, fuse, require_scikit_image
    from geolrm.engine.meshing.texturing import DEFAULT_FACES, DEFAULT_SIZE, check_size, texture
    from geolrm.engine.meshing.unwrapping import require_xatlas

    suffix_of(splats)
    files = check_output(output, textured=capture is not None)
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}; it must be at least 1")
    check_setting(size, views)
    check_use_of_capture(capture, texture_size, world)
    if texture_size is not None:
        check_size(texture_size, "--texture-size")
    if capture is not None and faces is None:
        faces = DEFAULT_FACES
    for file in files:
        check_not_input(file, splats)
    require_scikit_image()
    if faces is not None:
        check_faces(faces, "--faces")
        require_simplifier()
    if capture is not None:
        require_xatlas()
    posed: Capture | None = None
    with steps(not as_json) as step:
        step("reading")
        gaussians = Gaussians.load(splats)
        if not len(gaussians):
            raise GeoLRMError(f"{str(splats)!r} holds no Gaussians, and so no mesh was written")
        if capture is not None:
            posed = read_photographs(
                capture,
                remove_background=remove_background,
                fit=fit,
                allow_outside=allow_outside,
            )
            if world:
                gaussians = gaussians.transformed(np.linalg.inv(posed.object_to_world))
    with progress_bar("fusing", views, not as_json) as advance:
        fused = fuse(gaussians, size=size, views=views, threads=threads, advance=advance)
    if not len(fused.faces):
        raise GeoLRMError(
            f"{str(splats)!r} shows no opaque surface, and so no mesh was written; are its "
            "opacities right? See geolrm render"
        )
    shown = fused if faces is None else decimate(fused, faces)
    made: Mesh | TexturedMesh = shown
    with steps(posed is not None and not as_json) as step:
        if posed is not None:
            made = texture(
                shown,
                posed.images,
                posed.cameras,
                valid=posed.valid,
                fused=fused,
                size=texture_size or DEFAULT_SIZE,
                threads=threads,
                step=step,
            )
            if world:
                made = made.transformed(posed.object_to_world)
            step("writing")
        made.save(output)
    summary: dict[str, Any] = {
        "input": str(splats),
        "output": str(output),
        "gaussians": len(gaussians),
        "vertices": len(made.vertices),
        "triangles": len(made.faces),
        "bytes": output.stat().st_size,
    }
    if posed is not None:
        summary |= {
            "capture": str(capture),
            "photographs": len(posed),
            "texture": texture_size or DEFAULT_SIZE,
            "beside": [str(file) for file in files[1:]],
        }
    if as_json:
        print_json(summary)
        return
    say(
        f"{len(made.vertices):,} vertices, {len(made.faces):,} triangles of "
        f"{counted(len(gaussians), 'Gaussian')} -> {output}"
    )
    if posed is not None:
        side = texture_size or DEFAULT_SIZE
        beside = "".join(f", {file}" for file in files[1:])
        say(f"a texture of {side} x {side} px from {counted(len(posed), 'photograph')}{beside}")


def check_output(output: Path, *, textured: bool) -> list[Path]:
    """Refuse before the work what could not be written; return all files that will be."""
    from geolrm.engine.meshing import mesh_files, mesh_usd, textured_files

    mesh_files.suffix_of(output)
    if textured and output.suffix.lower() not in textured_files.WRITERS:
        raise InputError(
            f"{str(output)!r} cannot hold a texture; name a file of {textured_files.SUFFIXES}, or "
            "leave --capture out for a mesh without one"
        )
    if output.is_dir():
        suffixes = textured_files.SUFFIXES if textured else mesh_files.SUFFIXES
        raise InputError(f"output {str(output)!r} is a folder; name a file in it: {suffixes}")
    if textured:
        return textured_files.check_files(output)
    if output.suffix.lower() == ".usdc":
        mesh_usd.check_crate()
    check_writable(output)
    return [output]


def check_use_of_capture(capture: Path | None, texture_size: int | None, world: bool) -> None:
    """Refuse options that say nothing without a capture."""
    if capture is not None:
        return
    for given, name in ((texture_size is not None, "--texture-size"), (world, "--world")):
        if given:
            raise InputError(
                f"{name} was given without --capture, whose photographs a texture is baked from; "
                "give both, or neither"
            )


def read_photographs(
    path: Path, *, remove_background: bool, fit: bool | None, allow_outside: bool
) -> "Capture":
    """Read a capture in the frame that a run gives it, without views whose masks show nothing."""
    from geolrm.engine.captures.chosen_views import read_for_run
    from geolrm.engine.captures.images import LONGEST_SIDE

    found = read_for_run(
        path,
        remove_background=remove_background,
        fit=fit,
        allow_outside=allow_outside,
        longest_side=LONGEST_SIDE,
    )
    for sentence in (*found.left_out, *found.doubts):
        warn(sentence)
    sound = [index for index in range(len(found.capture)) if index not in found.faulty]
    posed = found.capture.subset(sound)
    posed.check_facing()
    return posed
