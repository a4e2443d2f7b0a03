"""Options of every command that reconstructs: ``run``, ``batch`` and ``serve`` say them alike."""

from typing import Annotated

import typer

from geolrm.commands.refinement_options import QUALITY_HELP

BACKEND_HELP = "auto, tensorrt-rtx, tensorrt, cuda or onnxruntime (CPU); auto takes the best."

Views = Annotated[
    str | None,
    typer.Option(help="How many views, or frame indices i,j,...; default: the model's choice."),
]
Model = Annotated[str, typer.Option(help="'mini' or a bundle folder.")]
Backend = Annotated[str, typer.Option(help=BACKEND_HELP)]
Device = Annotated[int, typer.Option(help="Number of the GPU.")]
MaxTokens = Annotated[int | None, typer.Option(help="Largest number of anchors.")]
Seed = Annotated[int, typer.Option(help="Seed of the random choice of anchors.")]
AnchorSelection = Annotated[str, typer.Option(help="'random' or 'confident' anchors.")]
QualityOption = Annotated[str | None, typer.Option(help=QUALITY_HELP)]
Refine = Annotated[
    int | None, typer.Option(help="Just so many steps of refinement instead; 0: none.")
]
RefinePoses = Annotated[
    str,
    typer.Option(
        help="auto, on or off: move the cameras with the splats; auto: where they are off."
    ),
]
Shading = Annotated[
    str,
    typer.Option(
        help="auto, on or off: colours by direction, as of a flash; auto: where photographs "
        "disagree on plain ones."
    ),
]
ShDegree = Annotated[
    int | None,
    typer.Option(
        help="Degree of the harmonics in the output, 0 to 3: the rest is left out, what lacks is "
        "zero; importers of Unity want a .ply of degree 3."
    ),
]
SpzVersion = Annotated[
    int | None,
    typer.Option(help="Of a .spz output: 3 (default), which all viewers read, or 4."),
]
