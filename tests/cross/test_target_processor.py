"""CMake takes the kernels from the compiler's target, and says what it does not build."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("ninja")), reason="needs CMake and Ninja"
)


def configure(build, *options):
    done = subprocess.run(
        ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DGEOLRM_EXTENSION=OFF", *options],
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    return done.returncode, " ".join(done.stderr.split())


def test_the_compiler_decides_not_what_the_processor_is_called(tmp_path):
    this = platform.machine()
    other = "x86_64" if this in ("aarch64", "arm64") else "arm64"
    code, errors = configure(
        tmp_path, "-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={other}"
    )
    assert code == 0, errors
    kernels = re.findall(
        r"/rasterizer_(\w+)\.cpp\.o:", (tmp_path / "build.ninja").read_text("utf-8")
    )
    assert kernels == {"x86_64": ["plain", "avx2", "avx512"]}.get(this, ["plain", "neon"])


def test_two_architectures_in_one_build_are_refused(tmp_path):
    script = tmp_path / "two.cmake"
    script.write_text(
        "set(APPLE ON)\n"
        'set(CMAKE_OSX_ARCHITECTURES "x86_64;arm64")\n'
        f'include("{ROOT}/csrc/target_processor.cmake")\n'
        "geolrm_target_processor(found)\n",
        encoding="utf-8",
    )
    done = subprocess.run(["cmake", "-P", script], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode
    assert (
        "CMAKE_OSX_ARCHITECTURES is x86_64;arm64; one build has the kernels of one architecture: "
        "build a wheel for each and join them with delocate-merge"
    ) in " ".join(done.stderr.split())


def test_the_compiler_of_msvc_is_refused(tmp_path):
    as_msvc = ("FORCED=1", "ID_RUN=1", "ID=MSVC")
    code, errors = configure(tmp_path, *(f"-DCMAKE_CXX_COMPILER_{each}" for each in as_msvc))
    assert code
    assert (
        "The C++ compiler is MSVC's cl; the kernels use vectors of GCC and Clang: choose clang-cl, "
        "by -T ClangCL with Visual Studio or CXX=clang-cl with Ninja, or zig by "
        "csrc/toolchains/zig.cmake"
    ) in errors
