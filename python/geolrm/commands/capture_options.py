"""Options of every command that reads a capture; the object frame depends on them."""

from typing import Annotated

import typer

RemoveBackground = Annotated[
    bool, typer.Option("--remove-background", help="Give images without alpha one, with rembg.")
]
Fit = Annotated[
    bool, typer.Option("--fit", help="Move and scale the object into the cube, by its masks.")
]
AutoFit = Annotated[
    bool | None,
    typer.Option(
        "--fit/--no-fit",
        help="Move and scale the object into the cube, by its masks; default: where they say that "
        "it is outside or tiny.",
    ),
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside", help="Read files that the capture names outside its own folder, too."
    ),
]
