"""LPIPS with the features of VGG-16, from a weights file that the user names.

The distance of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric" (2018), equation 1. torch is imported only when a file is given.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from geolrm.bench.quality.judging import Images
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import existing_path
from geolrm.engine.system.extras import require

if TYPE_CHECKING:
    from torch import Tensor

# Convolutions by their place among VGG-16's layers, in five stages; a pooling lies between stages.
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
CHANNELS = (64, 128, 256, 512, 512)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of colours in [-1, 1]
LEAST_SIDE = 16  # four poolings
CONVOLUTION = re.compile(r"(?:^|\.)slice\d\.(\d+)\.(weight|bias)$")
MIXTURE = re.compile(r"(?:^|\.)lin(\d)\.model\.1\.weight$")


class Lpips:
    """Mean LPIPS of images against their truths.

    Args:
        path: A state dict, ``.safetensors`` or anything torch loads without unpickling objects,
            that names its tensors like torchmetrics or lpips do, under any prefix: a GeoLRM
            checkpoint holds them too.
        threads: Of torch; None leaves them as they are.

    Raises:
        GeoLRMError: torch is not installed.
        InputError: The file is missing, or holds other tensors or NaN.
    """

    def __init__(self, path: str | Path, threads: int | None = None):
        require("torch", "LPIPS", extra="lpips")
        tensors = _read(existing_path(path), threads)
        self._weights = _find(tensors, str(path))

    def __call__(self, images: Images, truths: Images) -> float:
        """Return the mean over images [H, W, 3] in [0, 1]."""
        import torch

        total = 0.0
        with torch.inference_mode():
            for image, truth in zip(images, truths, strict=True):
                if min(truth.shape[:2]) < LEAST_SIDE:
                    raise InputError(
                        f"a target has {truth.shape[1]} x {truth.shape[0]} pixels; LPIPS needs at "
                        f"least {LEAST_SIDE} x {LEAST_SIDE}: leave --lpips out"
                    )
                both = torch.stack([torch.tensor(image), torch.tensor(truth)]).float()
                total += self._distance(both.permute(0, 3, 1, 2))
        return total / len(images)

    def _distance(self, pair: "Tensor") -> float:
        """Return the distance of two images [2, 3, H, W] in [0, 1]."""
        import torch
        from torch.nn import functional

        shift, scale = (torch.tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        hidden = (2 * pair - 1 - shift) / scale
        distance = 0.0
        for stage, layers in enumerate(STAGES):
            if stage:
                hidden = functional.max_pool2d(hidden, 2)
            for layer in layers:
                weight, bias = (self._weights[f"{layer}.{kind}"] for kind in ("weight", "bias"))
                hidden = functional.conv2d(hidden, weight, bias, padding=1).relu()
            first, second = functional.normalize(hidden, dim=1)
            mixture = self._weights[f"lin{stage}"].reshape(-1, 1, 1)
            distance += float((mixture * (first - second) ** 2).sum(dim=0).mean())
        return distance


def _read(path: Path, threads: int | None) -> dict[str, "Tensor"]:
    """Read the named tensors of a file, on so many threads of torch."""
    if not path.is_file():
        raise InputError(
            f"no LPIPS weights at {str(path)!r}; give a state dict of LPIPS with VGG-16"
        )
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    from geolrm.export.state_dict import read_state_dict

    return read_state_dict(path, "LPIPS with VGG-16")


def _find(tensors: dict[str, "Tensor"], path: str) -> dict[str, "Tensor"]:
    """Find the tensors of LPIPS by short names, whatever stands before them."""
    found = {}
    for name, tensor in tensors.items():
        if match := CONVOLUTION.search(name):
            found[f"{match[1]}.{match[2]}"] = tensor.float()
        elif match := MIXTURE.search(name):
            found[f"lin{match[1]}"] = tensor.float()
    inputs = 3
    for stage, (layers, outputs) in enumerate(zip(STAGES, CHANNELS, strict=True)):
        shapes: dict[str, tuple[int, ...]] = {f"lin{stage}": (1, outputs, 1, 1)}
        for layer in layers:
            shapes[f"{layer}.weight"] = (outputs, inputs, 3, 3)
            shapes[f"{layer}.bias"] = (outputs,)
            inputs = outputs
        for name, shape in shapes.items():
            if name not in found or tuple(found[name].shape) != shape:
                held = f"has shape {tuple(found[name].shape)}" if name in found else "is missing"
                raise InputError(
                    f"{path!r} holds no LPIPS with VGG-16: tensor {name!r} {held}, it must have "
                    f"shape {shape}; give a state dict of torchmetrics or lpips"
                )
            if not found[name].isfinite().all():
                raise InputError(
                    f"{path!r}: tensor {name!r} holds NaN or infinity; weights of LPIPS must be "
                    "finite: restore the file"
                )
    return found
