"""``geolrm-train``: train a model. Needs the extra ``[training]``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from geolrm.commands.console import Version, run_app
from geolrm.engine.errors import InputError
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require
from geolrm.engine.system.user_warnings import show_warnings

OUT_OF_MEMORY = "use fewer --processes or --views"
app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command, its errors in one sentence."""
    with one_sentence_errors(), show_warnings():
        run_app(app)


def require_packages() -> None:
    """Refuse in one sentence when the extra is not installed."""
    for package in ("torch", "onnx", "onnxscript", "trimesh", "OpenEXR", "matplotlib"):
        require(package, "geolrm-train", extra="training")


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="mini, captures, refinement, smoke (a trial), paper-stage1, paper-stage2, or a "
            ".toml or .json file."
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            help="Folder of .glb meshes, of captures with depth, or of GObjaverse objects; or "
            "procedural[:COUNT]; FOLDER=TIMES shows its objects so often. May be repeated."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Run folder; a run that is in it goes on.")
    ],
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="Names of objects not to train on, as 'qt_*'. May be repeated."),
    ] = None,
    validation: Annotated[
        int,
        typer.Option(help="Objects of the first --data to set aside; the best weights are kept."),
    ] = 0,
    steps: Annotated[int | None, typer.Option(help="Length of the run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, data and noise.")] = None,
    initial: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from, such as weights.safetensors.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Leave out rays, low-level, high-level or rope. May be repeated."),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="Sampling points of a head on a level; 0: the anchor alone.")
    ] = None,
    views: Annotated[int | None, typer.Option(help="Fixed number of input views.")] = None,
    self_attention: Annotated[str | None, typer.Option(help="'token' or 'head'.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=VALUE of the recipe, as losses.mse=4. May be repeated."),
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each process; default: its share of the cores.")
    ] = None,
    device: Annotated[str, typer.Option(help="'auto', 'cpu' or 'cuda'.")] = "auto",
    rasterizer: Annotated[
        str, typer.Option(help="'auto' (gsplat on CUDA, ours on the CPU), 'cpu' or 'gsplat'.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Threads that make examples ahead; default: 4 on CUDA.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder to keep decoded meshes in.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long, resumable.")] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Seconds between two checkpoints.")
    ] = 120.0,
    picture_steps: Annotated[int, typer.Option(help="Steps between two sample images.")] = 200,
    validation_steps: Annotated[
        int, typer.Option(help="Steps between two measurements on the objects set aside.")
    ] = 500,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable output; the steps go to stderr.")
    ] = False,
    version: Version = False,
) -> None:
    """Train, going on from the run folder's last checkpoint if it has one.

    Ctrl-C ends a run after its step, with a checkpoint and exit code 130.

    Example: geolrm-train mini --data meshes/ -o runs/mini --processes 2
    """
    counts = {
        "--steps": steps,
        "--processes": processes,
        "--threads": threads,
        "--picture-steps": picture_steps,
        "--validation-steps": validation_steps,
    }
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; it must be 1 or more")
    for name, number in (
        ("--workers", workers),
        ("--validation", validation),
        ("--minutes", minutes),
        ("--checkpoint-seconds", checkpoint_seconds),
    ):
        if number is not None and not (math.isfinite(number) and number >= 0):
            raise InputError(f"{name} is {number}; it must be a finite number, 0 or more")
    for name, value, allowed in (
        ("--device", device, ("auto", "cpu", "cuda")),
        ("--rasterizer", rasterizer, ("auto", "cpu", "gsplat")),
    ):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    require_packages()

    from geolrm.training.launch import Launch, launch
    from geolrm.training.loop import Intervals
    from geolrm.training.recipe_files import assignments, changed, load_recipe
    from geolrm.training.switches import switched

    overrides: dict[str, Any] = assignments(changes or ())
    for name, value in (("steps", steps), ("seed", seed)):
        if value is None:
            continue
        if name in overrides:
            raise InputError(f"--{name} and --set {name}=... were both given; choose one")
        overrides[name] = value
    chosen = switched(load_recipe(recipe), without or (), points, views, self_attention)
    if overrides:
        chosen = changed(chosen, overrides, "the command line")
    interrupted = launch(
        Launch(
            chosen,
            tuple(data),
            output,
            processes=processes,
            threads=threads,
            device=device,
            seconds=None if minutes is None else 60 * minutes,
            initial=initial,
            rasterizer=rasterizer,  # pyright: ignore
            workers=workers,
            cache=cache,
            intervals=Intervals(checkpoint_seconds, picture_steps, validation_steps),
            left_out=tuple(leave_out or ()),
            validation=validation,
            as_json=as_json,
        )
    )
    if interrupted is not None:  # saved, but not at its end
        raise SystemExit(128 + interrupted)
