"""Register the plugins that the exported graphs name, and state their version."""

import functools
import hashlib
from pathlib import Path
from types import ModuleType

from geolrm.engine.backends.cuda import kernels
from geolrm.engine.cuda import sources
from geolrm.engine.cuda.compiler import compiler_version
from geolrm.plugins import deformable_cross_attention, grid_sample

NAMESPACE = "geolrm"
PLUGINS = (deformable_cross_attention, grid_sample)
KERNELS = ("deformable_cross_attention", "grid_sample")  # their sources


def register(plugin: ModuleType, sm: str, *, lazy: bool = False) -> str:
    """Make the plugins known to TensorRT, once in a process.

    Args:
        plugin: The module ``tensorrt.plugin``.
        sm: Of the GPU of this machine, ``sm_89``; TensorRT builds for no other.
        lazy: Leave TensorRT's own registry alone until a plugin is used.

    Returns:
        The version of what the TensorRT engines will hold.
    """
    defined = getattr(plugin.op, NAMESPACE, None)
    for each in PLUGINS:
        if not hasattr(defined, each.NAME):
            name = f"{NAMESPACE}::{each.NAME}"
            shapes, kernel = each.callbacks(plugin, sm.replace("sm_", "compute_"))
            plugin.register(name, lazy_register=lazy)(shapes)
            plugin.aot_impl(name)(kernel)
    return version()


@functools.cache
def version() -> str:
    """Hash the kernels, their geometry and the plugins; return that, and the compiler's version."""
    digest = hashlib.sha256()
    for name in KERNELS:
        digest.update(sources.fingerprint(name).encode())
    for path in [Path(kernels.__file__), *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{digest.hexdigest()[:16]} nvrtc {compiler_version()}"
