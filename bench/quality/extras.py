"""Packages that the evaluation needs beyond those of the engine."""

import importlib.metadata

from geolrm.engine.errors import GeoLRMError

EXTRA_OF = {"scipy": "eval", "matplotlib": "eval", "torch": "lpips", "scikit-image": "mesh"}


def installed(package: str) -> bool:
    """Whether a package is there; nothing is imported."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def require(package: str, purpose: str) -> None:
    """Refuse in one sentence when a package of an extra is not installed."""
    if not installed(package):
        raise GeoLRMError(
            f"{purpose} needs {package}, which is not installed; run: "
            f"pip install 'geolrm[{EXTRA_OF[package]}]'"
        )
