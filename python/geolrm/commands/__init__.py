"""The command line: ``geolrm``, ``geolrm-export`` and ``geolrm-train``.

Heavy imports happen inside commands. The entry points answer Ctrl-C before the first of them.
"""

import os
import signal
import sys
from typing import Any, NoReturn


def main() -> None:
    """Entry point of ``geolrm``."""
    signal.signal(signal.SIGINT, _leave)
    from geolrm.commands.main import main

    main()


def export_main() -> None:
    """Entry point of ``geolrm-export``."""
    signal.signal(signal.SIGINT, _leave)
    from geolrm.commands.export import main

    main()


def train_main() -> None:
    """Entry point of ``geolrm-train``."""
    signal.signal(signal.SIGINT, _leave)
    from geolrm.commands.train import main

    main()


def _leave(*_: Any) -> NoReturn:
    """At once: an exception could end in the middle of an import, and be told as its failure."""
    sys.stderr.write("error: interrupted; no unfinished file was left\n")
    sys.stderr.flush()
    os._exit(130)
