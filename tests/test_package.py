"""The package as a whole: light to import, no torch at run time."""

import subprocess
import sys

import pytest

CODE = """
import sys, time
start = time.perf_counter()
import geolrm
seconds = time.perf_counter() - start
print(seconds, *sorted(m for m in sys.modules if m in ("torch", "onnx", "onnxruntime", "PIL")))
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_is_fast_and_light():
    results = [run(CODE) for _ in range(3)]
    assert all(len(words) == 1 for words in results), results  # no heavy module was imported
    assert min(float(words[0]) for words in results) <= 0.3


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxscript"])
def test_the_engine_runs_without_the_export_packages(package, tmp_path):
    code = f"""
import sys
sys.modules[{package!r}] = None  # importing it now fails
from geolrm import Engine, load_capture
from geolrm.examples import capture_path
capture = load_capture(capture_path("banana")).subset([0, 8])
engine = Engine("mini")
scene = engine.run(capture.images, capture.cameras, max_tokens=64, refine_steps=0)
print(len(scene.gaussians))
"""
    assert run(code) == ["1024"]


def test_forked_children_can_use_the_kernels():
    code = """
import os, sys
import numpy as np
from geolrm import _C
projection = _C.ValueProjection(np.ones((6, 4), np.float32), np.zeros(6, np.float32), 2)
def work():
    out = np.empty((3, 2, 700, 3), np.float32)
    projection(np.ones((3, 700, 4), np.float32), None, out, threads=2)
    return float(out.sum())
first = work()
child = os.fork()
if child == 0:
    os._exit(0 if work() == first else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    if sys.platform == "win32":
        pytest.skip("fork is POSIX only")
    assert run(code) == ["0"]
