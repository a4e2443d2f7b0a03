"""The child process that holds pycolmap: it does one job of matching.py or model_building.py.

It is a process of its own because pycolmap, imported before Pillow has first written a PNG, makes
each later one hang, and so that its memory and its crashes are not ours. It reads a job, one JSON
object a line, from standard input, and answers with JSON objects, one a line, on standard output.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from geolrm.engine.photographs.matching import extract, forget, match, strongest
from geolrm.engine.photographs.model_building import build, undistort


def main() -> None:
    """Do the one job of standard input; end at once when the parent does."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints is no answer

    def answer(**fields: Any) -> None:
        stream.write(json.dumps(fields) + "\n")
        stream.flush()

    try:
        result = JOBS[job.pop("job")](answer=answer, **job)
    except Exception as error:  # pybind11 raises what C++ throws
        answer(error=str(error).splitlines()[0][:200] if str(error) else type(error).__name__)
        return
    answer(result=result)


def _end_with_parent() -> None:
    sys.stdin.read()  # returns when the parent has closed the pipe, however it ended
    os._exit(1)


JOBS: dict[str, Callable[..., Any]] = {
    "extract": extract,
    "strongest": strongest,
    "forget": forget,
    "match": match,
    "build": build,
    "undistort": undistort,
}

if __name__ == "__main__":
    main()
