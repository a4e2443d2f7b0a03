"""``geolrm-export``: a checkpoint to a bundle. Needs the extra ``[export]``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from geolrm.commands.console import Version, print_json, print_table, run_app, say, steps
from geolrm.engine.bundle.manifest import MANIFEST_NAME, MAX_REFINE_STEPS, Range
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import check_writable
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require
from geolrm.engine.system.user_warnings import show_warnings
from geolrm.export import backend_choice

LARGEST_BIAS = 20.0  # logits; beyond it every voxel or none would be proposed

OUT_OF_MEMORY = "use smaller ranges of --views and --tokens"
app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command, its errors in one sentence."""
    with one_sentence_errors(), show_warnings():
        run_app(app)


def parse_range(option: str, text: str) -> Range:
    """Parse ``MIN:OPT:MAX`` to a range."""
    try:
        low, preferred, high = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise InputError(
            f"{option} is {text!r}; it must be MIN:OPT:MAX, three whole numbers such as 1:6:21"
        ) from error
    numbers = Range(low, preferred, high)
    numbers.check(option)
    return numbers


def model_name(checkpoint: str) -> str:
    """Return what a model is called after its checkpoint."""
    from geolrm.export.hub import is_hub_name, parse_hub_name

    if is_hub_name(checkpoint):
        return parse_hub_name(checkpoint).model
    return checkpoint if checkpoint == "mini" else Path(checkpoint).stem


def require_packages() -> None:
    """Refuse in one sentence when the extra is not installed."""
    for package in ("torch", "onnx", "onnxscript"):
        require(package, "geolrm-export", extra="export")


@app.command()
def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A .ckpt or .safetensors file, 'mini', or hf:OWNER/NAME@REVISION of a hub, with "
            "/FILE behind it where it has several."
        ),
    ] = "mini",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Bundle folder; default: <name>-bundle.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model in the manifest; default: the file's.")
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help="'tensorrt-rtx', 'tensorrt', 'cuda', 'onnxruntime' (the CPU), or 'auto': the best "
            "that this machine can build and run."
        ),
    ] = "auto",
    fp32: Annotated[bool, typer.Option("--fp32", help="Store and compute in float32.")] = False,
    fp16: Annotated[
        bool,
        typer.Option(
            "--fp16", help="Store weights as float16; GPUs also compute in it, the CPU does not."
        ),
    ] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16 on the GPU.")] = False,
    sm: Annotated[
        str | None,
        typer.Option(help="GPUs that tensorrt-rtx builds for, as 86,89,120; default: this one."),
    ] = None,
    buckets: Annotated[
        bool,
        typer.Option(
            "--buckets", help="Let TensorRT's engines pad anchors: few numbers of them occur."
        ),
    ] = False,
    views: Annotated[str, typer.Option(help="Numbers of views, MIN:OPT:MAX.")] = "1:6:21",
    tokens: Annotated[
        str | None, typer.Option(help="Numbers of anchors, MIN:OPT:MAX; default: the model's.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the model's input in pixels.")
    ] = None,
    self_attention: Annotated[
        str | None,
        typer.Option(help="'token', 'head' or 'auto' (default where the variant is unknown)."),
    ] = None,
    rope_scale: Annotated[
        str | None, typer.Option(help="xyz_scale of the reconstruction, 0.5 or 1.0.")
    ] = None,
    occupancy_bias: Annotated[
        float | None,
        typer.Option(help="Added to the occupancy logits: above 0 proposes more voxels."),
    ] = None,
    refine_steps: Annotated[
        int | None,
        typer.Option(
            help="Refinement by default, in steps, 0 to 1000; 30, the default for models with "
            "cues, leaves their number to the engine."
        ),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Skip the comparison with torch.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
    version: Version = False,
) -> None:
    """Export a checkpoint to a bundle of ONNX graphs, and verify it against torch.

    Example: geolrm-export mini -o mini-bundle --fp16
    """
    flags = {"fp32": fp32, "fp16": fp16, "bf16": bf16}
    precisions = [name for name, given in flags.items() if given]
    if len(precisions) > 1:
        given = " and ".join(f"--{name}" for name in precisions)
        raise InputError(f"{given} were both given; choose one")
    if self_attention not in (None, "token", "head", "auto"):
        raise InputError(
            f"--self-attention is {self_attention!r}; it must be 'token', 'head' or 'auto'"
        )
    if rope_scale not in (None, "0.5", "1.0", "1"):
        raise InputError(f"--rope-scale is {rope_scale!r}; it must be 0.5 or 1.0")
    if occupancy_bias is not None and not abs(occupancy_bias) <= LARGEST_BIAS:
        raise InputError(
            f"--occupancy-bias is {occupancy_bias}; it must be within {LARGEST_BIAS} of 0"
        )
    if refine_steps is not None and not 0 <= refine_steps <= MAX_REFINE_STEPS:
        raise InputError(
            f"--refine-steps is {refine_steps}; it must be 0 to {MAX_REFINE_STEPS}, 0 for none"
        )
    view_range = parse_range("--views", views)
    token_range = None if tokens is None else parse_range("--tokens", tokens)
    name = name or model_name(checkpoint)
    folder = output or Path(f"{name}-bundle")
    check_output(folder, force)
    check_writable(folder)
    precision = precisions[0] if precisions else None
    choice = backend_choice.choose(backend, precision, sm, buckets=buckets)
    require_packages()

    from geolrm.export.command import export_checkpoint

    with steps(not as_json) as step:
        result: dict[str, Any] = export_checkpoint(
            checkpoint,
            folder,
            name=name,
            choice=choice,
            views=view_range,
            tokens=token_range,
            image_size=image_size,
            self_attention=self_attention,
            rope_scale=float(rope_scale) if rope_scale else None,
            verify=not no_verify,
            progress=step,
            occupancy_bias=occupancy_bias,
            refine_steps=refine_steps,
        )
    if as_json:
        print_json(result)
        return
    if "source" in result:
        source = result["source"]
        say(f"{source['checkpoint']}: SHA-256 {source['sha256']}")
        say(f"license: {source['license'] or 'not stated, or not known without the network'}")
    if "comparison" in result:
        print_table(
            "Self-attention by comparison with the input images",
            ["variant", "score"],
            [[variant, f"{score:.4f}"] for variant, score in result["comparison"].items()],
        )
    if result["verify"]["status"] == "passed":
        print_stages("Engine against torch", result["verify"]["stages"])
    else:
        say(f"verification: {result['verify']['status']}")
    if "gpu" in result["verify"]:
        if "stages" in result["verify"]["gpu"]:
            print_stages("GPU artifact against torch", result["verify"]["gpu"]["stages"])
        say(f"verification on the GPU: {result['verify']['gpu']['status']}")
    for note in result["verify"].get("float16", {}).get("notes", ()):
        say(f"note: {note}")
    built = f" for {', '.join(result['targets'])}" if result["targets"] else ""
    say(f"backend: {choice.backend}{built} ({choice.reason})")
    say(
        f"{result['model']}: {result['self_attention']} attention, {result['precision']}, "
        f"{result['bytes'] / 1e6:.1f} MB -> {folder}"
    )


def print_stages(title: str, stages: list[dict[str, Any]]) -> None:
    """Print the comparison of each stage."""
    rows = [
        [s["stage"], f"{s['cosine']:.7f}", f"{s['norm_ratio']:.6f}", f"{s['max_abs']:.2e}",
         s["gate"]]
        for s in stages
    ]  # fmt: skip
    print_table(title, ["stage", "cosine", "norm ratio", "max abs", "gate"], rows)


def check_output(folder: Path, force: bool) -> None:
    """Refuse to replace what is not a bundle, or a bundle without ``--force``."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder with -o")
    if (folder / MANIFEST_NAME).is_file():
        if not force:
            raise InputError(f"{str(folder)!r} already holds a bundle; replace it with --force")
    elif any(folder.iterdir()):
        raise InputError(
            f"{str(folder)!r} is a folder that holds other files; name a new one with -o"
        )
