"""``geolrm-train``: train a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geolrm.commands.console import one_sentence_errors, show_warnings

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="mini, or smoke for a short trial")],
    data: Annotated[list[Path], typer.Option(help="folder of GLB meshes; may be repeated")],
    output: Annotated[Path, typer.Option("--output", "-o", help="run folder; resumes from it")],
    steps: Annotated[int | None, typer.Option(help="length of the run")] = None,
    processes: Annotated[int, typer.Option(help="processes on this machine")] = 1,
    threads: Annotated[int, typer.Option(help="threads of each process")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    minutes: Annotated[float | None, typer.Option(help="stop after so long, resumable")] = None,
    initial: Annotated[Path | None, typer.Option(help="checkpoint to start from")] = None,
    seed: Annotated[int, typer.Option(help="of weights and data")] = 0,
) -> None:
    """Train, resuming from the run folder.

    Example: geolrm-train mini --data meshes/ -o runs/mini --processes 2
    """
    from dataclasses import replace

    from geolrm.training import config
    from geolrm.training.launch import Launch, launch

    chosen = config.recipe(recipe)
    chosen = replace(chosen, steps=steps or chosen.steps, seed=seed)
    seconds = None if minutes is None else 60 * minutes
    launch(
        Launch(chosen, tuple(data), output, processes, threads, device, seconds, initial)
    )


def main() -> None:
    """Entry point."""
    with one_sentence_errors(), show_warnings():
        app()
