"""Gaussians as tensors of torch, in the order of the arguments of gsplat."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.formats.untrusted import unit_quats
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.system.extras import require

if TYPE_CHECKING:
    from torch import Tensor


class Tensors(NamedTuple):
    """What ``gsplat.rasterization`` takes first, in its order, float32."""

    means: Tensor  # [N, 3]
    quats: Tensor  # [N, 4], wxyz
    scales: Tensor  # [N, 3], standard deviations
    opacities: Tensor  # [N], in [0, 1]
    colors: Tensor  # [N, 3] in [0, 1], or harmonics [N, K, 3], for which gsplat takes sh_degree


def to_tensors(gaussians: GaussianArrays, device: Any) -> Tensors:
    """Copy Gaussians to a device of torch.

    Raises:
        GeoLRMError: torch is not installed.
    """
    require("torch", "a tensor")
    # By name, as nothing else of the engine may need torch, and linters hold it to that.
    torch = importlib.import_module("torch")
    colors = gaussians.colors if gaussians.sh is None else gaussians.sh
    arrays = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, colors)
    return Tensors(*(torch.tensor(array, device=device) for array in arrays))


def to_arrays(
    means: Any, quats: Any, scales: Any, opacities: Any, colors: Any
) -> dict[str, NDArray[np.float32]]:
    """Copy tensors of any device and floating type to what :class:`Gaussians` is made of.

    Rotations become of unit length, which gsplat does not ask of them.
    """
    given = {"means": means, "quats": quats, "scales": scales, "opacities": opacities}
    arrays = {name: _array(tensor) for name, tensor in given.items()}
    if getattr(arrays["quats"], "shape", ())[1:] == (4,):
        arrays["quats"] = unit_quats(arrays["quats"])
    shown = _array(colors)
    arrays["sh" if getattr(shown, "ndim", 0) == 3 else "colors"] = shown
    return arrays


def _array(tensor: Any) -> Any:
    """Copy a tensor to the host; its type is left to the checks of Gaussians, and so is no tensor.

    Half precision becomes float32, as NumPy has no bfloat16.
    """
    if not hasattr(tensor, "detach"):
        return tensor.copy() if isinstance(tensor, np.ndarray) else tensor
    host = tensor.detach().cpu()
    return (host.float() if host.is_floating_point() else host).numpy().copy()
