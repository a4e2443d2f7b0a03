"""Sizes, times and origins of requests, over sockets that a client of HTTP would not open."""

import json
import socket
import time
from urllib.parse import urlsplit

import pytest
from harness.served import assert_refused, client_of, send
from samples.served_captures import box_zip

from geolrm.fleet.serving import gate, server
from geolrm.fleet.serving.gate import check_origin
from geolrm.fleet.serving.refusals import Refusal

HEAD = (
    "POST /v1/reconstructions?refine_steps=0 HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: application/zip\r\n"
)


def talk(address, *parts, pause=0.0):
    """Send parts, then read until the server ends the connection or has answered."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=30) as opened:
        for part in parts:
            opened.sendall(part if isinstance(part, bytes) else part.encode())
            time.sleep(pause)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
            got = opened.recv(65536)
            if not got:
                break
            answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


def refusal(address, *parts, **options):
    head, body = talk(address, *parts, **options)
    content = json.loads(body)
    assert set(content) == {"error", "request_id"}
    return int(head.split()[1]), content["error"]


@pytest.fixture
def hasty(monkeypatch):
    """A server that waits a moment only."""
    monkeypatch.setattr(gate, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)


def test_a_body_is_refused_by_what_it_states_and_by_what_it_is(address, client):
    stated = refusal(address, HEAD + "Content-Length: 99999999\r\n\r\n")
    assert stated == (413, "the body is longer than the 2,097,152 bytes that this server takes; "
                      "send fewer or smaller images")  # fmt: skip
    assert_refused(send(client, bytes(3 << 20)), 413, "the body is longer than the 2,097,152 bytes")
    chunks = (bytes(1 << 16) for _ in range(40))
    assert_refused(send(client, chunks), 413, "the body is longer than the 2,097,152 bytes")
    assert send(client, box_zip()).status_code == 200


def test_a_slow_client_is_refused(address, hasty):
    status, sentence = refusal(address, HEAD + "Content-Length: 1000\r\n\r\nabc")
    assert (status, sentence) == (
        408, "nothing came for 0.2 s; send the request without such pauses",
    )  # fmt: skip


def test_a_client_that_never_asks_is_left(address, hasty):
    start = time.monotonic()
    assert talk(address) == ("", b"")
    assert talk(address, "GET /heal") == ("", b"")
    assert talk(address, "GET / HTTP/1.1\r\n", "Host: localhost\r\n", pause=0.15) == ("", b"")
    assert time.monotonic() - start < 5


def test_half_a_body_leaves_nothing(address, client):
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port)) as opened:
        opened.sendall(HEAD.encode() + b"Content-Length: 100000\r\n\r\n" + box_zip()[:5000])
    count = 'geolrm_requests_total{outcome="left",route="/v1/reconstructions"}'
    deadline = time.monotonic() + 10
    while count not in client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert send(client, box_zip()).status_code == 200


def test_a_refusal_reaches_a_client_that_still_sends(address):
    """It writes all of its body first, more than the system holds for it, as most libraries do."""
    place = urlsplit(address)
    body = b"a" * (12 << 20)
    head = HEAD + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port), 20) as opened:
        opened.sendall(head.encode())
        opened.sendall(body)
        answer = opened.makefile("rb").read(4000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body is longer than the 2,097,152 bytes that this server takes" in answer


def test_a_client_that_waits_to_go_on_is_refused_at_once(address):
    place = urlsplit(address)
    head = HEAD + "Connection: close\r\nContent-Length: 12000000\r\nExpect: 100-continue\r\n\r\n"
    start = time.monotonic()
    with socket.create_connection((place.hostname, place.port), 20) as opened:
        opened.sendall(head.encode())
        assert opened.makefile("rb").read(4000).startswith(b"HTTP/1.1 413 ")  # and it is closed
    assert time.monotonic() - start < 1


def test_huge_headers_are_refused(address, client):
    assert_refused(client.get("/", headers={"X-A": "a" * 17_000}), 431, "this server takes 16,384")
    status, sentence = refusal(address, "GET / HTTP/1.1\r\nX: ", *(["a" * 9000] * 2), pause=0.05)
    assert status == 400 and sentence.startswith("the request is no HTTP/1.1, or its headers are")


@pytest.mark.parametrize("text", ["\x00\x01\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9\r\n\r\n"])
def test_what_is_no_http_is_refused(address, text):
    status, sentence = refusal(address, text)
    assert status == 400 and "the request is no HTTP/1.1" in sentence


@pytest.mark.parametrize(
    ("headers", "loopback", "passes"),
    [
        ({"host": "localhost:8000"}, True, True),
        ({"host": "127.0.0.1"}, True, True),
        ({"host": "[::1]:8000", "origin": "http://[::1]:8000"}, True, True),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, True, True),
        ({"host": "localhost:8000", "origin": "http://localhost:9000"}, True, False),
        ({"host": "localhost:8000", "origin": "null"}, True, False),
        ({"host": "evil.example"}, True, False),  # a name that leads here
        ({"host": "[" * 9}, True, False),
        ({}, True, False),
        ({"host": "splats.example", "origin": "http://["}, False, False),
        ({"host": "splats.example"}, False, True),
        ({"host": "splats.example", "origin": "https://splats.example"}, False, True),
        ({"host": "splats.example", "origin": "https://evil.example"}, False, False),
    ],
)
def test_pages_of_others_ask_for_nothing(headers, loopback, passes):
    if passes:
        check_origin(headers, loopback)
        return
    with pytest.raises(Refusal, match="this server answers its own page and programs") as refused:
        check_origin(headers, loopback)
    assert refused.value.status == 403


def test_ids_are_kept_where_they_are_ids(address, capfd):
    with client_of(address) as client:
        kept = client.get("/healthz", headers={"X-Request-Id": "job-7.a"})
        assert kept.headers["X-Request-Id"] == "job-7.a"
        for odd in ("x" * 65, "a b", "<b>"):
            made = client.get("/healthz", headers={"X-Request-Id": odd}).headers["X-Request-Id"]
            assert len(made) == 16 and made.isalnum()


def test_every_request_is_one_line_of_the_log(engine, capsys):
    from harness.served import serving

    with serving(engine) as address, client_of(address) as client:
        answers = [client.get("/healthz"), client.get("/%1b%5B2J\u202e"), send(client, box_zip())]
        secret = client.get("/v1/results/very-secret")
    # Beside warnings of other packages, as of processes that Python forks.
    printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    lines = [line for line in map(json.loads, printed) if line["event"] == "request"]
    ids = [answer.headers["X-Request-Id"] for answer in [*answers, secret]]
    assert [line["request_id"] for line in lines] == ids
    assert [line["status"] for line in lines] == [200, 404, 200, 404]
    assert lines[1]["path"] == r"/\x1b[2J\u202e"
    assert lines[2]["stages"]["encode"] > 0 and lines[2]["views"] == 4
    assert lines[2]["bytes_in"] == len(box_zip())
    assert lines[2]["bytes_out"] == len(answers[2].content)
    assert "secret" not in json.dumps(lines[3])
