"""Tensors of a file by name, without unpickling anything."""

from pathlib import Path

import torch
from torch import Tensor

from geolrm.engine.errors import InputError


def read_state_dict(path: Path, what: str) -> dict[str, Tensor]:
    """Named tensors of ``.safetensors``, or of what torch loads without unpickling objects.

    Args:
        path: An existing file.
        what: It should hold, for the message, such as "LPIPS with VGG-16".

    Raises:
        InputError: The file is damaged or holds no named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both raise unrelated classes for damaged files
        raise InputError(
            f"{str(path)!r} cannot be read as a state dict ({type(error).__name__}); give one of "
            f"{what}"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} is no state dict; give one of {what}")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
