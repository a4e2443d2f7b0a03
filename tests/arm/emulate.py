"""The native core on 64-bit ARM, emulated on Debian or Ubuntu by qemu-user: tests and counts.

    python tests/arm/emulate.py test     the tests of csrc that need neither torch nor a GPU
    python tests/arm/emulate.py count    instructions of each kernel, NEON over plain C++
    python tests/arm/emulate.py run ...  the geolrm command, such as run CAPTURE -o shoe.ply

Python for ARM comes from the distribution's archive and the packages from PyPI, into build/arm; the
system is not changed. zig (pip install ziglang) compiles. qemu-user has to be installed.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "arm"
SYSTEM, SITE, OBJECTS = PLACE / "system", PLACE / "site", PLACE / "objects"
DEBIAN = (
    "libc6", "libexpat1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libsqlite3-0",
    "libgcc-s1", "libstdc++6", "libuuid1", "libcrypt1", "libgomp1", "libncursesw6", "libtinfo6",
)  # fmt: skip
NATIVE = (
    "numpy",
    "pillow",
    "msgspec",
    "safetensors",
    "onnxruntime",
    "backports.zstd",
    "hypothesis",
)
PURE = (
    "pytest", "pluggy", "iniconfig", "packaging", "pygments", "sortedcontainers", "typer", "rich",
    "markdown-it-py", "mdurl", "click", "shellingham", "typing_extensions", "annotated-doc",
    "flatbuffers",
)  # fmt: skip
TESTS = (
    "test_value_projection.py", "test_self_attention.py", "test_query_order.py", "test_adam.py",
    "test_rasterizer.py", "test_rasterizer_exact.py", "test_rasterizer_backward.py",
    "test_rasterizer_compare.py", "test_rasterizer_degenerate.py", "test_rasterizer_limit.py",
    "test_mesh_rasterizer.py",
)  # fmt: skip
FEW, MANY = 5, 205  # runs of a kernel, whose difference counts: what starts Python varies by 1 %


def prepare() -> None:
    """Fetch Python and packages, once, and compile what changed."""
    if not (SYSTEM / "usr" / "bin").exists():
        fetch_python()
        fetch_packages()
    zig = call(sys.executable, "-c", "import ziglang; print(ziglang.__path__[0] + '/zig')").strip()
    cmake = call(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    call(
        "cmake", "-S", ROOT, "-B", OBJECTS, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        "--toolchain", ROOT / "csrc" / "toolchains" / "zig.cmake", f"-DGEOLRM_ZIG={zig}",
        "-DGEOLRM_ZIG_TARGET=aarch64-linux-gnu.2.28", f"-Dpybind11_DIR={cmake}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )  # fmt: skip
    call("cmake", "--build", OBJECTS)
    shutil.rmtree(SITE / "geolrm", ignore_errors=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package, folder in project["tool"]["scikit-build"]["wheel"]["packages"].items():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, SITE / package, dirs_exist_ok=True, ignore=ignored)
    (built,) = (OBJECTS / "csrc").glob("_C*.so")  # named for the Python that compiled it
    shutil.copy(built, SITE / "geolrm" / f"_C.cpython-3{sys.version_info[1]}-aarch64-linux-gnu.so")


def fetch_python() -> None:
    """Unpack the distribution's Python for ARM, of this Python's version."""
    version = f"3.{sys.version_info[1]}"
    state, debs = PLACE / "apt", PLACE / "debs"
    for folder in (state / "lists" / "partial", debs, SYSTEM):
        folder.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = [
        f"-oDir::State={state}", f"-oDir::State::status={state}/status", f"-oDir::Cache={state}",
        "-oAPT::Architecture=arm64", "-oAPT::Architectures=arm64", "-oAPT::Sandbox::User=root",
    ]  # fmt: skip
    call("apt-get", *options, "update", "-qq")
    python = [
        f"python{version}-minimal",
        f"libpython{version}-minimal",
        f"libpython{version}-stdlib",
    ]
    call("apt-get", *options, "download", "-qq", *python, *DEBIAN, where=debs)
    for deb in debs.glob("*.deb"):
        call("dpkg", "-x", deb, SYSTEM)


def fetch_packages() -> None:
    """Unpack wheels for ARM, of the versions that constraints.txt pins."""
    wheels = PLACE / "wheels"
    python = f"3.{sys.version_info[1]}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels]
    pip += ["-c", ROOT / "constraints.txt"]
    tags = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64",
            "manylinux2014_aarch64")  # fmt: skip
    platforms = [word for tag in tags for word in ("--platform", tag)]
    call(*pip, "--only-binary", ":all:", *platforms, "--python-version", python, *NATIVE)
    call(*pip, *PURE)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(SITE)


def emulated(*words: object, count: bool = False) -> list[object]:
    """Return a command that runs Python for ARM."""
    plugin = ["-plugin", PLACE / "count.so"] if count else []
    python = SYSTEM / "usr" / "bin" / f"python3.{sys.version_info[1]}"
    return ["qemu-aarch64", *plugin, "-L", SYSTEM, python, *words]


def run_tests(*options: str) -> int:
    """Run tests of csrc in a copy, without the conftest.py that needs torch."""
    copy = PLACE / "tests"
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("csrc", "harness", "reference", "samples"):
        shutil.copytree(ROOT / "tests" / name, copy / "tests" / name)
    command = emulated(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib",
        "-o", "pythonpath=tests", "--rootdir", copy, "--confcutdir", "tests/csrc",
        "-k", "not emulated and not gpu", *options, *(f"tests/csrc/{name}" for name in TESTS),
    )  # fmt: skip
    return subprocess.run([str(w) for w in command], cwd=copy, env=variables()).returncode


def count_instructions() -> int:
    """Print a table of what one run of each kernel takes."""
    call("cc", "-shared", "-fPIC", "-O2", "-o", PLACE / "count.so", ROOT / "tests/arm/count.c")
    kernels = ROOT / "tests" / "arm" / "kernels.py"
    names = re.findall(r"^def (\w+)\(\):$", kernels.read_text(), re.M)
    print("| kernel | plain, instructions | NEON | plain over NEON |\n|---|--:|--:|--:|")
    for name in names:
        if name in ("scene", "sampling_arguments"):
            continue
        counts = {}
        for isa in ("plain", "neon"):
            few, many = (
                int(
                    re.search(
                        r"instructions (\d+)",
                        call(*emulated(kernels, name, isa, times, count=True), errors=True),
                    )[1]
                )
                for times in (FEW, MANY)
            )
            counts[isa] = (many - few) / (MANY - FEW)
        plain, neon = counts["plain"], counts["neon"]
        print(f"| {name} | {plain:,.0f} | {neon:,.0f} | {plain / neon:.2f} |", flush=True)
    return 0


def variables() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {
        "PYTHONPATH": str(SITE), "PYTHONHOME": str(SYSTEM / "usr"), "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def call(*command: object, where: Path = ROOT, errors: bool = False) -> str:
    words = [str(word) for word in command]
    env = variables() if words[0] == "qemu-aarch64" else None
    done = subprocess.run(words, cwd=where, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)[:300]}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stderr if errors else done.stdout


def main(what: str, *words: str) -> int:
    if shutil.which("qemu-aarch64") is None:
        raise SystemExit("qemu-aarch64 is not there; apt-get install qemu-user")
    prepare()
    if what == "test":
        return run_tests(*words)
    if what == "count":
        return count_instructions()
    command = emulated("-c", "from geolrm.commands import main; main()", what, *words)
    return subprocess.run([str(w) for w in command], env=variables()).returncode


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
