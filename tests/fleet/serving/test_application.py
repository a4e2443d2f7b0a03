"""The routes, over a real connection."""

import importlib.metadata
import json
import socket
import time

import pytest
from harness.served import assert_refused, client_of, events_of, send, serving
from samples.served_captures import box_files, box_form, box_zip, renamed_box, zipped

from geolrm import Gaussians, load_capture
from geolrm.engine.formats.splat_files import encode
from geolrm.fleet.serving.application import notes_of


@pytest.fixture(scope="module")
def scene(engine, tmp_path_factory):
    """What ``geolrm run`` makes of the same capture."""
    folder = tmp_path_factory.mktemp("box")
    for name, content in box_files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    capture = load_capture(folder)
    capture = capture.subset(capture.cameras.spread(4))
    return engine.run(capture.images, capture.cameras, refine_steps=0)


@pytest.mark.parametrize(
    ("accept", "suffix"),
    [("*/*", ".ply"), ("application/x-ply", ".ply"), ("application/x-spz", ".spz"),
     ("text/plain, model/gltf-binary;q=0.5", ".glb")],
)  # fmt: skip
def test_a_zip_becomes_splats_of_the_accepted_format(client, scene, accept, suffix):
    answer = send(client, box_zip(), accept)
    assert answer.status_code == 200, answer.text
    assert answer.content == encode(scene.gaussians, suffix)  # bit for bit
    assert answer.headers["X-GeoLRM-Gaussians"] == str(len(scene.gaussians))
    assert answer.headers["X-GeoLRM-Views"] == "4"
    stages = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    order = ["queue", "unpack", "read", "prepare", "encode", "propose", "select", "reconstruct",
             "write", "total"]  # fmt: skip
    assert list(stages) == order
    queue, *seconds = [float(value) for value in stages.values()]
    assert 0 < sum(seconds[:-1]) <= seconds[-1] * 1.01  # the total is that of the work
    assert 0 <= queue < seconds[-1]
    assert answer.headers["Content-Disposition"].endswith(f'filename="reconstruction{suffix}"')


def test_the_file_is_as_it_was_asked_for(client, scene):
    spz = send(client, box_zip(), "application/x-spz", spz_version=4, sh_degree=0)
    assert spz.content == encode(scene.gaussians, ".spz", spz_version=4, sh_degree=0)
    ply = send(client, box_zip(), sh_degree=3)
    assert ply.content == encode(scene.gaussians, ".ply", sh_degree=3)
    assert_refused(send(client, box_zip(), spz_version=4), 422,
                   "spz_version was given, but .ply files are no SPZ: leave it out")  # fmt: skip


def test_a_form_gives_the_same_bits_as_a_zip(client, scene):
    answer = client.post("/v1/reconstructions?refine_steps=0&views=4", files=box_form())
    assert answer.content == encode(scene.gaussians, ".ply")
    whole = {"capture": ("a.zip", box_zip(), "application/zip")}
    answer = client.post("/v1/reconstructions?refine_steps=0&views=4", files=whole)
    assert answer.content == encode(scene.gaussians, ".ply")


def test_options_reach_the_run(client, tmp_path):
    answer = send(client, box_zip(), views="3,1,0", max_tokens=5, selection="confident", seed=3)
    assert (answer.headers["X-GeoLRM-Views"], answer.headers["X-GeoLRM-Anchors"]) == ("3", "5")
    anchors = [[0.0, 0.0, 0.0], [0.25, 0.0, -0.25]]
    parts = [*box_form(), ("anchors", ("a.json", json.dumps(anchors), "application/json"))]
    answer = client.post("/v1/reconstructions?refine_steps=0&views=4", files=parts)
    assert answer.headers["X-GeoLRM-Anchors"] == "2"
    (tmp_path / "a.ply").write_bytes(answer.content)
    assert len(Gaussians.load(tmp_path / "a.ply")) == 8
    refined = send(client, box_zip(), refine_steps=2)
    assert "refine;dur=" in refined.headers["Server-Timing"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"quality": "good"}, "quality is 'good'; it must be 'fast', 'balanced', 'best', or"),
        ({"quality": "61", "refine_steps": None}, "quality is 61 s; this server gives a request 6"),
        ({"quality": "fast"}, "both quality, 'fast', and refine_steps, 0, were given"),
        ({"views": 9}, "--views is 9; this capture has 4 frames, so give 1 to 4"),
        ({"views": "a"}, "views is 'a': String should match pattern"),
        ({"seed": -1}, "seed is '-1': Input should be greater than or equal to 0"),
        ({"max_tokens": 1 << 20}, "max_tokens is 1048576; this bundle takes 1 to"),
        ({"nonsense": "\x1b[2J"}, r"nonsense is '\x1b[2J': Extra inputs are not permitted"),
    ],
)
def test_an_option_that_breaks_its_rule_is_one_sentence(client, query, sentence):
    query = {
        key: value for key, value in ({"refine_steps": 0} | query).items() if value is not None
    }
    headers = {"Content-Type": "application/zip"}
    answer = client.post("/v1/reconstructions", content=box_zip(), params=query, headers=headers)
    assert_refused(answer, 422, sentence)


def test_events_tell_stages_and_end_with_a_link(client, scene):
    answer = send(client, box_zip(), "text/event-stream", format="spz")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    (first, accepted), *stages, (last, done) = events_of(answer.text)
    assert (first, last) == ("accepted", "done")
    assert accepted["request_id"] == answer.headers["X-Request-Id"]
    assert [data["stage"] for _, data in stages] == [
        "unpack", "read", "prepare", "encode", "propose", "select", "reconstruct", "write",
    ]  # fmt: skip
    assert (done["gaussians"], done["format"]) == (len(scene.gaussians), "spz")
    assert done["valid_seconds"] == 3600
    for _ in range(2):
        fetched = client.get(done["link"])
        assert fetched.content == encode(scene.gaussians, ".spz")
    assert fetched.headers["Cache-Control"] == "no-store"
    other = client.get(done["link"][:-1] + "!")
    assert_refused(other, 404, "there is no such result, or its hour is over")


def test_events_tell_what_fails(client):
    answer = send(client, zipped({"a.txt": b"x"}), "text/event-stream")
    if answer.status_code == 200:  # it took longer than the moment that refusals have
        name, failed = events_of(answer.text)[-1]
        assert name == "failed" and failed["status"] == 422
        assert "is no capture" in failed["error"]
    else:
        assert_refused(answer, 422, "is no capture")


def test_a_page_of_a_result_is_in_an_origin_of_its_own(client):
    page = send(client, box_zip(), "text/html")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in page.headers["Content-Security-Policy"]
    assert page.text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nothing", 404, "there is nothing at this path"),
        ("GET", "/v1/reconstructions", 405, "this path is not asked with this method"),
        ("DELETE", "/", 405, "this path is not asked with this method"),
        ("POST", "/v1/reconstructions", 415, "the content type is ''; send a capture as"),
    ],
)
def test_what_there_is_not_is_one_sentence(client, method, path, status, sentence):
    assert_refused(client.request(method, path), status, sentence)


def test_what_is_not_accepted_is_refused_before_the_body(client):
    assert_refused(
        send(client, b"", "image/png"), 406,
        "nothing that the header Accept names is made here; ask for one of application/x-ply",
    )  # fmt: skip


def test_the_state_is_told(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    document = client.get("/openapi.json").json()
    assert document["info"]["version"] == importlib.metadata.version("geolrm")
    send(client, box_zip())
    figures = client.get("/metrics").text
    for line in (
        'geolrm_requests_total{outcome="done",route="/v1/reconstructions"} ',
        'geolrm_refusals_total{reason="content"} ',
        'geolrm_stage_seconds_count{stage="encode"} ',
        "geolrm_queue 0.0", "geolrm_anchors_count ", "process_resident_memory_bytes ",
    ):  # fmt: skip
        assert line in figures


def test_a_token_is_wanted_where_one_is_set(engine):
    token = "a token of 20 chars."
    with serving(engine, token) as address, client_of(address) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}):
            answer = client.post("/v1/reconstructions", headers=headers)
            assert_refused(answer, 401, "this server wants its token; send it as the header")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        assert [client.get(path).status_code for path in ("/", "/healthz", "/readyz")] == [200] * 3
        client.headers["Authorization"] = f"Bearer {token}"
        assert send(client, box_zip()).status_code == 200
        operation = client.get("/openapi.json").json()["paths"]["/v1/reconstructions"]["post"]
        assert operation["security"] == [{"token": []}]


def test_no_name_of_a_client_looks_anything_up(client):
    """Frames of paths that lead out of the capture are looked for in it."""
    names = ["/etc/passwd", "../../../../etc/hostname", "C:\\Windows\\win.ini", "rgb/3.png"]
    answer = send(client, renamed_box(names), views=1)
    assert answer.status_code == 200 and answer.headers["X-GeoLRM-Views"] == "1"
    (note,) = json.loads(answer.headers["X-GeoLRM-Notes"])
    assert note.startswith("3 of 4 listed images are missing and were left out: ")


def test_what_has_no_place_is_told_so_before_its_body_comes(engine):
    head = ("POST /v1/reconstructions?refine_steps=0 HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/zip\r\nContent-Length: 500000\r\n\r\n")  # fmt: skip
    with serving(engine, queue=0) as address, client_of(address) as client:
        place = client.base_url.host, client.base_url.port
        with socket.create_connection(place) as slow:
            slow.sendall(head.encode() + b"PK")  # a body that comes, and takes the one place
            deadline = time.monotonic() + 10
            while client.post("/v1/reconstructions", headers={"Content-Type": "application/zip"},
                              content=b"").status_code != 429:  # fmt: skip
                assert time.monotonic() < deadline
            with socket.create_connection(place, timeout=10) as other:
                other.sendall(head.encode())  # and none of the body
                answer = other.recv(65536)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 6" in answer.lower()  # 3 s for each before it, and its own
        deadline = time.monotonic() + 10
        while send(client, box_zip()).status_code != 200:  # the one that left makes room
            assert time.monotonic() < deadline


def test_notes_fit_in_a_header():
    assert json.loads(notes_of(["a", "b"])) == ["a", "b"]
    assert json.loads(notes_of(["x" * 900])) == ["x" * 300 + "..."]
    for notes in (["x" * 900] * 8, ["\u202e" * 900] * 8):
        text = notes_of(notes)
        assert len(text) <= 2048 and text.isascii() and json.loads(text)
