"""Figures of a server for Prometheus."""

import time

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from geolrm.fleet.serving.jobs import Made

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
FORGOTTEN = 3600.0  # seconds after which an engine that made nothing counts as ended
ANCHORS = (100, 300, 1000, 3000, 10_000, 30_000)


class Metrics:
    """The counts of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registered = {"namespace": "geolrm", "registry": self.registry}
        self.requests = Counter(
            "requests", "Requests by route and outcome.", ["route", "outcome"], **registered
        )
        self.refusals = Counter(
            "refusals", "Requests refused, by reason.", ["reason"], **registered
        )
        self.stage_seconds = Histogram(
            "stage_seconds", "Seconds of the stages of runs.", ["stage"], buckets=SECONDS,
            **registered,
        )  # fmt: skip
        self.anchors = Histogram(
            "anchors", "Anchors of a reconstruction.", buckets=ANCHORS, **registered
        )
        self.waiting = Gauge("queue", "Requests that wait for an engine.", **registered)
        self._memory = Gauge(
            "engine_resident_memory_bytes", "Memory of an engine's process after its last run.",
            ["engine"], **registered,
        )  # fmt: skip
        self._heard: dict[str, float] = {}  # when each engine made something for the last time
        self._open = 0
        self._live = Gauge("live_captures", "Live captures that are open.", **registered)
        ProcessCollector(registry=self.registry)  # memory among it

    def ran(self, made: Made) -> None:
        """Count a reconstruction."""
        for stage, value in made.seconds.items():
            self.stage_seconds.labels(stage).observe(value)
        self.anchors.observe(made.anchors)
        if made.memory is not None:
            self._memory.labels(made.engine).set(made.memory)
            self._heard[made.engine] = time.monotonic()

    def opened_live(self) -> int:
        """Count one more live capture, and return how many are open."""
        self._open += 1
        self._live.set(self._open)
        return self._open

    def closed_live(self) -> None:
        """Count one less."""
        self._open -= 1
        self._live.set(self._open)

    def text(self) -> bytes:
        """Write all of them as Prometheus reads them; engines that were ended are left out."""
        for engine in [e for e, at in self._heard.items() if time.monotonic() - at > FORGOTTEN]:
            del self._heard[engine]
            self._memory.remove(engine)
        return generate_latest(self.registry)
