"""``geolrm info``: what a bundle is and takes."""

from typing import Annotated, Any

import typer

from geolrm.commands.console import print_json, print_table, say
from geolrm.commands.run_options import Backend
from geolrm.engine.errors import GeoLRMError, InputError


def info(
    model: Annotated[str, typer.Argument(help="'mini' or a bundle folder.")] = "mini",
    views: Annotated[
        int | None, typer.Option(help="Views of the memory plan; default: the bundle's preferred.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Anchors of the memory plan; default: the preferred.")
    ] = None,
    backend: Backend = "auto",
    device: Annotated[int, typer.Option(help="Number of the GPU.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Describe a bundle after checking its files, and the GPU memory that it needs.

    A setting that is asked for and does not fit the memory that is free is refused, with what fits.

    Example: geolrm info mini
    """
    from geolrm.engine.backends.cuda.memory_plan import plan_memory, shortage
    from geolrm.engine.backends.selection import select_backend
    from geolrm.engine.bundle.bundle import Bundle
    from geolrm.engine.options import check_whole
    from geolrm.engine.system.present_gpu import free_memory

    bundle = Bundle.open(model)
    manifest = bundle.manifest
    selected = select_backend(backend, bundle, device)
    artifact = manifest.gpu
    if artifact is None and (views is not None or tokens is not None):
        raise InputError(
            f"--views and --tokens plan the memory of a GPU, and {model!r} has no GPU artifact; "
            "export it again with --backend"
        )
    plan, free, short = None, None, None
    if artifact is not None:
        counts = {"--views": (views, manifest.views), "--tokens": (tokens, manifest.anchors)}
        setting = tuple(
            limits.opt if value is None else check_whole(name, value, limits.min, limits.max)
            for name, (value, limits) in counts.items()
        )
        planned = plan_memory(manifest, artifact, *setting)
        plan = setting, planned.rows()
        if selected.gpu is not None:
            free = free_memory(device)
            short = shortage(manifest, artifact, *setting, available=free - planned.weights)
    size = sum(entry.bytes for entry in manifest.files.values())
    facts: dict[str, Any] = {
        "model": manifest.model,
        "path": str(bundle.path),
        "backend": selected.name,
        "backend_reason": selected.reason,
        "precision": manifest.precision,
        "gpu_backend": None if artifact is None else artifact.backend,
        "gpu_precision": None if artifact is None else artifact.precision,
        "gpu_targets": None if artifact is None else ", ".join(artifact.targets),
        "self_attention": manifest.self_attention,
        "image_size": manifest.image_size,
        "fov_degrees": manifest.fov_degrees,
        "views": f"{manifest.views.min}:{manifest.views.opt}:{manifest.views.max}",
        "tokens": f"{manifest.anchors.min}:{manifest.anchors.opt}:{manifest.anchors.max}",
        "padded_tokens": manifest.padded_anchors,
        "grid": manifest.rope.grid_size,
        "gaussians_per_anchor": manifest.gaussians_per_anchor,
        "refine_steps": manifest.refine_steps,
        "trained": manifest.source.trained,
        "checkpoint": manifest.source.checkpoint,
        "checkpoint_sha256": manifest.source.sha256,
        "bytes": size,
        "geolrm_version": manifest.geolrm_version,
    }
    if as_json:
        if plan is not None:
            facts["gpu_memory"] = dict(plan[1])
            facts["gpu_memory_free"] = free
            facts["gpu_memory_short"] = short
        print_json(facts)
        return
    print_table("Bundle", ["field", "value"], list(facts.items()))
    if plan is not None:
        (num_views, num_anchors), rows = plan
        say(f"At {num_views} views and {num_anchors} anchors, with scratch estimated:")
        rows += [] if free is None else [("free now", free)]
        print_table("GPU memory", ["", "MB"], [[name, f"{size / 1e6:.1f}"] for name, size in rows])
    if short is not None:
        if views is not None or tokens is not None:
            raise GeoLRMError(short)
        say(f"note: {short}")
