"""Gaussians that stay in device memory."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.rendering.frame import Posed
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import Splats
from geolrm.engine.rendering.render import render


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class DeviceGaussians:
    """:class:`geolrm.Gaussians` on a GPU, float32; either ``colors`` or ``sh`` is given.

    The arrays are read in place by DLPack or ``__cuda_array_interface__``; no later run touches
    them. What works on values (``select``, ``transformed``, ``save``) works on a copy on the host.
    """

    means: DeviceArray  # [N, 3]
    opacities: DeviceArray  # [N]
    scales: DeviceArray  # [N, 3]
    quats: DeviceArray  # [N, 4], wxyz
    colors: DeviceArray | None = None  # [N, 3]
    sh: DeviceArray | None = None  # [N, K, 3]

    @staticmethod
    def upload(gaussians: Gaussians, device: Device) -> DeviceGaussians:
        """Copy Gaussians to a device."""
        arrays = {field.name: getattr(gaussians, field.name) for field in fields(gaussians)}
        return DeviceGaussians(**{n: device.upload(a) for n, a in arrays.items() if a is not None})

    @property
    def device(self) -> Device:
        """The GPU that holds them."""
        return self.means.device

    def __len__(self) -> int:
        return len(self.means)

    def __repr__(self) -> str:
        color = "colors" if self.sh is None else f"sh of {self.sh.shape[1]} coefficients"
        return f"DeviceGaussians({len(self):,}, {color})"

    def numpy(self) -> Gaussians:
        """Copy them to the host; waits for the stream, once."""
        device, copies = self.device, {}
        with device.lock:
            for field in fields(self):
                array = getattr(self, field.name)
                if array is not None:
                    copies[field.name] = device.empty_on_host(array.shape, np.float32)
                    device.download(array, copies[field.name])
            device.synchronize()
        return Gaussians(**copies)

    def render(self, cameras: Posed, size: tuple[int, int], **options: Any) -> Renders:
        """Render [V, H, W] images where the Gaussians are; arguments as :func:`geolrm.render`."""
        return render(cast(Splats, self), cameras, size, **options)

    def select(self, index: NDArray) -> Gaussians:
        """Select on the host, as :meth:`geolrm.Gaussians.select` does."""
        return self.numpy().select(index)

    def transformed(self, matrix: ArrayLike) -> Gaussians:
        """Transform on the host, as :meth:`geolrm.Gaussians.transformed` does."""
        return self.numpy().transformed(matrix)

    def save(self, path: str | Path, *, up: str | None = None, raw: bool = False) -> None:
        """Save a copy on the host, as :meth:`geolrm.Gaussians.save` does."""
        self.numpy().save(path, up=up, raw=raw)
