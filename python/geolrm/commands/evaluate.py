"""``geolrm eval``: how good the reconstructions of a bundle are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geolrm.commands.console import print_json, print_table, progress_bar, say, steps
from geolrm.commands.refinement_options import QUALITY_HELP, parse_quality
from geolrm.commands.run import warn_if_untrained
from geolrm.commands.run_options import Backend
from geolrm.engine.errors import InputError

if TYPE_CHECKING:
    from geolrm.bench.quality import Evaluation, Report, Scores, Shown, ViewScores

OUT_OF_MEMORY = "use fewer --views or --objects"


def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="A capture folder with points.npz, or a folder of such folders.")
    ],
    views: Annotated[str, typer.Option(help="Numbers of input views.")] = "4,6,8,12,16,20",
    model: Annotated[
        str | None, typer.Option(help="'mini' or a bundle folder; default: mini.")
    ] = None,
    baselines_only: Annotated[
        bool, typer.Option("--baselines-only", help="Score the baselines alone.")
    ] = False,
    objects: Annotated[
        str | None, typer.Option(help="Names of the objects to keep, a,b,...; default: all.")
    ] = None,
    lpips: Annotated[
        Path | None, typer.Option(help="Weights of LPIPS with VGG-16; without them it is left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the anchors and of the sampled points.")] = 0,
    quality: Annotated[str | None, typer.Option(help=QUALITY_HELP)] = None,
    refine: Annotated[
        int | None,
        typer.Option(help="Just so many steps of refinement instead; 0: the network alone."),
    ] = None,
    transforms: Annotated[
        str, typer.Option(help="Name of the file with the poses in each capture.")
    ] = "transforms.json",
    pose_noise: Annotated[
        str | None,
        typer.Option(
            help="Wrong poses: DEGREES,SHIFT, root mean squares; SHIFT in cube sides, as 1,0.01."
        ),
    ] = None,
    cut: Annotated[
        float, typer.Option(help="Share of each silhouette to cut off, in turn on four sides.")
    ] = 0.0,
    exposure: Annotated[
        float, typer.Option(help="Standard deviation of the views' exposure, in stops.")
    ] = 0.0,
    hull_steps: Annotated[
        int, typer.Option(help="Steps of refinement of the baseline 'hull, refined'.")
    ] = 120,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    backend: Backend = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for metrics.json, plots, contact sheets."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Score reconstructions of captures with a known shape against views held out.

    Example: geolrm eval captures --views 6,12 -o scores
    """
    from geolrm.bench.quality import Evaluation, InputChanges
    from geolrm.bench.quality.outputs import check_folder
    from geolrm.engine.system.extras import require

    counts = parse_counts(views)
    degrees, shift = (0.0, 0.0) if pose_noise is None else parse_pose_noise(pose_noise)
    changes = InputChanges(degrees, shift, cut, exposure)
    if baselines_only and model is not None:
        raise InputError("--model and --baselines-only were both given; choose one")
    if output is not None:
        require("matplotlib", "the plot that -o writes")
        check_folder(output)
    with steps(not as_json) as step:
        step("checking the captures")
        evaluation = Evaluation(
            dataset,
            views=counts,
            model=None if baselines_only else model or "mini",
            objects=None if objects is None else parse_names(objects),
            seed=seed,
            threads=threads,
            backend=backend,
            lpips=lpips,
            quality=parse_quality(quality),
            refine_steps=refine,
            transforms=transforms,
            changes=changes,
            hull_steps=hull_steps,
        )
    with progress_bar("evaluating", evaluation.steps, not as_json) as advance:
        report = run(evaluation, advance, output)
    if as_json:
        print_json(json.loads(report.to_json()))
        return
    print_images(report)
    print_shapes(report)
    if report.model is not None:
        warn_if_untrained(report.model.trained)
    if output is not None:
        say(f"metrics.json, psnr_over_views.png and others, sheets/ -> {output}")


def parse_counts(text: str) -> list[int]:
    """Parse ``4,6`` to numbers of views."""
    try:
        counts = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        counts = []
    if not counts or len(set(counts)) < len(counts):
        raise InputError(
            f"--views is {text!r}; give numbers of views, each once, such as 4,6,8,12,16,20"
        )
    return counts


def parse_pose_noise(text: str) -> tuple[float, float]:
    """Parse ``1,0.01`` to degrees and cube sides."""
    try:
        degrees, shift = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            f"--pose-noise is {text!r}; it must be DEGREES,SHIFT, such as 1,0.01"
        ) from error
    return degrees, shift


def parse_names(text: str) -> list[str]:
    """Parse ``a,b`` to names."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise InputError(f"--objects is {text!r}; give names of objects, such as shoe,lion")
    return names


def run(evaluation: "Evaluation", advance, output: Path | None) -> "Report":
    """Evaluate, and fill the folder once all went well."""
    if output is None:
        return evaluation.run(advance)
    from geolrm.bench.quality.outputs import METRICS, staged, write_bytes
    from geolrm.bench.quality.plot import measured, save_plot
    from geolrm.bench.quality.sheets import Worst, make_sheet
    from geolrm.engine.views.sheets import save_image

    worst = Worst()
    with staged(output) as folder:
        sheets = folder / "sheets"

        def show(shown: "Shown") -> None:
            sheet = make_sheet(shown)
            save_image(sheet, sheets / f"{shown.name}_V{shown.views}.png")
            worst.add(shown, sheet)

        report = evaluation.run(advance, show)
        for views, sheet in worst.sheets().items():
            save_image(sheet, sheets / f"worst_V{views}.png")
        for measure in measured(report):
            save_plot(report, measure, folder / f"{measure}_over_views.png")
        write_bytes(folder / METRICS, report.to_json())
    return report


def print_images(report: "Report") -> None:
    """Print the images' scores by number of views and group of targets."""
    from geolrm.bench.quality import TARGET_GROUPS

    rows = [
        [
            *head,
            number(scores.psnr, 2),
            *(number(scores.groups.get(group), 2) for group in TARGET_GROUPS),
            number(scores.ssim, 3),
            number(scores.lpips, 3),
        ]
        for head, scores in lines(report)
    ]
    columns = ["views", "", "PSNR", *TARGET_GROUPS, "SSIM", "LPIPS"]
    if all(row[-1] == "-" for row in rows):  # no weights were given
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    count = len(report.objects)
    title = f"Held-out images of {count} object{'' if count == 1 else 's'}"
    print_table(title, columns, rows)


def print_shapes(report: "Report") -> None:
    """Print the shapes' scores by number of views, and what a run cost."""
    rows = [
        [
            *head,
            number(scores.iou, 3),
            number(scores.cd, 4),
            number(scores.cd2, 5),
            number(scores.f02, 3),
            number(scores.f002, 3),
            number(scores.mesh_cd, 4),
            number(getattr(scores, "seconds", None), 2),
            number(getattr(scores, "peak_bytes", None), 0, 1e-6),
        ]
        for head, scores in lines(report)
    ]
    grid = report.protocol.grid
    columns = ["views", "", f"IoU {grid}^3", "CD", "CD^2", "F 0.2", "F 0.02", "mesh CD"]
    columns += ["s", "peak MB"]
    print_table("Shape in [-1, 1]^3, and cost", columns, rows)
    for count, scores in report.views.items():
        if scores.empty:
            say(f"{count} views: {scores.empty} objects have no Gaussians, and so no CD")


def lines(report: "Report") -> "list[tuple[list[str], Scores | ViewScores]]":
    """List the tables' rows: first cells and scores; white images score alike at any count."""
    from geolrm.bench.quality.scores import BASELINES

    found: list[tuple[list[str], Scores | ViewScores]] = []
    for count, scores in report.views.items():
        if report.model is not None:
            found.append(([count, report.model.name], scores))
        for name in ("visual_hull", "refined_hull"):
            found.append(([count, BASELINES[name]], scores.baselines[name]))
    first = next(iter(report.views.values()))
    return [*found, (["any", BASELINES["white"]], first.baselines["white"])]


def number(value, digits: int, scale: float = 1.0) -> str:
    """Write a figure, or a dash where there is none."""
    return f"{scale * value:.{digits}f}" if isinstance(value, int | float) else "-"
