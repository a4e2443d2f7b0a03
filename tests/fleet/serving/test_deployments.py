"""The same application under Ray Serve: bits, back pressure, and replicas that die under load."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from harness.processes import BIN
from harness.served import assert_refused, client_of, events_of, send
from samples.capture_files import FOV
from samples.served_captures import box_view, box_zip
from websockets.sync.client import connect

from geolrm.engine.formats.splat_files import encode

pytestmark = [  # about 40 s of CPU, most of it the start of Ray's processes
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]
PATIENCE = 180  # seconds


def replicas(name):
    """The processes of a deployment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
            kept = f"GEOLRM_TEST={os.getpid()}".encode() in (folder / "environ").read_bytes()
        except OSError:
            continue
        if kept and line.startswith(f"ray::ServeReplica:geolrm:{name}".encode()):
            found.append(int(folder.name))
    return sorted(found)


@pytest.fixture(scope="module")
def server(bundles, tmp_path_factory):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("ray") / "log"
    command = [
        BIN / "geolrm", "serve", "--ray", "--replicas", "2", "--cpus", "0.5", "--threads", "1",
        "--queue", "2", "--model", bundles["token"], "--port", str(port), "--time-limit", "120",
    ]  # fmt: skip
    own = {"GEOLRM_TEST": str(os.getpid()), "RAY_USAGE_STATS_ENABLED": "0"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env={**os.environ, **own})
    try:
        deadline = time.monotonic() + PATIENCE
        while '"event": "listening"' not in log.read_text(errors="replace"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(server):
    with client_of(server[1]) as opened:
        yield opened


def at_once(address, count, **query):
    """The answers of so many clients; those that are told to come again are in ``first``."""
    first, answers = [], []

    def ask():
        with client_of(address) as client:
            answer = send(client, box_zip(), **query)
            while answer.status_code in (429, 503):
                first.append(answer)
                time.sleep(min(int(answer.headers["Retry-After"]), 0.5))
                answer = send(client, box_zip(), **query)
            answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, first, answers


def test_it_answers_as_one_process_does(server, client, address):
    assert client.get("/readyz").json() == {"status": "ready"}
    with client_of(address) as alone:
        expected = send(alone, box_zip()).content
    assert send(client, box_zip()).content == expected
    answer = send(client, box_zip(), "text/event-stream")
    (_, accepted), *stages, (last, done) = events_of(answer.text)
    assert (last, accepted["request_id"]) == ("done", answer.headers["X-Request-Id"])
    assert [data["stage"] for _, data in stages][:2] == ["unpack", "read"]
    assert client.get(done["link"]).content == expected
    assert_refused(client.get("/v1/results/none"), 404, "there is no such result")
    assert_refused(send(client, b"x"), 422, "the zip file is no zip file that can be read")
    assert_refused(send(client, bytes(257 << 20)), 413, "the body is longer than the 256,000,000")


def test_what_does_not_fit_in_the_queue_is_told_to_come_again(server):
    threads, first, answers = at_once(server[1], 8, refine_steps=2)
    for thread in threads:
        thread.join()
    assert len({answer.content for answer in answers}) == 1 and len(answers) == 8
    assert {answer.status_code for answer in answers} == {200} and first
    for answer in first:
        assert_refused(answer, 429, "2 requests wait already, as many as this server lets wait")


def test_a_live_capture_goes_on_where_its_replica_died(server, engine):
    capture = engine.live()
    with connect(server[1].replace("http", "ws") + "/v1/live?refine_steps=0", max_size=None) as ws:
        for index in range(3):
            if index == 2:
                for process in replicas("Engines")[:1]:
                    os.kill(process, signal.SIGKILL)
            image, pose = box_view(index)
            while True:
                ws.send(json.dumps({"pose": pose, "fov": FOV}))
                ws.send(image)
                told = json.loads(ws.recv(PATIENCE))
                if told.get("status") != 503:  # the replica that died had it
                    break
                assert told["error"].startswith("the engine that worked on this request was lost")
            content = ws.recv(PATIENCE)
            from geolrm.fleet.serving.captures import decode_image
            from geolrm.fleet.serving.settings import Limits

            capture.add(decode_image(image, Limits()), pose, fov=FOV)
            assert content == encode(capture.run(refine_steps=0).gaussians, ".spz")
            assert told["views"] == index + 1


def test_a_replica_that_dies_under_load_costs_its_requests_one_repetition(server, client):
    deadline = time.monotonic() + PATIENCE
    while len(replicas("Engines")) < 2:  # the one of the test before is started again
        assert time.monotonic() < deadline
        time.sleep(0.2)
    expected = send(client, box_zip(), refine_steps=30).content
    threads, first, answers = at_once(server[1], 4, refine_steps=30)
    time.sleep(0.7)
    os.kill(replicas("Engines")[0], signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.content for answer in answers} == {expected}
    dead = [answer for answer in first if answer.status_code == 503]
    assert len(dead) == 1  # the one that it worked on
    assert_refused(dead[0], 503, "the engine that worked on this request was lost; repeat it, othe")


def test_sigterm_ends_all_of_it(server):
    process, address = server
    assert replicas("Front")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    deadline = time.monotonic() + 30
    while replicas(""):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with client_of(address) as client, pytest.raises(OSError):
        socket.create_connection((client.base_url.host, client.base_url.port), 1).close()
