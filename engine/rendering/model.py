"""A scene as the CPU's rasterizer reads it: checked, packed once, and kept while it lives."""

from __future__ import annotations

import threading
import weakref
from typing import Any, Protocol

import numpy as np

from geolrm import _C
from geolrm.engine.rendering.options import native_errors


class Splats(Protocol):
    """What is read of a scene: activated values, in scene units. Colours, or `sh` [N, K, 3]."""

    @property
    def means(self) -> np.ndarray:
        """[N, 3]."""
        ...

    @property
    def opacities(self) -> np.ndarray:
        """[N], in [0, 1]."""
        ...

    @property
    def scales(self) -> np.ndarray:
        """[N, 3], standard deviations."""
        ...

    @property
    def quats(self) -> np.ndarray:
        """[N, 4], wxyz."""
        ...


_models: dict[int, tuple[weakref.ref, _C.SplatModel]] = {}
_models_lock = threading.RLock()


def splat_model(gaussians: Splats) -> _C.SplatModel:
    """Return the packed form of a scene, which is kept as long as the scene lives."""
    key = id(gaussians)
    with _models_lock:
        held = _models.get(key)
        if held is not None and held[0]() is gaussians:
            return held[1]
        model = pack(gaussians)
        try:
            reference = weakref.ref(gaussians, lambda _: _models.pop(key, None))
        except TypeError:  # a slotted class without __weakref__: packed again each time
            return model
        _models[key] = (reference, model)
        return model


def pack(gaussians: Splats) -> _C.SplatModel:
    """Check and pack a scene; float64 is rounded, other types are refused."""
    sh = getattr(gaussians, "sh", None)
    color = {"colors": gaussians.colors} if sh is None else {"sh": sh}  # type: ignore[attr-defined]
    names = ("means", "opacities", "scales", "quats")
    arrays = {name: getattr(gaussians, name) for name in names} | color
    packed: dict[str, Any] = {name: _float32(name, array) for name, array in arrays.items()}
    with native_errors():
        return _C.SplatModel(**packed)


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64, np.float16):
        raise TypeError(
            f"{name} has dtype {array.dtype}; it must be float32."
            " Convert it with astype(numpy.float32)"
        )
    return np.ascontiguousarray(array, np.float32)
