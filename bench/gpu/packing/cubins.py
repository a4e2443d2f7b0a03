"""The machine code of our kernels for one GPU, compiled here and carried in the cache's folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from geolrm.bench.cuda_resources import variants
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.kernels import STORAGE, GridSample
from geolrm.engine.cuda import sources
from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.cuda.launch import Source


def carried_sources() -> Iterator[Source]:
    """Yield each source as the engine, the rasterizer and the benchmark ask for it, once."""
    found = [source for _, source in variants()]
    found += [Source(name) for name in sources.names()]
    for storage in STORAGE:
        found += [GridSample(storage, grid).source for grid in ("float32", storage)]
        found.append(SelectAnchors(128, logits=storage).source)
    seen: list[Source] = []
    for source in found:
        if source not in seen:
            seen.append(source)
            yield source


def write_cubins(cache: Path, architecture: str) -> int:
    """Compile for ``sm_NN`` into what will be ``$GEOLRM_CACHE``; return how many there are."""
    with mock.patch.dict(os.environ, {"GEOLRM_CACHE": str(cache)}):
        made = [
            compile_source(source.name, architecture, source.defines)
            for source in carried_sources()
        ]
    return len(made)
