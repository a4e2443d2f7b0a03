"""Manifests of another schema version: why they are refused, and what to do about it."""

import shlex
from pathlib import Path

import msgspec

from geolrm.engine.bundle.contents import Unfit, read_metadata
from geolrm.engine.bundle.manifest import (
    CONFIG_KEY,
    SCHEMA_VERSION,
    WEIGHTS_NAME,
    Range,
    Source,
    Targets,
)
from geolrm.engine.bundle.plan import Text


class _Gpu(msgspec.Struct):
    backend: Text
    precision: Text
    targets: Targets


class _Encoder(msgspec.Struct):
    batch_norm: bool


class _Config(msgspec.Struct):
    """What the header of the weights says of the model."""

    encoder: _Encoder


class _Schema1(msgspec.Struct):
    """What the export of a bundle of schema 1 was asked for."""

    model: Text
    precision: Text
    views: Range
    tokens: Range
    source: Source
    refine_steps: int = 0
    gpu: _Gpu | None = None


def refusal(file: Path, raw: bytes, version: int) -> str:
    """Return the sentence about a manifest that this version of geolrm does not read.

    Args:
        file: The manifest.
        raw: What it holds.
        version: Of its schema.

    Raises:
        msgspec.ValidationError: It is of no version.
    """
    remedy = "Upgrade: pip install -U geolrm"
    if version < SCHEMA_VERSION:
        older = msgspec.json.decode(raw, type=_Schema1)
        remedy = f"Export it again: {_export_command(file.parent, older)}"
    return (
        f"{file} has schema version {version}; this geolrm reads version {SCHEMA_VERSION}. {remedy}"
    )


def _export_command(folder: Path, older: _Schema1) -> str:
    """Over the old bundle, from its own weights where they are a checkpoint."""
    weights = folder / WEIGHTS_NAME
    source = str(weights) if _is_checkpoint(weights) else older.source.checkpoint or "CHECKPOINT"
    gpu = older.gpu or _Gpu("onnxruntime", older.precision, [])
    words = ["geolrm-export", source, "--name", older.model, "--backend", gpu.backend]
    if gpu.backend == "tensorrt-rtx":
        words += ["--sm", ",".join(target.removeprefix("sm_") for target in gpu.targets)]
    for option, numbers in (("--views", older.views), ("--tokens", older.tokens)):
        words += [option, f"{numbers.min}:{numbers.opt}:{numbers.max}"]
    words += [f"--{gpu.precision}", "--refine-steps", str(older.refine_steps)]
    return shlex.join([*words, "-o", str(folder), "--force"])


def _is_checkpoint(weights: Path) -> bool:
    """Whether nothing was folded into the weights, so that an export finds all of them."""
    try:
        stated = read_metadata(weights).get(CONFIG_KEY, "")
        return not msgspec.json.decode(stated, type=_Config).encoder.batch_norm
    except (OSError, Unfit, ValueError, RecursionError):
        return False
