"""``geolrm batch``: reconstruct many captures."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from geolrm.commands.capture_options import AutoFit, RemoveBackground
from geolrm.commands.console import print_json, say
from geolrm.commands.refinement_options import parse_quality
from geolrm.commands.run_options import (
    AnchorSelection,
    Backend,
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
from geolrm.engine.system.exit_codes import FAILED
from geolrm.engine.system.shown_text import shown

if TYPE_CHECKING:
    from geolrm.fleet.progress import Progress
    from geolrm.fleet.records import Record

OUT_OF_MEMORY = "use fewer --workers, fewer --views or a smaller --max-tokens"
MOST_FAILURES = 20  # told one by one


def parse_workers(text: str | None) -> tuple[int, int | None] | None:
    """Parse ``4``, or the fewest and the most: ``1:8``, ``1:``.

    Raises:
        InputError: It is neither.
    """
    if text is None:
        return None
    fewest, colon, most = text.partition(":")
    try:
        if not colon:
            return int(fewest), int(fewest)
        return int(fewest), int(most) if most else None
    except ValueError as error:
        raise InputError(f"--workers is {text!r}; give a number, or 1:8") from error


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Capture folders, folders of them, globs, zip files, lists (.jsonl, .parquet): "
            "paths or URLs (s3://, gs://, hf://)."
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder or URL of the results.")],
    views: Views = None,
    model: Model = "mini",
    max_tokens: MaxTokens = None,
    seed: Seed = 0,
    selection: AnchorSelection = "random",
    quality: QualityOption = None,
    refine: Refine = None,
    refine_poses: RefinePoses = "auto",
    shading: Shading = "auto",
    remove_background: RemoveBackground = False,
    fit: AutoFit = None,
    world: Annotated[
        bool,
        typer.Option("--world", help="Write splats in the frame of the captures' own poses."),
    ] = False,
    suffix: Annotated[
        str, typer.Option("--format", help="Of the splat files: ply, spz, splat or glb.")
    ] = "ply",
    sh_degree: ShDegree = None,
    spz_version: SpzVersion = None,
    view: Annotated[
        bool, typer.Option("--view/--no-view", help="Write a page that shows each result.")
    ] = True,
    local: Annotated[
        bool, typer.Option("--local", help="In this process, even where Ray is installed.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster, such as auto or HOST:6379; default: one here."),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Number, or the fewest and the most: 1:8; default: as many as fit."),
    ] = None,
    cores: Annotated[int | None, typer.Option(help="Cores of each worker; default: 1.")] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs of each worker; default: 0.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads with --local; default: all cores.")
    ] = None,
    backend: Backend = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Reconstruct many captures, those that are not done yet; call again to go on.

    Example: geolrm batch captures -o splats --views 8
    """
    from geolrm.engine.system.extras import installed_version, require

    require("fsspec", "a batch", extra="fleet")

    from geolrm.fleet.batch import run_batch
    from geolrm.fleet.options import CaptureOptions
    from geolrm.fleet.ray_pool import PoolSettings

    given = {
        "views": views, "max_tokens": max_tokens, "seed": seed, "selection": selection,
        "quality": parse_quality(quality), "refine": refine, "refine_poses": refine_poses,
        "shading": shading, "remove_background": remove_background, "fit": fit, "world": world,
        "format": suffix, "sh_degree": sh_degree, "spz_version": spz_version,
    }  # fmt: skip
    if quality is not None and refine is not None:
        raise InputError(f"both --quality {quality} and --refine {refine} were given; give one")
    set_here = {name: value for name, value in given.items() if value is not None}
    options = CaptureOptions().changed(set_here, "the command line")
    pool = PoolSettings(
        address, parse_workers(workers), 1 if cores is None else cores, 0 if gpus is None else gpus
    )
    on_ray = {"address": address, "workers": workers, "cores": cores, "gpus": gpus}
    given_on_ray = [f"--{name}" for name, value in on_ray.items() if value is not None]
    if local and given_on_ray:
        raise InputError(f"--local was given with {given_on_ray[0]}, which is Ray's; give one")
    if threads is not None and not local and (given_on_ray or installed_version("ray")):
        raise InputError(
            f"--threads {threads} is of one process and this runs on Ray; give --cores, or --local "
            "with it"
        )
    with told(not as_json) as report:
        summary = run_batch(
            inputs, output, options=options, model=model, backend=backend, pages=view, local=local,
            pool=pool, threads=threads, report=report,
        )  # fmt: skip
    if as_json:
        print_json(summary.to_dict())
    else:
        rate = summary.per_minute
        speed = "" if rate is None else f", {rate:.1f} a minute"
        say(
            f"{summary.done:,} reconstructed, {summary.kept:,} were done before, "
            f"{summary.failed:,} failed, of {summary.total:,}{speed}; by {summary.where}"
        )
        for record in summary.failures[:MOST_FAILURES]:
            say(f"failed: {record.id}: {record.error}")
        if len(summary.failures) > MOST_FAILURES:
            say(f"and {len(summary.failures) - MOST_FAILURES:,} more, in results.jsonl")
        say(f"all of them -> {summary.output.rstrip('/')}/index.html")
    if summary.failed:
        raise SystemExit(FAILED)


@contextlib.contextmanager
def told(enabled: bool) -> Iterator[Callable[["Record | None", "Progress"], None]]:
    """Tell the progress: a bar on a terminal, a line a capture elsewhere, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not enabled:
        yield lambda record, progress: None
    elif not console.is_terminal:

        def line(record: "Record | None", progress: "Progress") -> None:
            name = "" if record is None else f"{record.id}: {record.status}; "
            print(shown(f"{name}{progress}"), file=sys.stderr, flush=True)

        yield line
    else:
        with Bar(
            BarColumn(), TextColumn("{task.fields[told]}", markup=False), console=console
        ) as bar:
            task = bar.add_task("", total=None, told="looking for what is done")

            def move(record: "Record | None", progress: "Progress") -> None:
                if record is not None and record.error is not None:
                    bar.console.print(shown(f"{record.id}: {record.error}"), markup=False)
                bar.update(task, total=progress.total, completed=progress.finished,
                           told=shown(str(progress)))  # fmt: skip

            yield move
