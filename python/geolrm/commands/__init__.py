"""The command line: ``geolrm`` and ``geolrm-export``. Heavy imports happen inside commands."""

from geolrm.commands.main import main

__all__ = ["main"]
