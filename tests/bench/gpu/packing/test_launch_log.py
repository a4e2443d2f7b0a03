import os
import subprocess
import sys

import pytest
from samples.fat_libraries import image, make_library, module

from geolrm.bench.gpu.packing import fat_binaries, launch_log
from geolrm.engine.errors import GeoLRMError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the launch log is for Linux")

FIRST, SECOND = (module(image(90, bytes([n] * 40))) for n in (1, 2))
LAUNCH = """
import ctypes, sys
provider = ctypes.CDLL(sys.argv[1])
assert provider.launch(1) == 0 and provider.launch(1) == 0
cudnn = ctypes.CDLL("libcudnn.so.9")
assert cudnn.cudnnConvolutionForward() == 0  # looked up by name
assert cudnn.cudnnGetVersion() == 91400
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "provider.so"
    return make_library(path, FIRST + SECOND, program=True, second=len(FIRST))


def test_a_launch_is_told_with_its_module(provider, tmp_path):
    libraries = launch_log.build(provider.read_bytes(), tmp_path / "libraries")
    log = tmp_path / "log"
    variables = {"LD_LIBRARY_PATH": str(libraries), "LAUNCH_LOG": str(log)}
    # As ONNX Runtime's provider does, it needs CUDA's library before it is loaded.
    preload = {"LD_PRELOAD": str(libraries / "libcudart.so.13")}
    subprocess.run(
        [sys.executable, "-c", LAUNCH, provider], env=os.environ | variables | preload, check=True
    )
    _, second = fat_binaries.modules(provider.read_bytes())
    assert launch_log.parse(log.read_text()) == {second.address: ["mul"]}  # once, and no other


def test_the_log_is_read_by_module():
    told = launch_log.parse("a0 mul\n10 add\na0 mul\na0 div\n")
    assert told == {16: ["add"], 160: ["div", "mul"]}


def test_a_log_that_does_not_compile_or_run_is_told(provider, tmp_path, monkeypatch):
    libraries = launch_log.build(provider.read_bytes(), tmp_path)
    graphs = [{"graph": str(tmp_path / "absent.onnx"), "feeds": []}]
    with pytest.raises(GeoLRMError, match=r"^the launch log's graphs do not run \(1\): .*absent"):
        launch_log.launched(sys.executable, tmp_path, libraries, graphs, {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GeoLRMError, match=r"^the launch log does not compile \(.*g.*\); install g"):
        launch_log.build(provider.read_bytes(), tmp_path)
