"""Install a wheel as a user does, where there is no compiler and no checkout, and use it.

python tests/wheel/try_wheel.py WHEEL [CONSTRAINTS]

Its steps: a new environment; the wheel's own contents; ``pip check``; ``geolrm demo``; ``geolrm
run`` on every bundled capture; and the tests that need the base package alone.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORBIDDEN = ("cc", "c++", "gcc", "g++", "clang", "clang++", "cl", "zig", "cmake", "ninja", "make")
TEST_TOOLS = ("pytest", "hypothesis")
# Those of the native core and of the package, which need neither torch nor an extra.
BASE_TESTS = (
    "test_mesh_rasterizer.py", "test_mesh_rasterizer_errors.py",
    "test_rasterizer_degenerate.py", "test_rasterizer_errors.py", "test_rasterizer_exact.py",
    "test_thread_pool.py",
)  # fmt: skip
NEEDED = ("csrc", "harness", "reference", "samples")  # folders of tests
WHERE = "import geolrm, geolrm._C; print(geolrm.__file__); print(geolrm._C.__file__)"


def main(wheel: Path, constraints: Path | None) -> None:
    """Go through the steps, and end with an exception at the first that fails."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environment = folder / "venv"
        venv.create(environment, with_pip=True)
        scripts = environment / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        variables = alone(scripts)

        def call(*command: object) -> str:
            print("$", *command, flush=True)
            done = subprocess.run(
                [str(word) for word in command], cwd=folder, env=variables, text=True,
                stdout=subprocess.PIPE,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(f"{done.stdout}\n{command[0]} failed ({done.returncode})")
            return done.stdout

        chosen = [] if constraints is None else ["-c", constraints]
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *chosen]
        call(*pip, "--only-binary", ":all:", wheel)
        call(python, "-m", "pip", "check", "--disable-pip-version-check")
        places = call(python, "-c", WHERE).split()
        if not all(Path(place).is_relative_to(environment) for place in places):
            raise SystemExit(f"the installed package is not what is imported: {places}")
        call(scripts / "geolrm", "demo", "-o", "out")
        if not (folder / "out" / "shoe.ply").stat().st_size > 1 << 16:
            raise SystemExit("geolrm demo wrote no splats")
        bundled = Path(places[0]).parent / "examples" / "captures"
        for capture in sorted(path for path in bundled.iterdir() if path.is_dir()):
            call(scripts / "geolrm", "run", capture, "-o", f"{capture.name}.spz")
        call(*pip, *TEST_TOOLS)
        for name in NEEDED:
            shutil.copytree(ROOT / "tests" / name, folder / "tests" / name)
        # Of conftest.py only that of the native core: the others make bundles, with torch.
        print(call(
            python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib",
            "-o", "pythonpath=tests", "--rootdir", folder, "--confcutdir", "tests/csrc",
            "-k", "not emulated",  # which compiles
            *(f"tests/csrc/{name}" for name in BASE_TESTS),
        ))  # fmt: skip


def alone(scripts: Path) -> dict[str, str]:
    """Return the variables of a shell that finds no compiler and nothing of a checkout."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "VIRTUAL_ENV", "CONDA", "GEOLRM"))
    }
    kept["PATH"] = str(scripts)
    for name in FORBIDDEN:
        if (found := shutil.which(name, path=kept["PATH"])) is not None:
            raise SystemExit(f"a compiler is on the PATH: {found}")
    return kept


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve() if sys.argv[2:] else None)
