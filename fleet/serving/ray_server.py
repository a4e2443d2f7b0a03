"""The application on Ray Serve, started and ended by ``geolrm serve --ray``."""

import logging
import os
import signal
import threading
import time

from geolrm.engine.errors import GeoLRMError
from geolrm.fleet.serving.logs import log, set_up_logs
from geolrm.fleet.serving.server import is_loopback, listen, warn_if_open
from geolrm.fleet.serving.settings import Settings
from geolrm.fleet.serving.tokens import read_token

APPLICATION = "geolrm"
GRACE = 20.0  # seconds beyond the limit of a request that replicas have to end
POLL_SECONDS = 0.5


def serve_on_ray(settings: Settings, host: str, port: int, address: str | None) -> None:
    """Serve on a cluster, else on a local one, until a signal ends it; what runs is finished first.

    Other applications of a cluster stay.

    Raises:
        InputError: The log level, the token, the host or the port cannot be used.
        BundleError: The model is missing or damaged.
        GeoLRMError: The cluster cannot be reached, or an engine does not start.
    """
    set_up_logs(settings.log_level)
    token = read_token(settings.token_file, os.environ, settings.require_token)
    with listen(host, port) as free:
        port = free.getsockname()[1]
        loopback = is_loopback(free.getsockname()[0])
    warn_if_open(token, loopback)
    settings = settings.model_copy(update={"loopback": loopback})
    import ray
    from ray import serve

    from geolrm.fleet.serving.deployments import make_application

    application = make_application(settings)
    try:
        # "local": else it would join whatever cluster it finds on this machine.
        ray.init(address or "local", logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise GeoLRMError(
            f"the Ray cluster {address or 'of this machine'!r} cannot be reached: {error}; start "
            "it, or leave --address out"
        ) from error
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # after Ray has set handlers of its own
        signal.signal(number, lambda *_: ended.set())
    try:
        serve.start(http_options={
            "host": host, "port": port, "request_timeout_s": settings.limits.seconds + 10,
        })  # fmt: skip
        if address is not None and (found := address_of()) != (host, port):
            log(
                logging.WARNING, "Ray Serve runs on this cluster already, at an address of its own",
                asked=f"{host}:{port}",
            )  # fmt: skip
            host, port = found
            loopback = is_loopback(host)
            warn_if_open(token, loopback)
            application = make_application(settings.model_copy(update={"loopback": loopback}))
        try:
            serve.run(application, name=APPLICATION, route_prefix="/")
        except RuntimeError as error:
            raise GeoLRMError(
                f"an engine does not start under Ray: {str(error)[:500]}; its log says why"
            ) from error
        log(logging.INFO, "listening", url=f"http://{host}:{port}", ray=True)
        while not ended.wait(1.0):
            pass
        log(logging.INFO, "ending")
        end(settings.limits.seconds + GRACE)
        if address is None:
            serve.shutdown()
        log(logging.INFO, "ended")
    finally:
        ray.shutdown()


def end(seconds: float) -> None:
    """Delete the application, and wait until its replicas have done what they work on.

    Args:
        seconds: That they have for it.
    """
    from ray import serve

    serve.delete(APPLICATION, _blocking=False)
    deadline = time.monotonic() + seconds
    while APPLICATION in serve.status().applications:
        if time.monotonic() > deadline:
            log(logging.WARNING, "what still runs is given up", seconds=seconds)
            return
        time.sleep(POLL_SECONDS)


def address_of() -> tuple[str, int]:
    """Return the host and port of a cluster's proxies: as whoever started Ray Serve there said."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    assert client is not None  # it was started before
    options = client.http_config
    return str(options.host), int(options.port)
