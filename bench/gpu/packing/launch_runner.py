"""Run graphs over the launch log: a program of its own, for the Python that the packages are for.

It reads JSON from standard input: ``options`` of the CUDA provider, and ``graphs``, each with its
file ``graph`` and with ``feeds``, a list of ``{name: [type, shape]}``. Of this project it needs
nothing, and of others ONNX Runtime and NumPy.
"""

import json
import sys

import numpy as np
import onnxruntime as ort


def run(graph: str, feeds: list[dict[str, tuple[str, list[int]]]], options: dict[str, str]) -> None:
    """Run one graph with inputs of zeros of each list of shapes."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.enable_mem_pattern = False
    providers = [("CUDAExecutionProvider", options), "CPUExecutionProvider"]
    session = ort.InferenceSession(graph, settings, providers=providers)
    if "CUDAExecutionProvider" not in session.get_providers():
        raise SystemExit(f"the CUDA provider does not load over the launch log, for {graph}")
    for one in feeds:
        inputs = {name: np.zeros(shape, kind) for name, (kind, shape) in one.items()}
        names = {value.name for value in session.get_inputs()}
        session.run(None, {name: array for name, array in inputs.items() if name in names})


def main() -> None:
    """Run all graphs of the list."""
    told = json.load(sys.stdin)
    for one in told["graphs"]:
        print(one["graph"], flush=True)
        run(one["graph"], one["feeds"], told["options"])


if __name__ == "__main__":
    main()
