"""Compile the native core for other machines with zig, run what can run here, compare the results.

    python tests/cross/cross.py            everything: the extension and the stress programs
    python tests/cross/cross.py --quick    what continuous integration has time for
    python tests/cross/cross.py --only windows

Linux on 64-bit ARM runs under qemu-user, Windows under wine (64-bit; one of them missing is an
error); macOS on ARM is compiled and linked only. Warnings are errors. The stress programs of
tests/csrc write their results, which are held against those of this machine's own build.

The extension for Windows is linked against a library made of CPython's own headers
(windows_python.py), for the two others compiled with this Python's headers: types have the same
sizes there. No Python for those systems is here to import it.

--quick compiles and runs the stress programs for ARM; for the other two it compiles the core,
without optimising or linking. It leaves the extension out.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from compare_results import Results, compare, read
from windows_python import windows_python

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "cross"
STRESSES = ("mesh_stress", "threads_stress", "raster_stress")
TARGETS = {
    "linux": "aarch64-linux-musl",  # needs no library of that system to run
    "windows": "x86_64-windows-gnu",
    "macos": "aarch64-macos.14.0",
}
LIBRARIES = re.compile(r"KERNEL32\.dll|api-ms-win-crt-[\w-]+\.dll|python3\d+\.dll|_C.*", re.I)
WINE = "/usr/lib/wine/wine64"  # Debian's `wine` asks for the 32-bit one


def call(*command: object, where: Path = ROOT, **variables: str) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=where, env=os.environ | variables, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)[:400]}\n{done.stdout[-6000:]}{done.stderr[-6000:]}")
    return done.stdout


def configure(name: str, *options: object, place: Path | None = None) -> Path:
    """Return the build folder of a target, or of this machine as "native"."""
    build = place or PLACE / name
    words: list[object] = [
        "cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        "-DGEOLRM_STRESS=ON", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
    ]  # fmt: skip
    if name != "native":
        words += [
            "--toolchain", ROOT / "csrc" / "toolchains" / "zig.cmake", f"-DGEOLRM_ZIG={zig()}",
            f"-DGEOLRM_ZIG_TARGET={TARGETS[name]}", "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON",
        ]  # fmt: skip
    call(*words, *options)
    return build


def zig() -> str:
    return call(sys.executable, "-c", "import ziglang; print(ziglang.__path__[0] + '/zig')").strip()


def extension_options(name: str) -> list[str]:
    """Return what CMake must know to compile the extension for a target."""
    cmake = call(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    options = [f"-Dpybind11_DIR={cmake}", f"-DPython_EXECUTABLE={sys.executable}"]
    if name == "windows":
        include, library = windows_python(PLACE / "python", zig())
        options += [f"-DPython_INCLUDE_DIR={include}", f"-DPython_LIBRARY={library}"]
    return options


def compile_and_run(name: str, native: dict[str, Results], extension: bool) -> None:
    """Compile and link everything for a target, run it, and compare."""
    options = extension_options(name) if extension else ["-DGEOLRM_EXTENSION=OFF"]
    build = configure(name, *options)
    call("cmake", "--build", build)
    print(f"compiled and linked{', the extension too' if extension else ''}", flush=True)
    if name == "windows" and extension:
        check_libraries(next((build / "csrc").glob("_C*.so")))
    if name == "macos":
        return
    for stress in STRESSES:
        print("\n".join(compare(native[stress], run(name, build, stress))), flush=True)


def check_libraries(module: Path) -> None:
    """Refuse a module of Windows that needs more than the system and Python have."""
    names = {name.decode() for name in re.findall(rb"[\w.-]+\.dll", module.read_bytes())}
    foreign = {name for name in names if not LIBRARIES.fullmatch(name)}
    if foreign or not names:
        raise SystemExit(f"{module.name} needs {', '.join(sorted(foreign)) or 'no library'}")


def run(name: str, build: Path, stress: str) -> Results:
    """Run a stress program, print what it says, and return what it wrote."""
    program, out = build / "tests" / "csrc" / stress, build / f"{stress}.results"
    out.unlink(missing_ok=True)
    if name == "linux":
        said = call("qemu-aarch64", program, out)
    elif name == "windows":
        variables = {"WINEPREFIX": str(PLACE / "wine"), "WINEDEBUG": "-all"}
        said = call(wine(), f"{program}.exe", out.name, where=build, **variables)
    else:
        said = call(program, out)
    print(said, end="", flush=True)
    return read(out)


def wine() -> str | None:
    return WINE if Path(WINE).exists() else shutil.which("wine64")


def check_sources(name: str) -> None:
    """Compile the core for a target without optimising or linking, which take longest."""
    options = ["-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY", "-DGEOLRM_EXTENSION=OFF"]
    build = configure(name, *options, place=PLACE / f"{name}-quick")
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))

    def check(entry: dict[str, str]) -> None:
        words = entry["command"].split()
        at = words.index("-o") + 1
        words[at] = str(build / "checked" / words[at].replace("/", "_"))
        call(*words, "-O0", "-Werror", where=Path(entry["directory"]))

    (build / "checked").mkdir(exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(check, entries))
    print(f"{len(entries)} sources have no errors and no warnings", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=TARGETS)
    options = parser.parse_args()
    names = [options.only] if options.only else [*TARGETS]
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        raise SystemExit("cmake or ninja is not there; apt-get install cmake ninja-build")
    if "linux" in names and shutil.which("qemu-aarch64") is None:
        raise SystemExit("qemu-aarch64 is not there; apt-get install qemu-user")
    if "windows" in names and not options.quick and wine() is None:
        raise SystemExit("wine64 is not there; apt-get install wine64 wine")
    build = configure("native", "-DGEOLRM_EXTENSION=OFF")
    call("cmake", "--build", build)
    native = {stress: run("native", build, stress) for stress in STRESSES}
    for name in names:
        start = monotonic()
        print(f"== {TARGETS[name]}", flush=True)
        if options.quick and name != "linux":
            check_sources(name)
        else:
            compile_and_run(name, native, extension=not options.quick)
        print(f"{monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
