"""Choose the backend that an export is made for, its precision, and its GPUs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from geolrm.engine.bundle.manifest import BACKENDS, GpuIdentity
from geolrm.engine.bundle.plan import ANY_GPU
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system import extras
from geolrm.engine.system.present_gpu import PresentGpu, present_gpu

Backend = Literal["onnxruntime", "cuda", "tensorrt", "tensorrt-rtx"]
Precision = Literal["fp32", "fp16", "bf16"]

RTX_SMS = ("75", "80", "86", "89", "120", "121")  # that TensorRT for RTX 1.7 builds for
OLDEST_TENSORRT = (11, 4)


@dataclass(frozen=True, slots=True)
class Target:
    """A GPU that TensorRT engines are built for: ``sm_89``, or ``any`` for graphs."""

    name: str
    gpu: GpuIdentity | None = None
    present: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of what to export, and its reason."""

    backend: Backend
    precision: Precision
    targets: tuple[Target, ...]
    reason: str
    buckets: bool = False  # anchors may be padded, which attention then leaves out

    @property
    def stored_half(self) -> bool:
        """Whether the bundle stores matrices as float16."""
        return self.precision != "fp32"


def choose(backend: str, precision: str | None, sm: str | None, *, buckets: bool = False) -> Choice:
    """Check the options against each other and against this machine.

    Args:
        backend: One of ``BACKENDS``; ``auto`` takes the best that this machine can build and run.
        precision: ``fp32``, ``fp16``, ``bf16``, or None for the backend's own: float32 on the
            CPU, float16 on GPUs.
        sm: Comma-separated compute capabilities for ``tensorrt-rtx``, such as ``86,89,120``.
        buckets: Let engines of TensorRT pad anchors, so that few numbers of them occur.

    Raises:
        InputError: The options contradict each other.
        GeoLRMError: A package or a GPU is missing; one sentence says which and what to do.
    """
    if backend not in BACKENDS:
        raise InputError(f"--backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    asked, reason = backend, f"--backend {backend}"
    if backend == "auto":
        asked, reason = _best(precision, sm)
    if sm is not None and asked != "tensorrt-rtx":
        raise InputError(
            f"--sm is for --backend tensorrt-rtx; {asked} "
            + {
                "cuda": "graphs run on every GPU",
                "tensorrt": "engines are built for the GPU of this machine",
                "onnxruntime": "runs on the CPU",
            }[asked]
        )
    if buckets and not asked.startswith("tensorrt"):
        raise InputError(
            f"--buckets is for --backend tensorrt-rtx and tensorrt, whose work is captured for a "
            f"number of anchors; {asked} captures nothing: leave it out"
        )
    own = "fp32" if asked == "onnxruntime" else "fp16"
    chosen = cast(Precision, precision or own)
    if asked == "onnxruntime" and chosen == "bf16":
        why = f" ({reason})" if backend == "auto" else ""
        raise InputError(f"--bf16 is for GPUs, and the backend is onnxruntime{why}; use --fp16")
    if asked.startswith("tensorrt") and chosen == "fp32":
        raise InputError(
            f"--fp32 does not go with --backend {asked}, whose attention runs in half precision "
            "alone; use --fp16 or --bf16, or --backend cuda"
        )
    return Choice(cast(Backend, asked), chosen, _targets(asked, sm), reason, buckets)


def require_builder(backend: str) -> None:
    """Refuse in one sentence when what a backend builds with is not installed.

    Raises:
        GeoLRMError: Naming the package and the command that installs it.
    """
    if backend not in ("tensorrt", "tensorrt-rtx"):
        return
    extras.require(backend, f"--backend {backend}")
    if backend == "tensorrt-rtx":
        return
    version = extras.installed_version(backend) or ""
    if _numbers(version) < OLDEST_TENSORRT:
        raise GeoLRMError(
            f"--backend tensorrt needs tensorrt 11.4 or newer, and {version} is installed; run: "
            "pip install -U 'geolrm[tensorrt]'"
        )
    for package in extras.KERNEL_PACKAGES:  # of the plugins
        extras.require(package, "--backend tensorrt", extra="tensorrt")


def _best(precision: str | None, sm: str | None) -> tuple[str, str]:
    """Choose the best backend of this machine; return the reason, too."""
    if sm is not None:
        return "tensorrt-rtx", "--sm was given"
    try:
        gpu = present_gpu()
    except GeoLRMError as error:
        return "onnxruntime", str(error)
    tried = []
    if precision != "fp32":
        if extras.installed_version("tensorrt-rtx") and gpu.sm.removeprefix("sm_") in RTX_SMS:
            return "tensorrt-rtx", f"{gpu.name} with tensorrt-rtx"
        tried.append("tensorrt-rtx")
        try:
            require_builder("tensorrt")
            return "tensorrt", f"{gpu.name} with tensorrt"
        except GeoLRMError:
            tried.append("tensorrt")
    if extras.installed_version("onnxruntime-gpu"):
        return "cuda", f"{gpu.name} with onnxruntime-gpu"
    tried.append("onnxruntime-gpu")
    hint = "rtx" if gpu.sm.removeprefix("sm_") in RTX_SMS else "gpu"
    return "onnxruntime", (
        f"{gpu.name} ({gpu.sm}) can be used with none of {', '.join(tried)} as installed; run: "
        f"pip install 'geolrm[{hint}]'"
    )


def _targets(backend: str, sm: str | None) -> tuple[Target, ...]:
    if backend == "onnxruntime":
        return ()
    try:
        here: PresentGpu | None = present_gpu()
        missing = ""
    except GeoLRMError as error:
        here, missing = None, str(error)
    if backend == "cuda":
        return (Target(ANY_GPU, present=here is not None),)
    require_builder(backend)
    if backend == "tensorrt":
        if here is None:
            raise GeoLRMError(
                f"--backend tensorrt builds on the GPU of this machine, but {missing}; build "
                "without one: --backend tensorrt-rtx --sm 86,89,120"
            )
        identity = GpuIdentity(here.sm, here.multiprocessors, here.memory_bytes)
        return (Target(here.sm, identity, present=True),)
    if sm is None:
        if here is None:
            raise GeoLRMError(
                f"--backend tensorrt-rtx builds for the GPU of this machine, but {missing}; say "
                "for which: --sm 86,89,120"
            )
        if here.sm.removeprefix("sm_") not in RTX_SMS:
            raise InputError(
                f"this GPU is {here.sm}, for which TensorRT for RTX does not build "
                f"({', '.join(RTX_SMS)}); use --backend cuda"
            )
        return (Target(here.sm, GpuIdentity(here.sm), present=True),)
    return tuple(
        Target(name, GpuIdentity(name), present=here is not None and here.sm == name)
        for name in (f"sm_{number}" for number in _parse_sms(sm))
    )


def _parse_sms(text: str) -> Sequence[str]:
    numbers = [number.strip() for number in text.split(",")]
    wrong = [number for number in numbers if number not in RTX_SMS]
    if wrong or len(set(numbers)) < len(numbers):
        raise InputError(
            f"--sm is {text!r}; give some of {', '.join(RTX_SMS)}, each once, with commas between"
        )
    return numbers


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
