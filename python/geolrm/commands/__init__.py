"""The command line: ``geolrm``, ``geolrm-export`` and ``geolrm-train``.

Heavy imports happen inside commands. The entry points answer Ctrl-C before the first of them.
"""

import io
import os
import signal
import sys
from typing import Any, NoReturn


def main() -> None:
    """Run ``geolrm``: its entry point."""
    _prepare()
    from geolrm.commands.main import main

    main()


def export_main() -> None:
    """Run ``geolrm-export``: its entry point."""
    _prepare()
    from geolrm.commands.export import main

    main()


def train_main() -> None:
    """Run ``geolrm-train``: its entry point."""
    _prepare()
    from geolrm.commands.train import main

    main()


def _prepare() -> None:
    r"""Answer Ctrl-C, and print ``\u0416`` where standard output lacks a letter.

    Below a pipe or a file, Windows gives it a code page of 256 letters.
    """
    signal.signal(signal.SIGINT, _leave)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _leave(*_: Any) -> NoReturn:
    """Leave at once: an exception could end amid an import, and be told as its failure."""
    sys.stderr.write("error: interrupted; no unfinished file was left\n")
    sys.stderr.flush()
    os._exit(130)
