"""``python -m geolrm.bench NAME``: the same as ``geolrm bench NAME``."""

from geolrm.bench.command import app
from geolrm.engine.system.exit_codes import one_sentence_errors

if __name__ == "__main__":
    with one_sentence_errors():
        app(prog_name="python -m geolrm.bench")
