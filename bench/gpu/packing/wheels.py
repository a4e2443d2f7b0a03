"""Packages for a machine without network: downloaded or built, unpacked without their ballast."""

import fnmatch
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.extras import installed_version

PYTHON = "3.12"  # of the machine
CHECKOUT = Path(__file__).resolve().parents[3]
# What torch's own packages do not bring, in the versions that are installed here.
PACKAGES = ("backports.zstd", "cuda-bindings", "cuda-core", "cuda-pathfinder", "msgspec")
RUNTIME = "onnxruntime-gpu"
FOR_THE_LOG = ("numpy",)  # the machine has it; here the launch log needs it
LEFT_OUT = (
    "*.cpp", "*.pyx", "*.pxd", "*.pxi", "*.h",
    "cuda/core/cu12/*",
    "onnxruntime/capi/libonnxruntime.so*", "onnxruntime/capi/*tensorrt*",
    "onnxruntime/transformers/*", "onnxruntime/tools/*", "onnxruntime/quantization/*",
    "onnxruntime/datasets/*", "onnxruntime/ThirdPartyNotices.txt",
)  # fmt: skip
OURS = ("geolrm/_C.*", "geolrm-*.dist-info/*")  # the rest is the checkout's


def find_python(given: str | None = None) -> str:
    """Return an interpreter of the machine's version.

    Raises:
        GeoLRMError: There is none, or the given one is another.
    """
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{PYTHON}.*/bin/python"))
    candidates = [given] if given else [shutil.which(f"python{PYTHON}"), *map(str, pyenv)]
    for candidate in filter(None, candidates):
        if _version_of(candidate) == PYTHON:
            return candidate
    found = f"{given!r} is no Python {PYTHON}" if given else f"no Python {PYTHON} is here"
    raise GeoLRMError(f"{found}; the packed extension is for it: name one with --python")


def _version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def requirements() -> list[str]:
    """List what to download, with the versions of this environment.

    Raises:
        GeoLRMError: One of them is not installed here.
    """
    versions = {name: installed_version(name) for name in (*PACKAGES, *FOR_THE_LOG)}
    versions[RUNTIME] = installed_version(RUNTIME) or installed_version("onnxruntime")
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        raise GeoLRMError(f"{' and '.join(missing)} missing; run: pip install 'geolrm[gpu,export]'")
    return [f"{name}=={version}" for name, version in versions.items()]


def fetch(python: str, folder: Path) -> None:
    """Download the wheels, and build this checkout's; those that are there are not made again.

    Raises:
        GeoLRMError: pip fails; with the end of what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    download = ["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    _pip(python, [*download, "--find-links", str(folder), *requirements()])
    for older in folder.glob("geolrm-*.whl"):
        older.unlink()
    _pip(python, ["wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)])


def _pip(python: str, arguments: Sequence[str]) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        told = " ".join(done.stdout.split())[-400:]
        raise GeoLRMError(f"pip {arguments[0]} fails for {python}: {told}")


def unpack(wheels: Path, site: Path, log_site: Path) -> None:
    """Unpack every wheel: into ``site`` what is packed, into ``log_site`` what the log needs."""
    for wheel in sorted(wheels.glob("*.whl")):
        name = wheel.name.partition("-")[0].replace("_", "-")
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            if name in (*FOR_THE_LOG, RUNTIME):
                archive.extractall(log_site)
            if name in FOR_THE_LOG:
                continue
            archive.extractall(site, [each for each in names if kept(each)])


def kept(name: str) -> bool:
    """Whether a file of a wheel is packed."""
    if name.startswith("geolrm"):
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in OURS)
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT)
