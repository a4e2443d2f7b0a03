"""The work of ``geolrm-export``, step by step, as one function."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from geolrm.engine.bundle.manifest import Range, Source
from geolrm.engine.captures import load_capture
from geolrm.engine.errors import InputError
from geolrm.engine.refinement.budget import DEFAULT_STEPS
from geolrm.engine.system.file_lock import locked
from geolrm.examples import capture_path
from geolrm.export import half_range, verification
from geolrm.export.backend_choice import Choice
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.export.checkpoint import load_checkpoint
from geolrm.export.hub import fetch, is_hub_name, parse_hub_name
from geolrm.export.model import GeoLRM, GeoLRMConfig
from geolrm.export.variant import choose_variant

VERIFICATION_CAPTURE = "shoe"


def export_checkpoint(
    checkpoint: str,
    folder: Path,
    *,
    name: str,
    choice: Choice,
    views: Range,
    tokens: Range | None,
    image_size: int | None,
    self_attention: str | None,
    rope_scale: float | None,
    verify: bool,
    progress: Callable[[str], None],
    occupancy_bias: float | None = None,
    refine_steps: int | None = None,
) -> dict[str, Any]:
    """Load, choose the variant, export and verify; return a summary for printing.

    Args:
        checkpoint: A file, ``"mini"``, or a name on a hub, of which the manifest keeps the commit.
        folder: Of the bundle.
        name: Of the model, for the manifest.
        choice: Backend, precision and target GPUs.
        views: Range of the number of views.
        tokens: Range of the number of anchors; None derives it from the model.
        image_size: Input side; None keeps the model's.
        self_attention: ``token``, ``head``, ``auto``, or None: ``auto`` for a checkpoint that does
            not state its variant, else the stated one.
        rope_scale: xyz_scale of the reconstruction; None keeps the model's.
        verify: Compare the bundle with torch before it is put in place: on the CPU, and on the
            GPU where it can run here.
        progress: Called with a line for each step.
        occupancy_bias: Added to the occupancy logits; None keeps the model's.
        refine_steps: Of the engine by default; None takes 30 for models with cues, else 0.
    """
    fetched = None
    if is_hub_name(checkpoint):
        progress("fetching the checkpoint")
        fetched = fetch(parse_hub_name(checkpoint))
        checkpoint = str(fetched.name)
    progress("loading the checkpoint")
    model, source, states_variant = load_checkpoint(fetched.path if fetched else checkpoint)
    if fetched is not None:
        source = Source(checkpoint, source.sha256, source.trained)
    config = resize(model.config, image_size)
    if rope_scale is not None:
        config = config.with_self_attention(config.self_attention, rope_scale)
    if occupancy_bias is not None:
        config = replace(config, proposal=replace(config.proposal, occupancy_bias=occupancy_bias))
    capture = load_capture(capture_path(VERIFICATION_CAPTURE))
    comparison = None
    if self_attention == "auto" or (self_attention is None and not states_variant):
        progress("comparing self-attention variants on the bundled capture")
        compared = choose_variant(_with_config(model, config), capture)
        config, comparison = compared.config, compared.scores
    elif self_attention is not None:
        config = config.with_self_attention(self_attention)
    model = _with_config(model, config)
    if refine_steps is None:  # a model that reads masks is given images with masks
        refine_steps = DEFAULT_STEPS if config.cues is not None else 0
    on_gpu = choice.backend != "onnxruntime"
    anchors = tokens or default_anchors(config)
    check_padding(config, anchors, choice.buckets)
    ranges = None
    if verify and on_gpu and choice.precision == "fp16":
        progress("looking for values that float16 does not hold")
        real = verification.choose_views(capture, views, config.image_size)
        ranges = half_range.measure(model, real)
    options = ExportOptions(
        "fp16" if choice.stored_half else "fp32",
        views,
        anchors,
        refine_steps,
        choice if on_gpu else None,
        f"geolrm-export {shlex.quote(checkpoint)} --{choice.precision}"
        + (" --buckets" if choice.buckets else ""),
        half_range.divisors(ranges or ()),
    )
    report: dict[str, Any] = {"status": "not run: switched off by --no-verify"}
    if on_gpu:
        report["gpu"] = {"status": report["status"]}

    def run_verification(bundle: Path) -> dict:
        report.clear()
        report.update(verification.report(verification.verify(bundle, model, capture)))
        if on_gpu:
            report["gpu"] = verification.verify_on_gpu(bundle, model, capture, choice)
        if ranges is not None:
            report["float16"] = half_range.report(ranges)
        return report

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / f".{folder.name}.lock"
    refusal = (
        f"another process exports to {str(folder)!r}; wait for it, or name another folder with -o"
    )
    with locked(lock, refusal, keep=False):
        manifest = write_bundle(
            model,
            folder,
            name=name,
            source=source,
            options=options,
            verify=run_verification if verify else None,
            progress=progress,
        )
    summary: dict[str, Any] = {
        "model": name,
        "folder": str(folder),
        "self_attention": manifest.self_attention,
        "backend": choice.backend,
        "backend_reason": choice.reason,
        "targets": [target.name for target in choice.targets],
        "precision": choice.precision,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "verify": report,
    }
    if comparison is not None:
        summary["comparison"] = comparison
    if fetched is not None:
        summary["source"] = {
            "checkpoint": checkpoint,
            "sha256": source.sha256,
            "license": fetched.license,
        }
    return summary


def resize(config: GeoLRMConfig, image_size: int | None) -> GeoLRMConfig:
    """Return the configuration at another input size; None keeps it.

    Raises:
        InputError: It is no multiple of the patch size.
    """
    if image_size is None:
        return config
    patch = config.encoder.patch_size
    if image_size < patch or image_size % patch:
        near = max(patch, round(image_size / patch) * patch)
        raise InputError(
            f"--image-size is {image_size}; it must be a multiple of the patch size {patch}, "
            f"such as {near}"
        )
    return replace(config, image_size=image_size)


def default_anchors(config: GeoLRMConfig) -> Range:
    """Return the range from one to twice the model's number of anchors, which is preferred."""
    preferred = config.proposal.max_seq_len
    return Range(1, preferred, 2 * preferred)


def check_padding(config: GeoLRMConfig, anchors: Range, buckets: bool = False) -> None:
    """Check that the range holds the number that the ``head`` variant pads anchors to.

    Raises:
        InputError: It does not, or buckets are asked for where that number never changes.
    """
    if buckets and config.padded_tokens is not None:
        raise InputError(
            "--buckets is for a number of anchors that changes, but the head variant of this model "
            f"always runs with {config.padded_tokens}; leave it out"
        )
    if config.padded_tokens is not None and anchors.max < config.padded_tokens:
        raise InputError(
            f"--tokens allows at most {anchors.max} anchors, but the head variant of this model "
            f"pads them to {config.padded_tokens}; raise MAX to at least that"
        )


def _with_config(model: GeoLRM, config: GeoLRMConfig) -> GeoLRM:
    """Return the weights under another configuration, which must not change their shapes."""
    if config == model.config:
        return model
    other = GeoLRM(config)
    other.load_state_dict(model.state_dict())
    return other.eval()
