"""``python -m geolrm.bench NAME``: the same as ``geolrm bench NAME``."""

from geolrm.commands.bench import app
from geolrm.commands.console import one_sentence_errors

if __name__ == "__main__":
    with one_sentence_errors():
        app(prog_name="python -m geolrm.bench")
