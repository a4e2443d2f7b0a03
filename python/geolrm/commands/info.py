"""``geolrm info``: what a bundle is and takes."""

from typing import Annotated

import typer

from geolrm.commands.console import print_json, print_table


def info(
    model: Annotated[str, typer.Argument(help="'mini' or a bundle folder.")] = "mini",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Describe a bundle after checking its files.

    Example: geolrm info mini
    """
    from geolrm.engine.bundle import Bundle

    bundle = Bundle.open(model)
    manifest = bundle.manifest
    size = sum(entry.bytes for entry in manifest.files.values())
    facts = {
        "model": manifest.model,
        "path": str(bundle.path),
        "backend": manifest.backend,
        "precision": manifest.precision,
        "self_attention": manifest.self_attention,
        "image_size": manifest.image_size,
        "fov_degrees": manifest.fov_degrees,
        "views": f"{manifest.views.min}:{manifest.views.opt}:{manifest.views.max}",
        "tokens": f"{manifest.tokens.min}:{manifest.tokens.opt}:{manifest.tokens.max}",
        "padded_tokens": manifest.padded_tokens,
        "grid": manifest.rope.grid_size,
        "gaussians_per_anchor": manifest.gaussians_per_anchor,
        "refine_steps": manifest.refine_steps or 0,
        "trained": manifest.source.trained,
        "checkpoint": manifest.source.checkpoint,
        "checkpoint_sha256": manifest.source.sha256,
        "bytes": size,
        "geolrm_version": manifest.geolrm_version,
    }
    if as_json:
        print_json(facts)
        return
    print_table("Bundle", ["field", "value"], list(facts.items()))
