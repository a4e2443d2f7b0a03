"""The command line: ``geolrm``, ``geolrm-export`` and ``geolrm-train``.

Heavy imports happen inside commands. The entry points answer Ctrl-C before the first of them.
"""

import os
import signal
import sys
from typing import Any, NoReturn


def main() -> None:
    """Run ``geolrm``: its entry point."""
    signal.signal(signal.SIGINT, _leave)
    from geolrm.commands.main import main

    main()


def export_main() -> None:
    """Run ``geolrm-export``: its entry point."""
    signal.signal(signal.SIGINT, _leave)
    from geolrm.commands.export import main

    main()


def train_main() -> None:
    """Run ``geolrm-train``: its entry point."""
    signal.signal(signal.SIGINT, _leave)
    from geolrm.commands.train import main

    main()


def _leave(*_: Any) -> NoReturn:
    """Leave at once: an exception could end amid an import, and be told as its failure."""
    sys.stderr.write("error: interrupted; no unfinished file was left\n")
    sys.stderr.flush()
    os._exit(130)
