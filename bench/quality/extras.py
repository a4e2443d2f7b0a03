"""Packages that the evaluation needs beyond those of the engine."""

import importlib.metadata

from geolrm.engine.errors import GeoLRMError

EXTRA_OF = {"scipy": "eval", "matplotlib": "eval", "torch": "lpips"}


def require(package: str, purpose: str) -> None:
    """Refuse in one sentence when a package of an extra is not installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise GeoLRMError(
            f"{purpose} needs {package}, which is not installed; run: "
            f"pip install 'geolrm[{EXTRA_OF[package]}]'"
        ) from error
