import subprocess
import sys

import pytest

WITHOUT_EXTRAS = """
import importlib.metadata as metadata, runpy, sys

ABSENT = ("torch", "onnx", "onnxscript", "cuda", "cuda-core", "cuda-bindings")
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
found = metadata.version
def version(name):
    if name in ABSENT:
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("bench.engine --no-torch", "the benchmark of the engine needs torch"),
        ("bench.kernels", "the comparison of kernels needs torch"),
        ("bench.raster --torch", "--torch needs torch"),
        ("export.conformance case", "the conformance check needs torch"),
        ("bench.cuda_resources", "a CUDA kernel needs cuda-core"),
    ],
)
def test_a_missing_extra_is_one_sentence(arguments, sentence):
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *f"geolrm.{arguments}".split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"error: {sentence}, which is not installed; run: pip install '")
    assert len(done.stderr.splitlines()) == 1 and done.returncode == 1
