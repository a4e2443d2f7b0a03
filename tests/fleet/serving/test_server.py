"""``geolrm serve`` as a process: how it starts, and how it ends."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest
import uvicorn
from harness.processes import BIN
from harness.served import client_of, send
from samples.served_captures import box_zip
from uvicorn.server import ServerState

from geolrm import BundleError, InputError
from geolrm.fleet.serving import server as serving_server
from geolrm.fleet.serving.server import Connection, is_loopback, listen, serve_here
from geolrm.fleet.serving.settings import make_settings


@contextlib.contextmanager
def process(*arguments, **environment):
    """Start it on any free port; yield the process, its address, and its lines so far."""
    command = [BIN / "geolrm", "serve", "--port", "0", *map(str, arguments)]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        lines = []
        for line in started.stderr:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "listening":
                break
        yield started, lines[-1]["url"], lines
    finally:
        started.kill()
        started.wait()


@pytest.mark.parametrize("refine", [60])
def test_sigterm_finishes_what_runs_and_takes_no_more(bundles, refine):
    arguments = ("--model", bundles["token"], "--threads", 1, "--queue", 2)
    with process(*arguments) as (server, address, lines), client_of(address) as client:
        assert [line["event"] for line in lines] == ["loaded", "listening"]
        assert send(client, box_zip()).status_code == 200
        answers = []

        def ask():
            with client_of(address) as own:
                answers.append(send(own, box_zip(), refine_steps=refine))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        while "geolrm_queue 1.0" not in client.get("/metrics").text:
            pass
        server.send_signal(signal.SIGTERM)
        rest = [json.loads(line) for line in server.stderr]
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]  # the one that waited, too
        assert server.wait(30) == 0
        assert [line["event"] for line in rest][-1] == "ended"
        with pytest.raises(OSError):
            socket.create_connection((client.base_url.host, client.base_url.port), 1).close()


def test_a_taken_port_is_one_sentence():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1 port {port}: Address al"):
            serve_here(make_settings(), "127.0.0.1", port)


@pytest.mark.parametrize("host", ["8.8.8.8", "no such host", "x" * 300])
def test_an_address_of_others_is_one_sentence(host):
    with pytest.raises(InputError, match="name a free --port, and a --host of this machine"):
        listen(host, 0)


def test_what_is_missing_is_one_sentence_before_anything_is_loaded(tmp_path, bundle_copy):
    with pytest.raises(InputError, match="the token file .* cannot be read: No such file or dir"):
        serve_here(make_settings(token_file=str(tmp_path / "none")), "127.0.0.1", 0)
    (bundle_copy / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(BundleError):
        serve_here(make_settings(model=str(bundle_copy)), "127.0.0.1", 0)


def test_loopback_is_told_from_what_others_reach():
    for host, own in (("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)):
        with listen(host, 0) as bound:
            assert is_loopback(bound.getsockname()[0]) is own


async def asked(app, body=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
    """Serve an app with our connections, and send it a request: a socket nobody reads yet."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
    config.load()
    made = await loop.create_server(
        lambda: Connection(config=config, server_state=ServerState(), app_state={}), "127.0.0.1", 0
    )
    client = socket.create_connection(made.sockets[0].getsockname())
    client.sendall(body)
    client.setblocking(False)
    return made, client


def test_a_client_that_does_not_read_its_answer_is_left(monkeypatch):
    monkeypatch.setattr(serving_server, "IDLE_SECONDS", 0.1)

    async def scenario():
        left = asyncio.Event()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(64):  # MB, more than sockets hold
                part = bytes(1 << 20)
                await send({"type": "http.response.body", "body": part, "more_body": True})
            left.set()

        made, client = await asked(app)
        await asyncio.wait_for(left.wait(), 20)
        client.close()
        made.close()

    asyncio.run(scenario())


def test_a_connection_too_many_is_one_sentence(monkeypatch):
    monkeypatch.setattr(serving_server, "CONNECTIONS", 0)

    async def scenario():
        made, client = await asked(None)
        answer = b""
        while part := await asyncio.get_running_loop().sock_recv(client, 65536):
            answer += part
        client.close()
        made.close()
        return answer.split(b"\r\n\r\n")

    head, body = asyncio.run(scenario())
    assert head.startswith(b"HTTP/1.1 503 ") and b"retry-after: 5" in head.lower()
    assert json.loads(body) == {
        "error": "512 connections are open, as many as this server takes; repeat the request after "
        "the seconds that Retry-After says",
        "request_id": None,
    }
