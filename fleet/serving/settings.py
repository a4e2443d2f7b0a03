"""What a server is told when it starts; ``geolrm serve`` and ``serve run`` give the same fields."""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geolrm.engine.errors import InputError
from geolrm.fleet.archives import ZipLimits

TOKEN_VARIABLE = "GEOLRM_TOKEN"
RESULT_SECONDS = 3600.0  # that the link to a result is valid
MAX_HEADER_BYTES = 16_384
IDLE_SECONDS = 20.0  # that a client may be silent while it sends a request


class Limits(BaseModel):
    """What requests may take; each is checked before the memory for it is spent."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    body_bytes: int = Field(256 << 20, ge=1 << 10)
    pixels: int = Field(1 << 27, ge=1 << 10)  # of all images of a request, as their files state
    images: int = Field(400, ge=1)  # files of a request, masks among them
    zip_entries: int = Field(2000, ge=1)
    zip_ratio: float = Field(100.0, ge=1)  # unpacked over packed, of one file
    unpacked_bytes: int = Field(1 << 30, ge=1 << 10)  # of all files of a zip
    seconds: float = Field(300.0, gt=0)  # of a request, from its first byte to its answer
    queue: int = Field(8, ge=0)  # requests that wait while others run
    live: int = Field(8, ge=0)  # live captures at a time
    results_bytes: int = Field(4 << 30, ge=1)  # of what links lead to

    @property
    def archives(self) -> ZipLimits:
        """Return those of a zip file."""
        return ZipLimits(self.zip_entries, self.unpacked_bytes, self.unpacked_bytes, self.zip_ratio)


class Settings(BaseModel):
    """How one server runs; checked when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = "mini"
    backend: str = "auto"
    threads: int | None = Field(None, ge=1)  # of an engine; None: all cores that it may use
    device: int = Field(0, ge=0)
    token_file: str | None = None
    require_token: bool = False  # without a token nothing starts
    log_level: str = "info"
    loopback: bool = False  # it is reached under this machine's own names alone, as --host says
    limits: Limits = Limits()  # pyright: ignore[reportCallIssue]
    # Under Ray alone:
    min_replicas: int = Field(1, ge=1)  # engines
    max_replicas: int = Field(1, ge=1)
    upscale_seconds: float = Field(30.0, gt=0)  # that requests queue before an engine is added
    downscale_seconds: float = Field(600.0, gt=0)  # that an engine idles before it is ended
    cpus: float = Field(1.0, ge=0)  # reserved for each engine
    gpus: float = Field(0.0, ge=0)


def make_settings(**fields: Any) -> Settings:
    """Check settings.

    Raises:
        InputError: Names the first field that breaks its rule.
    """
    try:
        settings = Settings(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"{name} is {first['input']!r}: {first['msg']}; change it") from error
    if settings.max_replicas < settings.min_replicas:
        raise InputError(
            f"max_replicas is {settings.max_replicas}, less than the {settings.min_replicas} of "
            "min_replicas; give at least as many"
        )
    if settings.gpus and settings.device:
        raise InputError(
            f"device is {settings.device} and gpus is {settings.gpus:g}: Ray shows each engine the "
            "GPUs that it reserves for it alone, the first of which is device 0; leave device out"
        )
    return settings


def engine_threads(settings: Settings) -> int | None:
    """Return the threads of an engine under Ray, where several share a machine."""
    if settings.threads is not None or not settings.cpus:
        return settings.threads
    return max(min(int(settings.cpus), os.cpu_count() or 1), 1)
