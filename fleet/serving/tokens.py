"""The bearer token of a server: read once, compared in constant time."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import error_text
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import TOKEN_VARIABLE

SHORTEST = 16  # characters; shorter ones can be guessed
MOST_BYTES = 4096


def read_token(
    file: str | Path | None, environment: Mapping[str, str], required: bool = False
) -> str | None:
    """Read the token of a file, or else of the environment; None: none is asked for.

    Raises:
        InputError: The file cannot be read, what is there is no token, or there is none and one is
            ``required``.
    """
    if file is None:
        text, source = environment.get(TOKEN_VARIABLE), f"the variable {TOKEN_VARIABLE}"
        if text is None and required:
            raise InputError(
                f"there is no token, and --require-token asks for one; set {TOKEN_VARIABLE}, or "
                "give --token-file"
            )
        if text is None:
            return None
    else:
        source = f"the token file {str(file)!r}"
        try:
            with Path(file).open("rb") as opened:
                text = opened.read(MOST_BYTES + 1).decode("ascii")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{source} cannot be read: {error_text(error)}; name a text file with the token"
            ) from error
    token = text.strip()
    if not SHORTEST <= len(token) <= MOST_BYTES or not token.isascii() or not token.isprintable():
        raise InputError(
            f"{source} holds {len(token)} characters; a token has {SHORTEST} to {MOST_BYTES} "
            "printable ones: make one with openssl rand -hex 32"
        )
    return token


def check_token(token: str, authorization: str | None) -> None:
    """Refuse a request whose header does not carry the token.

    Raises:
        Refusal: Of status 401.
    """
    scheme, _, given = (authorization or "").partition(" ")
    same = hmac.compare_digest(_digest(given.strip()), _digest(token))
    if scheme.lower() != "bearer" or not same:
        raise Refusal(
            401, "this server wants its token; send it as the header Authorization: Bearer TOKEN"
        )


def _digest(text: str) -> bytes:
    """Hash a token, so that not even its length shows in the time of a comparison."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
