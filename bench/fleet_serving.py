"""Times, losses and memory of ``geolrm serve``: a part of ``geolrm bench fleet``.

A server of its own, in a process, is asked by many clients at once over real connections. What its
queue implies is a multiple of what it says itself that its runs took, so that both are of one run.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from geolrm import load_capture
from geolrm.bench.machine import best_seconds
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.chosen_views import LONGEST_SIDE, read_for_run
from geolrm.engine.errors import GeoLRMError
from geolrm.examples import capture_path
from geolrm.fleet.archives import extract_capture

CLIENTS, QUEUE, REQUESTS, OVERHEADS = 16, 8, 200, 20
MEMORY_REQUESTS = 500
RUN_STAGES = ("prepare", "encode", "propose", "select", "reconstruct", "refine")  # of Engine.run
QUERY = "/v1/reconstructions?refine_steps=0&max_tokens=256&seed={seed}"
GATES = {"p95 over implied": 1.3, "MB a request": 0.05, "overhead": 0.060}


@dataclass(slots=True)
class Answer:
    """One request, repeated until it was done."""

    request: int
    seconds: float  # of the last try
    stages: dict[str, float]  # seconds, as the server says
    refused: int  # tries before it
    memory: float  # MB of the server when it was done
    size: int  # bytes of the answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers."""

    status: int
    headers: dict[str, str]  # names and values in lower case
    body: bytes


@dataclass(slots=True)
class Load:
    """What many clients saw."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def capture_of_views(count: int = 6) -> bytes:
    """Pack so many views of 256 px of a bundled capture as a zip file."""
    folder = capture_path("banana")
    content = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    chosen = load_capture(folder).cameras.spread(count)
    content["frames"] = [content["frames"][index] for index in sorted(chosen)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("transforms.json", json.dumps(content))
        for frame in content["frames"]:
            found = next(folder.glob(f"{frame['file_path']}*"))
            archive.write(found, found.relative_to(folder).as_posix())
    return packed.getvalue()


@contextlib.contextmanager
def server(queue: int = QUEUE, model: str = "mini") -> Iterator[tuple[str, int, list[dict]]]:
    """Start a server; yield its address, its process's number, and its log, which grows."""
    command = [sys.executable, "-c", "from geolrm.commands import main; main()", "serve",
               "--port", "0", "--queue", str(queue), "--model", model]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[dict] = []
    address = threading.Event()

    def read() -> None:
        for line in process.stderr or ():
            lines.append(json.loads(line))
            if lines[-1]["event"] == "listening":
                address.set()
        address.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        address.wait()
        yield lines[-1]["url"], process.pid, lines
    finally:
        process.terminate()
        process.wait()
        reader.join()


async def ask(address: str, request: int, body: bytes, process: int) -> Answer:
    """Send one request, and repeat it as the server says until it is done."""
    refused = 0
    while True:
        start = time.perf_counter()
        headers = {"Content-Type": "application/zip", "X-Request-Id": f"{request}-{refused}"}
        reply = await post(address, QUERY.format(seed=request), body, headers)
        seconds = time.perf_counter() - start
        if reply.status == 429:
            refused += 1
            await asyncio.sleep(float(reply.headers["retry-after"]))
            continue
        if reply.status != 200:
            raise GeoLRMError(f"the server answered {reply.status}: {reply.body[:200]!r}")
        timing = reply.headers["server-timing"].split(", ")
        stages = {
            name: float(value) / 1e3
            for name, _, value in (each.partition(";dur=") for each in timing)
        }
        return Answer(request, seconds, stages, refused, memory_of(process), len(reply.body))


async def post(address: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    """POST over a connection of its own, and read the answer while the body is on its way."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
    try:
        headers |= {"Host": place.netloc, "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"POST {path} HTTP/1.1", *map(": ".join, headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        writer.write(body)
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        found = dict(line.lower().split(": ", 1) for line in rest if line)
        content = await reader.readexactly(int(found["content-length"]))
        return Reply(int(first.split()[1]), found, content)
    finally:
        writer.transport.abort()


def load(address: str, process: int, body: bytes, requests: int, clients: int = CLIENTS) -> Load:
    """Send so many requests from so many clients, each after its last is done.

    They are tasks of one thread, so that they take little of the processor from the server.
    """
    return asyncio.run(_load(address, process, body, requests, clients))


async def _load(address: str, process: int, body: bytes, requests: int, clients: int) -> Load:
    pending, found = iter(range(requests)), Load()

    async def client() -> None:
        for request in pending:  # each takes the next one that nobody has
            try:
                found.answers.append(await ask(address, request, body, process))
            except (GeoLRMError, OSError, asyncio.IncompleteReadError) as error:
                found.failures.append(f"{request}: {error}")

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds = time.perf_counter() - start
    return found


def memory_of(process: int) -> float:
    """Return the resident MB of a process; NaN where the system does not say."""
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return float("nan")
    line = next(
        line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1e3


def memory_slope(memory: list[float]) -> float:
    """Return MB a request, by least squares over all but the first fifth."""
    kept = np.asarray(memory[len(memory) // 5 :])
    return float(np.polyfit(np.arange(len(kept)), kept, 1)[0])


def looking_seconds(body: bytes, repeats: int = 5) -> float:
    """Return what looking at masks for doubts takes: a part of reading that is no decoding."""
    with tempfile.TemporaryDirectory() as made:
        root = extract_capture(io.BytesIO(body), Path(made))
        whole = best_seconds(lambda: read_for_run(root), repeats)
        return whole - best_seconds(lambda: read_capture(root, longest_side=LONGEST_SIDE), repeats)


def overhead(answer: Answer) -> float:
    """Return the seconds of a request beside Engine.run: HTTP, reading, encoding."""
    return answer.seconds - sum(answer.stages.get(stage, 0.0) for stage in RUN_STAGES)


def summary(found: Load, lines: list[dict], queue: int = QUEUE) -> dict[str, float]:
    """Sum up what clients saw beside what the server's log says."""
    done = Counter(
        line["request_id"].partition("-")[0]
        for line in lines
        if line["event"] == "request" and line["status"] == 200 and "stages" in line
    )
    asked = {str(answer.request) for answer in found.answers}
    seconds = [answer.seconds for answer in found.answers]
    service = float(np.mean([answer.stages["total"] for answer in found.answers]))
    implied = implied_seconds([answer.stages["total"] for answer in found.answers], queue)
    return {
        "requests": len(found.answers),
        "failed": len(found.failures),
        "lost": len(asked - set(done)),
        "answered twice": sum(count - 1 for count in done.values()),
        "refused at first": sum(answer.refused > 0 for answer in found.answers),
        "refusals": sum(answer.refused for answer in found.answers),
        "seconds": found.seconds,
        "service": service,
        "p50": float(np.percentile(seconds, 50)),
        "p95": float(np.percentile(seconds, 95)),
        "implied": float(np.mean(implied)),
        "p95 over implied": float(np.percentile(np.divide(seconds, implied), 95)),
    }


def implied_seconds(runs: list[float], queue: int) -> list[float]:
    """Return what a full queue implies for each request, in the order in which they were done.

    That is its own run and those before it: a machine that others use is now fast and now slow.
    """
    windows = [runs[max(index - queue, 0) : index + 1] for index in range(len(runs))]
    return [(queue + 1) * sum(window) / len(window) for window in windows]


def measure_serving(
    requests: int = REQUESTS, memory_requests: int = MEMORY_REQUESTS, alone: int = OVERHEADS
) -> dict[str, dict[str, float]]:
    """Measure a server: alone, then under load, then for memory."""
    body = capture_of_views()
    with server() as (address, process, lines):
        load(address, process, body, 1)  # warms up
        single = load(address, process, body, alone, clients=1).answers
        lines.clear()
        first = load(address, process, body, requests)
        time.sleep(1.0)  # the last line of the log comes after the last answer
        under = summary(first, lines)
        rest = load(address, process, body, max(memory_requests - requests, 0), clients=2)
    memory = [answer.memory for found in (first, rest) for answer in found.answers]
    overheads = [overhead(answer) for answer in single]
    stages = {
        name: float(np.median([answer.stages.get(name, 0.0) for answer in single]))
        for name in ("unpack", "read", *RUN_STAGES, "write", "total")
    }
    return {
        "alone": {
            "median": float(np.median([answer.seconds for answer in single])),
            "overhead": float(np.median(overheads)),
            "looking at masks": looking_seconds(body, 3),
            "overhead p95": float(np.percentile(overheads, 95)),
            **stages,
        },
        "under load": under,
        "memory": {
            "requests": len(memory),
            "failed": len(first.failures) + len(rest.failures),
            "first MB": memory[0],
            "last MB": memory[-1],
            "MB a request": memory_slope(memory),
        },
    }


def serving_rows(
    requests: int = REQUESTS, memory_requests: int = MEMORY_REQUESTS
) -> list[tuple[str, float, str, float | None]]:
    """Measure, and return what, how much, its unit, and the most that it may be."""
    return rows_of(measure_serving(requests, memory_requests))


def rows_of(found: dict[str, dict[str, float]]) -> list[tuple[str, float, str, float | None]]:
    """Return the rows of a table from what was measured."""
    alone, under, memory = found["alone"], found["under load"], found["memory"]
    count = f"{under['requests']:.0f} requests"
    return [
        (f"{count}, {CLIENTS} clients, queue of {QUEUE}: failed", under["failed"], "requests", 0),
        ("lost, or answered twice", under["lost"] + under["answered twice"], "requests", 0),
        ("told to come again at first", under["refused at first"], "requests", None),
        ("a run, under load", under["service"], "s", None),
        ("p95 of the accepted over what the queue implies", under["p95 over implied"], "x",
         GATES["p95 over implied"]),
        (f"memory over {memory['requests']:.0f} requests", memory["MB a request"], "MB a request",
         GATES["MB a request"]),
        ("HTTP, decoding, encoding beside Engine.run", 1e3 * alone["overhead"], "ms",
         1e3 * GATES["overhead"]),
        ("of that, looking at masks for doubts, as geolrm run", 1e3 * alone["looking at masks"],
         "ms", None),
    ]  # fmt: skip
