"""From a bundle to a backend that is ready to run it."""

from geolrm.engine.backends.base import Backend
from geolrm.engine.backends.cpu.backend import CpuBackend
from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.backends.selection import Selected, select_backend
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.refinement.learned import LearnedRefinement, LearnedSteps
from geolrm.engine.system.cores import useful_threads


def open_backend(
    asked: str, bundle: Bundle, threads: int | None, device: int
) -> tuple[Selected, Backend]:
    """Load all stages of a bundle on the backend that this machine and the caller choose.

    Returns the choice with its reason, and the backend. ``auto`` falls back to the CPU also where
    the artifact for the GPU does not load.
    """
    threads = useful_threads(threads)
    selected = select_backend(asked, bundle, device)
    if selected.target is not None:
        from geolrm.engine.backends.cuda.backend import CudaBackend

        try:
            return selected, CudaBackend(bundle, selected, threads, device)
        except GeoLRMError as error:
            if asked != "auto":
                raise
            selected = Selected("onnxruntime", f"not {selected.name}: {error}")
    return selected, CpuBackend(bundle, threads)


def open_learned(bundle: Bundle, threads: int) -> LearnedRefinement:
    """Load the networks of a bundle's learned refinement, of which it may have none.

    They run on the CPU whatever the backend is: a step is small beside the gradients it reads.
    """
    return LearnedRefinement(
        **{
            name: LearnedSteps(
                OnnxRuntimeSegment(bundle.segment(entry.graph), threads), entry.steps, entry.views
            )
            for name, entry in bundle.manifest.learned.items()
        }
    )
