"""A session of ONNX Runtime over a stored graph: from memory alone, its errors one sentence."""

import os
import textwrap
from typing import Any

from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.bundle.manifest import WEIGHTS_NAME
from geolrm.engine.errors import BundleError, GeoLRMError

LONGEST_REASON = 400  # characters; cuDNN's hold whole graphs
# Where a graph's parts look for files that were not given to them: a folder that cannot be, or else
# it is the working directory.
FOLDER = "session.model_external_initializers_file_folder_path"
NOWHERE = os.path.join(__file__, "nowhere")
# What ONNX Runtime's arenas, the C++ library and CUDA say where there is no memory left.
MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")


def open_session(stored: StoredSegment, options: Any, providers: list) -> Any:
    """Open a session that reads nothing from disk, now or later.

    Args:
        stored: The graph, and the weights that it points into; neither is needed afterwards.
        options: Of the session, which are changed.
        providers: As ONNX Runtime takes them.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
        GeoLRMError: There is not the memory for it.
    """
    import onnxruntime as ort

    options.add_session_config_entry(FOLDER, NOWHERE)
    if stored.weights:
        options.add_external_initializers_from_files_in_memory(
            [WEIGHTS_NAME], [stored.weights], [len(stored.weights)]
        )
    try:
        return ort.InferenceSession(bytes(stored.content), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises classes of its own, one per code
        raise failure("load", str(stored.path), error) from error


def failure(action: str, what: str, error: Exception, kind: type = BundleError) -> GeoLRMError:
    """Return what to raise where ONNX Runtime cannot load or run a graph.

    Args:
        action: "load" or "run".
        what: The graph.
        error: Of ONNX Runtime.
        kind: Of the result, where it is not for lack of memory.
    """
    reason = textwrap.shorten(str(error), LONGEST_REASON, placeholder=" ...")
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in MEMORY):
        return GeoLRMError(
            f"out of memory: ONNX Runtime cannot {action} {what}; use fewer views or anchors, or a "
            f"machine with more memory ({reason})"
        )
    return kind(f"ONNX Runtime cannot {action} {what}: {reason}")
