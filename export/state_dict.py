"""Tensors of a file by name, without unpickling anything."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geolrm.engine.errors import InputError


def read_state_dict(path: Path, what: str) -> dict[str, Tensor]:
    """Read the named tensors of ``.safetensors``, or of what torch loads without unpickling.

    Args:
        path: An existing file.
        what: Model that it should hold, for the message, such as "LPIPS with VGG-16".

    Raises:
        InputError: The file is damaged or holds no named tensors.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise InputError(f"{str(path)!r} is no readable safetensors file: {error}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated classes for damaged files
        raise InputError(
            f"{str(path)!r} cannot be read as a plain state dict ({type(error).__name__}): it is "
            "damaged, or holds other objects than tensors, which are never unpickled; save its "
            f"state dict alone, one of {what}"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    named = content if isinstance(content, dict) else {}
    tensors = {str(name): value for name, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{str(path)!r} is no state dict of named tensors; give one of {what}")
    return tensors
