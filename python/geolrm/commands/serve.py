"""``geolrm serve``: reconstructions over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from geolrm.commands.run_options import Backend, Device, Model
from geolrm.engine.errors import InputError

OUT_OF_MEMORY = "use a smaller --max-body, or a machine with more memory"
MILLION = 1_000_000  # bytes of a MB, pixels of a megapixel


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine reach 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8000,
    model: Model = "mini",
    backend: Backend = "auto",
    device: Device = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of an engine; default: all cores.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the bearer token; default: that in GEOLRM_TOKEN, or none."),
    ] = None,
    require_token: Annotated[
        bool, typer.Option("--require-token", help="Start with a token alone.")
    ] = False,
    queue: Annotated[
        int, typer.Option(min=0, help="Requests that may wait; more are told when to come again.")
    ] = 8,
    max_body: Annotated[float, typer.Option(help="MB that a request may send.")] = 256.0,
    max_pixels: Annotated[
        float, typer.Option(help="Million pixels that the images of a request may have.")
    ] = 134.0,
    max_images: Annotated[int, typer.Option(min=1, help="Images of a request, with masks.")] = 400,
    max_entries: Annotated[int, typer.Option(min=1, help="Files and folders of a zip.")] = 2000,
    max_ratio: Annotated[
        float, typer.Option(min=1, help="Times as large as packed that a file of a zip may be.")
    ] = 100.0,
    time_limit: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 300.0,
    live: Annotated[int, typer.Option(min=0, help="Live captures at a time.")] = 8,
    ray: Annotated[
        bool, typer.Option("--ray", help="Engines in replicas under Ray Serve.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster; default: one on this machine.")
    ] = None,
    replicas: Annotated[
        str | None,
        typer.Option(
            help="Engines under --ray: 2, or 1:8 to start them as they are needed; default: 1."
        ),
    ] = None,
    cpus: Annotated[
        float | None, typer.Option(min=0, help="Cores of an engine under --ray; default: 1.")
    ] = None,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of an engine under --ray; default: 0.")
    ] = None,
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning or error; one JSON object a line.")
    ] = "info",
) -> None:
    """Serve reconstructions over HTTP, with a page at / and a description at /openapi.json.

    Example: geolrm serve --port 8000 --token-file token.txt
    """
    from geolrm.engine.system.extras import require

    for package in ("fastapi", "uvicorn", "prometheus-client", "python-multipart", "websockets"):
        require(package, "geolrm serve")
    of_ray = {"--address": address, "--replicas": replicas, "--cpus": cpus, "--gpus": gpus}
    for name, value in of_ray.items():
        if value is not None and not ray:
            raise InputError(f"{name} was given without --ray; give both, or neither")
    low, high = parse_replicas("1" if replicas is None else replicas)
    from geolrm.fleet.serving.settings import make_settings

    settings = make_settings(
        model=model, backend=backend, device=device, threads=threads, log_level=log_level,
        token_file=None if token_file is None else str(token_file),
        require_token=require_token, min_replicas=low, max_replicas=high,
        cpus=1.0 if cpus is None else cpus, gpus=0.0 if gpus is None else gpus,
        limits={
            "body_bytes": int(max_body * MILLION), "pixels": int(max_pixels * MILLION),
            "live": live, "images": max_images, "zip_entries": max_entries, "zip_ratio": max_ratio,
            "seconds": time_limit, "queue": queue,
        },
    )  # fmt: skip
    if ray:
        require("ray", "geolrm serve --ray", instead="leave --ray out")
        from geolrm.fleet.serving.ray_server import serve_on_ray

        serve_on_ray(settings, host, port, address)
    else:
        from geolrm.fleet.serving.server import serve_here

        serve_here(settings, host, port)


def parse_replicas(text: str) -> tuple[int, int]:
    """Parse ``2`` or ``1:8`` to the smallest and largest number of engines."""
    low, _, high = text.partition(":")
    try:
        found = int(low), int(high or low)
    except ValueError:
        found = 0, 0
    if not 1 <= found[0] <= found[1]:
        raise InputError(f"--replicas is {text!r}; give a number such as 2, or a range such as 1:8")
    return found
