"""The application on Ray Serve, started and ended by ``geolrm serve --ray``."""

import logging
import os
import signal
import threading

from geolrm.engine.errors import GeoLRMError
from geolrm.fleet.serving.logs import log, set_up_logs
from geolrm.fleet.serving.server import listen
from geolrm.fleet.serving.settings import Settings
from geolrm.fleet.serving.tokens import read_token


def serve_on_ray(settings: Settings, host: str, port: int, address: str | None) -> None:
    """Serve on a cluster, else on a local one, until a signal ends it.

    Raises:
        InputError: The log level, the token, the host or the port cannot be used.
        BundleError: The model is missing or damaged.
        GeoLRMError: The cluster cannot be reached, or an engine does not start.
    """
    set_up_logs(settings.log_level)
    read_token(settings.token_file, os.environ)
    with listen(host, port) as free:
        port = free.getsockname()[1]
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
        try:
            serve.run(application, name="geolrm", route_prefix="/")
        except RuntimeError as error:
            raise GeoLRMError(
                f"an engine does not start under Ray: {str(error)[:500]}; its log says why"
            ) from error
        log(logging.INFO, "listening", url=f"http://{host}:{port}", ray=True)
        while not ended.wait(1.0):
            pass
        log(logging.INFO, "ending")
        serve.shutdown()
        log(logging.INFO, "ended")
    finally:
        ray.shutdown()
