"""The real server in a thread of this process, on a port of its own."""

import contextlib
import threading
import time

import httpx

from geolrm.fleet.serving.logs import set_up_logs
from geolrm.fleet.serving.server import listen, make_server
from geolrm.fleet.serving.settings import Limits

SMALL = {
    "body_bytes": 2 << 20, "pixels": 1 << 20, "images": 24, "zip_entries": 60, "zip_ratio": 50.0,
    "unpacked_bytes": 4 << 20, "seconds": 60.0, "queue": 8, "live": 2,
}  # fmt: skip


@contextlib.contextmanager
def serving(engine, token=None, **limits):
    """Yield the address of a server with limits that a test can break."""
    set_up_logs("info")
    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = make_server(Limits(**(SMALL | limits)), engine, listening, token)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield address
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def send(client, capture, accept="application/x-ply", **query):
    """POST a zip file; the refinement is left out unless it is asked for."""
    query = {"refine_steps": 0, "views": 4} | query
    return client.post(
        "/v1/reconstructions", content=capture, params=query,
        headers={"Content-Type": "application/zip", "Accept": accept},
    )  # fmt: skip


def events_of(text):
    """(name, data) of each event of a stream."""
    import json

    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def assert_refused(response, status, sentence):
    """One sentence in JSON with the id that the header has, too."""
    body = response.json()
    assert (response.status_code, set(body)) == (status, {"error", "request_id"}), body
    assert sentence in body["error"], body
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Content-Type"] == "application/json"
    assert "Traceback" not in body["error"] and "/tmp" not in body["error"]


def client_of(address, **options):
    return httpx.Client(base_url=address, timeout=120, **options)
