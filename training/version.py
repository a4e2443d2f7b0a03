"""The versions of the code and libraries that a run was made with."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from geolrm import _C
from geolrm.training.precision import reduces


def code_version() -> dict[str, str]:
    """Return the versions of package, commit (where there is one), libraries and machine."""
    folder = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "geolrm": importlib.metadata.version("geolrm"),
        "commit": commit,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "isa": _C.best_isa(),
        "bf16": str(reduces("auto", torch.device("cpu"))),
    }
