"""LPIPS with VGG-16 as a loss: torchmetrics computes it, a file that the user names weighs it."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.atomic import existing_path
from geolrm.export.state_dict import read_state_dict

Dissimilarity = Callable[[Tensor, Tensor], Tensor]
NAMES = re.compile(r"(?:^|\.)(net\.slice\d\.\d+\.(?:weight|bias)|lin\d\.model\.1\.weight)$")
LEAST_SIDE = 16  # px, four poolings


def load_lpips(path: str | Path, device: torch.device) -> Dissimilarity:
    """Load the mean LPIPS of [T, 3, H, W] images in [0, 1] against others.

    Args:
        path: A state dict, ``.safetensors`` or what torch loads without unpickling objects, that
            names its tensors like torchmetrics or lpips do, under any prefix.
        device: To compute on.

    Raises:
        GeoLRMError: torchmetrics or torchvision is not installed.
        InputError: The file is missing, damaged, or holds other tensors or NaN.
    """
    path = existing_path(path)
    if not path.is_file():
        raise InputError(
            f"no LPIPS weights at {str(path)!r}; give a state dict of LPIPS with VGG-16, or leave "
            "losses.lpips_weights out to train with SSIM"
        )
    network = _network()
    wanted = network.state_dict()
    found = {
        match[1]: tensor
        for key, tensor in read_state_dict(path, "LPIPS with VGG-16").items()
        if (match := NAMES.search(key))
    }
    unfit = [key for key in wanted if key not in found or found[key].shape != wanted[key].shape]
    if unfit:
        raise InputError(
            f"{str(path)!r} holds no LPIPS with VGG-16: {len(unfit)} of its {len(wanted)} tensors "
            f"are missing or misshapen ({unfit[0]}); give a state dict of torchmetrics or lpips"
        )
    broken = [key for key in wanted if not found[key].isfinite().all()]
    if broken:
        raise InputError(
            f"{str(path)!r}: tensor {broken[0]!r} holds NaN or infinity; weights of LPIPS must be "
            "finite: restore the file"
        )
    network.load_state_dict({key: found[key].float() for key in wanted})
    network = network.to(device).eval().requires_grad_(False)

    def dissimilarity(rendered: Tensor, truth: Tensor) -> Tensor:
        if min(rendered.shape[-2:]) < LEAST_SIDE:
            raise InputError(
                f"targets have {rendered.shape[-1]} px; LPIPS needs {LEAST_SIDE} or more: raise "
                "views.target_size"
            )
        return network(rendered, truth, normalize=True).mean()

    return dissimilarity


def _network() -> torch.nn.Module:
    try:
        # Neither belongs to the extra [training].
        import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]
        from torchmetrics.functional.image.lpips import (  # pyright: ignore[reportMissingImports]
            _LPIPS,
        )
    except Exception as error:  # a torchvision that was built for another torch raises its own
        raise GeoLRMError(
            f"losses.lpips_weights needs torchmetrics and torchvision ({error}); run: pip install "
            "torchmetrics torchvision, or leave it out to train with SSIM"
        ) from error
    return _LPIPS(pretrained=False, net="vgg", pnet_rand=True)
