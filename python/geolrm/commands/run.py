"""``geolrm run``: reconstruct a capture."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from geolrm.commands.alignment_report import alignment_lines, alignment_summary, moved_capture
from geolrm.commands.capture import capture_beside, pose, print_report
from geolrm.commands.capture_options import AllowOutside, AutoFit, RemoveBackground
from geolrm.commands.console import SOURCE_HELP, print_json, print_table, say, steps
from geolrm.commands.convert import check_output
from geolrm.commands.refinement_options import parse_quality, refinement_summary
from geolrm.commands.run_options import (
    AnchorSelection,
    Backend,
    Device,
    MaxTokens,
    Model,
    QualityOption,
    Refine,
    RefinePoses,
    Seed,
    Shading,
    ShDegree,
    SpzVersion,
    Views,
)
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import check_writable
from geolrm.engine.system.user_warnings import warn

OUT_OF_MEMORY = "use fewer --views or a smaller --max-tokens"
REFINE_POSES: dict[str, Any] = {"auto": "auto", "on": True, "off": False}
SHADING = REFINE_POSES


def run(
    capture: Annotated[Path, typer.Argument(help=SOURCE_HELP)],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Splat file: .ply, .spz, .splat, .glb, .sog, .npz, .usda, .usdz."
        ),
    ],
    views: Views = None,
    model: Model = "mini",
    max_tokens: MaxTokens = None,
    seed: Seed = 0,
    selection: AnchorSelection = "random",
    quality: QualityOption = None,
    refine: Refine = None,
    refine_poses: RefinePoses = "auto",
    shading: Shading = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    backend: Backend = "auto",
    device: Device = 0,
    view: Annotated[
        bool, typer.Option("--view", help="Also write a web page that shows them, beside OUTPUT.")
    ] = False,
    scene_file: Annotated[
        Path | None,
        typer.Option("--scene", help="Also keep all that 'geolrm view' shows (.safetensors)."),
    ] = None,
    write_capture_to: Annotated[
        Path | None,
        typer.Option(
            "--write-capture",
            help="Also write the views used, with refined poses, as a capture (transforms.json).",
        ),
    ] = None,
    remove_background: RemoveBackground = False,
    fit: AutoFit = None,
    allow_outside: AllowOutside = False,
    world: Annotated[
        bool,
        typer.Option("--world", help="Write OUTPUT in the frame of the capture's own poses."),
    ] = False,
    raw_ply: Annotated[
        bool, typer.Option("--raw-ply", help="Write the PLY layout of GeoLRM's own script.")
    ] = False,
    sh_degree: ShDegree = None,
    spz_version: SpzVersion = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Reconstruct a capture into 3D Gaussians.

    Example: geolrm run examples/captures/shoe -o shoe.ply --views 8 --view
    """
    from geolrm.engine.anchors import Selection
    from geolrm.engine.captures.chosen_views import read_for_run
    from geolrm.engine.captures.writing import check_capture_folder, write_capture
    from geolrm.engine.engine import Engine
    from geolrm.engine.options import RunOptions
    from geolrm.engine.photographs import PhotographOptions, is_photographs
    from geolrm.viewer import Exhibit, check_scene_name, save_scene, write_page

    if refine_poses not in REFINE_POSES:
        raise InputError(f"--refine-poses is {refine_poses!r}; give auto, on or off")
    if shading not in SHADING:
        raise InputError(f"--shading is {shading!r}; give auto, on or off")
    effort = parse_quality(quality)
    check_output(output, raw_ply, sh_degree, spz_version)
    if write_capture_to is not None:
        check_capture_folder(write_capture_to)
    page = output.with_suffix(".html") if view else None
    if scene_file is not None:
        check_scene_name(scene_file)
    for path in filter(None, (page, scene_file)):
        check_writable(path)
    with steps(not as_json) as step:
        posed: dict[str, Any] | None = None
        if is_photographs(capture):
            kept = capture_beside(output)
            photographs = PhotographOptions(
                masks="rembg" if remove_background else "auto", threads=threads, seed=seed
            )
            posed = pose(capture, kept, photographs, step)
            capture = kept
        step("reading the capture")
        found = read_for_run(
            capture, remove_background=remove_background, fit=fit, allow_outside=allow_outside
        )
        content, left_out = found.capture, found.left_out
        for doubt in found.doubts:
            warn(doubt)
        step("loading the model")
        engine = Engine(model, backend=backend, threads=threads, device=device)
        chosen, used = found.choose(views, engine.manifest.views.opt)
        plan = engine.plan_memory(len(chosen), max_tokens)
        memory = "" if plan is None else f" in {plan.total / 1e9:.2f} GB of GPU memory"
        step(f"reconstructing from views {', '.join(map(str, chosen))}{memory}")
        options: RunOptions = {
            "seed": seed,
            "max_tokens": max_tokens,
            "selection": cast(Selection, selection),  # checked by the engine
            "quality": effort,
            "refine_steps": refine,
            "refine_poses": REFINE_POSES[refine_poses],
            "shading": SHADING[shading],
        }
        scene = engine.run(used.images, used.cameras, valid=used.valid, **options)
        step("writing")
        written = scene.gaussians
        if world:
            written = written.transformed(content.object_to_world)
        written.save(output, raw=raw_ply, sh_degree=sh_degree, spz_version=spz_version)
        if write_capture_to is not None:
            write_capture(moved_capture(used, scene), write_capture_to)
        exhibit = Exhibit.from_scene(scene, output.stem, used.names)
        if page is not None:
            write_page(exhibit, page)
        if scene_file is not None:
            save_scene(exhibit, scene_file)
    summary: dict[str, Any] = {
        "capture": str(capture),
        "photographs": posed,
        "kind": content.kind,
        "found": content.found,
        "notes": (*content.notes, *left_out),
        "object_to_world": content.object_to_world.tolist(),
        "frame": "world" if world else "object",
        "views": chosen,
        "model": engine.manifest.model,
        "trained": engine.manifest.source.trained,
        "backend": engine.backend,
        "backend_reason": engine.backend_reason,
        "threads": engine.threads,
        "gpu_memory": None if plan is None else dict(plan.rows()),
        "occupied_voxels": scene.num_occupied,
        "anchors": len(scene.anchors),
        "gaussians": len(scene.gaussians),
        "refinement": refinement_summary(scene),
        "alignment": alignment_summary(scene, used.names),
        "written_capture": None if write_capture_to is None else str(write_capture_to),
        "output": str(output),
        "page": None if page is None else str(page),
        "scene": None if scene_file is None else str(scene_file),
        "seconds": scene.timings,
    }
    if as_json:
        print_json(summary)
        return
    if posed is not None:
        print_report(posed)
        say(f"the capture -> {capture}")
    say(content.found)
    for note in (*content.notes, *left_out):
        say(f"note: {note}")
    say(f"views: {', '.join(map(str, chosen))} of {len(content)} (spread over the directions)"
          if "," not in (views or "") else f"views: {', '.join(map(str, chosen))}")  # fmt: skip
    say(f"backend: {engine.backend} ({engine.backend_reason})")
    if plan is not None:
        say(f"GPU memory: {plan.total / 1e9:.2f} GB planned; geolrm info says for what")
    print_timings(scene.timings)
    say(
        f"{len(scene.gaussians):,} Gaussians from {len(scene.anchors):,} anchors "
        f"({scene.num_occupied:,} occupied voxels) -> {output}"
    )
    if scene.refinement is not None:
        print(f"refined: {scene.refinement}")
    for line in alignment_lines(scene, used.names):
        say(line)
    if write_capture_to is not None:
        say(f"the views with their poses -> {write_capture_to}")
    if page is not None:
        say(f"the same in a browser -> {page}")
    warn_if_untrained(engine.manifest.source.trained)


def print_timings(timings: dict[str, float]) -> None:
    """Print the seconds of each stage."""
    print_table("Stages", ["stage", "seconds"], [[k, f"{v:.3f}"] for k, v in timings.items()])


def warn_if_untrained(trained: bool) -> None:
    """Print one plain line where the weights are random."""
    if not trained:
        say(
            "note: this bundle holds random, untrained weights: the Gaussians do not look like the "
            "object"
        )
