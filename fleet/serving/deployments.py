"""The same application as deployments of Ray Serve.

::

    proxy of Ray  -->  Application     routes, limits, token; one replica
                         |   |
                         |   +-->  KeptResults      what links lead to; one replica
                         v
                       Engines         one engine each; as many replicas as are asked for
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from geolrm.engine.bundle.bundle import BUNDLED_MODELS, Bundle
from geolrm.engine.engine import Engine
from geolrm.engine.system.extras import installed_version
from geolrm.fleet.serving.application import make_app
from geolrm.fleet.serving.formats import Format
from geolrm.fleet.serving.jobs import Job, LiveStep, LostSessionError, Made
from geolrm.fleet.serving.local_pool import LocalPool
from geolrm.fleet.serving.logs import set_up_logs
from geolrm.fleet.serving.reconstruction import Reconstructor
from geolrm.fleet.serving.refusals import Refusal, refusal_of
from geolrm.fleet.serving.replicas import Event, RayPool, RayResults, refused_event
from geolrm.fleet.serving.results import ResultsOnDisk
from geolrm.fleet.serving.settings import Settings, engine_threads
from geolrm.fleet.serving.tokens import read_token

GRACE = 10.0  # seconds beyond the limit of a request that those which run have at the end
LOOK_BACK = 11.0, 30.0  # seconds that Ray averages over: more than it takes between two looks
MOST_ONGOING = 1000  # requests in the application's replica, most of which wait for engines


@serve.deployment(health_check_period_s=5)
class Engines:
    """An engine in a process of its own."""

    def __init__(self, settings: Settings):
        set_up_logs(settings.log_level)
        engine = Engine(
            settings.model, backend=settings.backend, threads=engine_threads(settings),
            device=settings.device,
        )  # fmt: skip
        name = serve.get_replica_context().replica_id.unique_id
        self._pool = LocalPool(Reconstructor(engine, settings.limits, name))

    async def reconstruct(self, job: Job) -> AsyncIterator[Event]:
        """Reconstruct a capture, and yield the events of the work."""
        async for event in _events(lambda tell: self._pool.reconstruct(job, tell)):
            yield event

    async def grow(self, step: LiveStep) -> AsyncIterator[Event]:
        """Add views to a live capture, and yield the events of the work."""
        await self._has(step.session)  # pyright: ignore[reportCallIssue]
        async for event in _events(lambda tell: self._pool.grow(step, tell)):
            yield event

    @serve.multiplexed(max_num_models_per_replica=64)
    async def _has(self, session: str) -> str:
        """Tell Ray that this replica has a live capture, so that its next view comes here."""
        return session

    async def alive(self) -> bool:
        """Answer."""
        return True


async def _events(work: Any) -> AsyncIterator[Event]:
    """Yield the stages of some work as they begin, and how it ended."""
    stages: asyncio.Queue[str] = asyncio.Queue()
    task: asyncio.Task[Made] = asyncio.ensure_future(work(stages.put_nowait))
    try:
        while not (task.done() and stages.empty()):
            waiting = asyncio.ensure_future(stages.get())
            await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                yield "stage", waiting.result()
            else:
                waiting.cancel()
        try:
            yield "value", await task
        except LostSessionError:
            yield ("lost session",)
        except Exception as error:
            yield refused_event(refusal_of(error))
    finally:
        task.cancel()


@serve.deployment(max_ongoing_requests=100)
class KeptResults:
    """What links lead to, for every replica of the application."""

    def __init__(self, settings: Settings):
        self._results = ResultsOnDisk(settings.limits.results_bytes)

    async def keep(self, content: bytes, format: Format) -> Event:
        """Keep a result, and return its name."""
        try:
            return "value", await self._results.keep(content, format)
        except Refusal as refusal:
            return refused_event(refusal)

    async def find(self, name: str) -> Event:
        """Return a result."""
        found = await self._results.find(name)
        if found is None:
            return "value", None
        file, format = found
        return "value", (await asyncio.to_thread(file.read_bytes), format)


@serve.deployment(max_ongoing_requests=MOST_ONGOING)
@serve.ingress()
class Front:
    """The routes."""

    def __init__(
        self,
        settings: Settings,
        token: str | None,
        engines: DeploymentHandle,
        results: DeploymentHandle,
    ):
        self._settings, self._token = settings, token
        self._engines, self._results = engines, results

    def __serve_build_asgi_app__(self) -> Any:
        settings = self._settings
        set_up_logs(settings.log_level)
        return make_app(
            RayPool(self._engines, settings.limits, settings.max_replicas),
            RayResults(self._results), settings.limits,
            token=self._token, loopback=settings.loopback,
            proxied=True, photographs=installed_version("pycolmap") is not None,
        )  # fmt: skip


def make_application(settings: Settings) -> Application:
    """Bind the deployments to their settings, after the token and the model were looked at.

    The token is that of the process that calls: replicas do not see its environment.

    Raises:
        InputError: The token cannot be read.
        BundleError: The model is missing or damaged.
    """
    settings = found_anywhere(settings)
    token = read_token(settings.token_file, os.environ, settings.require_token)
    Bundle.open(settings.model)
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        "max_ongoing_requests": 1,
        "max_queued_requests": settings.limits.queue,
        "graceful_shutdown_timeout_s": settings.limits.seconds + GRACE,
    }
    if settings.max_replicas > settings.min_replicas:
        options["autoscaling_config"] = {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": 1,
            "upscale_delay_s": settings.upscale_seconds,
            "downscale_delay_s": settings.downscale_seconds,
            "look_back_period_s": min(max(LOOK_BACK[0], settings.upscale_seconds), LOOK_BACK[1]),
        }
    else:
        options["num_replicas"] = settings.min_replicas
    light: dict[str, Any] = {"ray_actor_options": {"num_cpus": 0}}
    patient: dict[str, Any] = light | {
        "graceful_shutdown_timeout_s": settings.limits.seconds + GRACE
    }
    return Front.options(**patient).bind(
        settings,
        token,
        Engines.options(**options).bind(settings),
        KeptResults.options(**light).bind(settings),
    )


def found_anywhere(settings: Settings) -> Settings:
    """Return settings whose paths lead to the same files from every folder."""
    changed: dict[str, Any] = {}
    if settings.model not in BUNDLED_MODELS:
        changed["model"] = str(Path(settings.model).absolute())
    if settings.token_file is not None:
        changed["token_file"] = str(Path(settings.token_file).absolute())
    return settings.model_copy(update=changed)
