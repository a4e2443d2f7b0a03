"""``geolrm``: the commands that need no torch."""

import typer

from geolrm.commands.console import Version, run_app
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.user_warnings import show_warnings

app = typer.Typer(
    name="geolrm",
    help="Posed images of an object to 3D Gaussians.\n\n"
    "Example: geolrm run examples/captures/shoe -o shoe.ply --view",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(version: Version = False) -> None:
    """Take the options that stand before any command."""


def register() -> None:
    """Add every command, none of which imports anything heavy before it runs."""
    from geolrm.bench import command as bench
    from geolrm.commands import (
        batch,
        capture,
        check,
        convert,
        demo,
        evaluate,
        info,
        mesh,
        render,
        run,
        serve,
        view,
    )

    app.command("run")(run.run)
    app.command("batch")(batch.batch)
    app.command("capture")(capture.capture)
    app.command("render")(render.render)
    app.command("view")(view.view)
    app.command("convert")(convert.convert)
    app.command("mesh")(mesh.mesh)
    app.command("check")(check.check)
    app.command("eval")(evaluate.evaluate)
    app.command("demo")(demo.demo)
    app.command("serve")(serve.serve)
    app.command("info")(info.info)
    app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command, its errors in one sentence."""
    register()
    with one_sentence_errors(), show_warnings():
        run_app(app)
