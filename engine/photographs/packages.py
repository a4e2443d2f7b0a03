"""What the extra ``[photos]`` brings: a package of it that is missing is a matter of the user's."""

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.extras import require


def need(package: str, purpose: str, instead: str = "") -> None:
    """Refuse photographs in one sentence when a package of ``[photos]`` is not installed.

    Raises:
        InputError: Names the package and the command that installs it.
    """
    try:
        require(package, purpose, extra="photos", instead=instead)
    except GeoLRMError as error:
        raise InputError(str(error)) from error
