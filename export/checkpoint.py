"""Load checkpoints in the released format: nothing is unpickled, every tensor is accounted for."""

import json
import re
from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor

from geolrm.engine.bundle.bundle import bundled_path, file_sha256
from geolrm.engine.bundle.manifest import (
    CONFIG_KEY,
    MANIFEST_NAME,
    WEIGHTS_NAME,
    Source,
    decode,
)
from geolrm.engine.errors import CheckpointError, InputError
from geolrm.export.model import GeoLRM, GeoLRMConfig, released
from geolrm.export.state_dict import read_state_dict

# Networks and parts of them that a checkpoint may lack: as they are made, they change nothing.
LEARNED_REFINEMENT = tuple(
    f"splat_{network}.{part}"
    for network in ("update", "closing")
    for part in ("", "cell_convolutions.")
)
UNUSED = "mask_token"  # of DINOv2's pre-training; absent from some checkpoints, never read

# Newer transformers releases name DINOv2's attention parameters differently.
NEW_DINO_NAMES = {
    r"\.attention\.q_proj\.": ".attention.attention.query.",
    r"\.attention\.k_proj\.": ".attention.attention.key.",
    r"\.attention\.v_proj\.": ".attention.attention.value.",
    r"\.attention\.o_proj\.": ".attention.output.dense.",
}


def load_checkpoint(
    path: str | Path, config: GeoLRMConfig | None = None
) -> tuple[GeoLRM, Source, bool]:
    """Build the model of a checkpoint.

    Args:
        path: ``.ckpt`` (a plain state dict, read with ``weights_only=True``), ``.safetensors``, or
            ``"mini"``, the bundled default.
        config: Of the model; None takes the one stored in a safetensors header, or ``released``.

    Returns:
        The model, where it came from, and whether the file states its configuration (and so the
        self-attention variant).

    Raises:
        CheckpointError: The file cannot be read, or tensors are missing, unexpected or misshapen.
    """
    trained = True
    if str(path) == "mini":
        folder = bundled_path("mini")
        trained = decode((folder / MANIFEST_NAME).read_bytes()).source.trained
        path = folder / WEIGHTS_NAME
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint at {str(path)!r}; give a .ckpt or .safetensors file, or 'mini'"
        )
    state, stored = _read(path)
    try:
        model = GeoLRM(config or stored or released())
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} holds a configuration that makes no model: "
            + " ".join(str(error).split())[:200]
        ) from error
    load_state(model, state, str(path))
    source = Source(path.name, file_sha256(path), trained)
    return model.eval(), source, (config or stored) is not None


def load_state(model: GeoLRM, state: dict[str, Tensor], name: str) -> None:
    """Load a state dict in the released naming, strictly.

    Keys of no part of the model (``lpips.*``, constants of a bundle, a learned refinement that it
    lacks) are ignored. A network of the learned refinement, or its convolutions, of which the state
    has nothing stays as it was made.

    Raises:
        CheckpointError: Tensors are missing, unexpected, misshapen or not finite.
    """
    parts = tuple(f"{name}." for name, _ in model.named_children())
    given = {rename(key): tensor for key, tensor in state.items() if key.startswith(parts)}
    expected = model.state_dict()
    optional = {key for key in expected if key.endswith(UNUSED)}
    for part in LEARNED_REFINEMENT:
        if not any(key.startswith(part) for key in given):
            optional |= {key for key in expected if key.startswith(part)}
    missing = sorted(set(expected) - set(given) - optional)
    unexpected = sorted(set(given) - set(expected))
    problems = []
    if missing:
        problems.append(f"{len(missing)} missing keys ({_some(missing)})")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected keys ({_some(unexpected)})")
    misshapen = [k for k in expected if k in given and given[k].shape != expected[k].shape]
    if misshapen:
        key = misshapen[0]
        problems.append(
            f"{len(misshapen)} keys of another shape ({key}: {tuple(given[key].shape)}, expected "
            f"{tuple(expected[key].shape)})"
        )
    if problems:
        raise CheckpointError(
            f"checkpoint {name!r} does not fit the model of {len(expected)} tensors: "
            + "; ".join(problems)
            + ". Use a checkpoint of this configuration"
        )
    for key, tensor in given.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"checkpoint {name!r} holds NaN or infinity in {key}; it is damaged"
            )
        expected[key].copy_(tensor)


def rename(key: str) -> str:
    """Return the released name of a DINOv2 key, of either naming generation."""
    for pattern, replacement in NEW_DINO_NAMES.items():
        key = re.sub(pattern, replacement, key)
    return key


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _read(path: Path) -> tuple[dict[str, Tensor], GeoLRMConfig | None]:
    """Read the state dict, and the configuration when the file holds one."""
    try:
        state = read_state_dict(path, "GeoLRM")
    except InputError as error:
        raise CheckpointError(str(error)) from error
    if path.suffix != ".safetensors":
        return state, None
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
    return state, _stored_config(metadata.get(CONFIG_KEY), path)


def _stored_config(text: str | None, path: Path) -> GeoLRMConfig | None:
    if text is None:
        return None
    try:
        return msgspec.convert(json.loads(text), GeoLRMConfig)
    except (ArithmeticError, RecursionError, ValueError, msgspec.ValidationError) as error:
        raise CheckpointError(f"{str(path)!r} holds an invalid configuration: {error}") from error
