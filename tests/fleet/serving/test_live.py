"""Live captures over a WebSocket: as engine.live(), whatever comes."""

import asyncio
import contextlib
import io
import json

import numpy as np
import pytest
from harness.served import serving
from PIL import Image
from samples.capture_files import FOV, box_cameras, box_photos
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from geolrm.engine.formats.splat_files import encode
from geolrm.fleet.serving import live
from geolrm.fleet.serving.jobs import LostSessionError, Made
from geolrm.fleet.serving.live import LiveSession, LiveView
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import Limits

CAMERAS = box_cameras(3)
PHOTOS = box_photos(CAMERAS)


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def opened(address, query="?refine_steps=0", **options):
    url = address.replace("http", "ws") + "/v1/live" + query
    with connect(url, max_size=None, open_timeout=30, **options) as socket:
        yield socket


def ask(socket, index, **fields):
    fields = {"pose": CAMERAS.c2w[index].tolist(), "fov": FOV} | fields
    socket.send(json.dumps(fields))
    socket.send(png(PHOTOS[index]))
    told = json.loads(socket.recv(60))
    return told, None if "error" in told else socket.recv(60)


def test_splats_come_back_after_each_view_as_from_a_live_engine(address, engine):
    capture = engine.live()
    with opened(address) as socket:
        assert len(socket.response.headers["X-Request-Id"]) == 16
        for index in range(3):
            told, content = ask(socket, index)
            capture.add(PHOTOS[index], CAMERAS.c2w[index], fov=FOV)
            scene = capture.run(refine_steps=0)
            assert content == encode(scene.gaussians, ".spz")  # bit for bit
            assert (told["views"], told["gaussians"]) == (index + 1, len(scene.gaussians))
            assert told["bytes"] == len(content) and told["seconds"]["encode"] > 0


def test_what_is_no_view_is_refused_and_the_capture_goes_on(address):
    with opened(address) as socket:
        first, content = ask(socket, 0)
        for send, status, sentence in (
            (lambda: socket.send(b"x"), 400, "a message of another kind was expected; send a view"),
            (lambda: socket.send("{"), 422, "Invalid JSON"),
            (lambda: socket.send('{"pose": [' + "1, " * 2000 + "1]}"), 413, "the text message of a "
             "view has 6,013 characters; it may have 4,096: send its pose, and fov or intrinsics"),
            (lambda: socket.send(json.dumps({"pose": [[1.0] * 5] * 4})), 422, "at most 4 items"),
            (lambda: socket.send('{"pose": [[1]]}'), 422, "pose is [[1]]: List should have"),
            (lambda: (socket.send(json.dumps({"pose": np.eye(4).tolist()})), socket.send("no")),
             400, "a message of another kind was expected"),
            (lambda: (socket.send(json.dumps({"pose": np.eye(4).tolist(), "fov": 50})),
                      socket.send(b"no image")), 422, "the view's image cannot be decoded"),
            (lambda: (socket.send(json.dumps({"pose": np.ones((4, 4)).tolist(), "fov": 50})),
                      socket.send(png(PHOTOS[1]))), 422, "pose"),
        ):  # fmt: skip
            send()
            told = json.loads(socket.recv(60))
            assert told["status"] == status and sentence in told["error"], told
            assert len(told["request_id"]) == 16
        second, _ = ask(socket, 1)
        assert (first["views"], second["views"]) == (1, 2)
    with opened(address) as socket:
        assert ask(socket, 0)[1] == content


def test_a_wrong_option_ends_it_with_a_sentence(address):
    with opened(address, "?seed=x") as socket:
        told = json.loads(socket.recv(60))
        assert told["error"].startswith("seed is 'x': Input should be a valid integer")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(60)
        assert closed.value.rcvd.code == 1008


def test_so_many_are_open_at_a_time(address):
    with opened(address) as one, opened(address) as two:
        ask(one, 0), ask(two, 0)
        with opened(address) as third:
            told = json.loads(third.recv(60))
            assert told["status"] == 429 and told["retry_after"] == 30
            assert told["error"].startswith("2 live captures are open, as many as this server")
    with opened(address) as socket:
        assert ask(socket, 0)[0]["views"] == 1


def test_a_silent_one_ends(address, monkeypatch):
    monkeypatch.setattr(live, "SILENCE", 0.1)
    with opened(address) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(60)
    assert closed.value.rcvd.code == 1001


def test_token_and_origin_are_asked_for_before_it_opens(engine):
    with serving(engine, "a token of 20 chars.") as address:
        for headers in ({}, {"Authorization": "Bearer no"}):
            with pytest.raises(InvalidStatus), opened(address, additional_headers=headers):
                pass
        right = {"Authorization": "Bearer a token of 20 chars."}
        with opened(address, additional_headers=right) as socket:
            assert ask(socket, 0)[0]["views"] == 1
        with (
            pytest.raises(InvalidStatus),
            opened(address, additional_headers=right, origin="http://evil.example"),
        ):
            pass


class Forgetful:
    """A pool whose engine is lost after each view."""

    def __init__(self):
        self.asked = []

    async def grow(self, step, tell):
        self.asked.append((step.start, len(step.views)))
        if step.start:
            raise LostSessionError
        return Made(b"", "spz", {}, 0, 0, len(step.views))

    async def forget(self, session):
        self.asked.append("forget")


def test_an_engine_that_is_lost_gets_all_views_again():
    async def scenario():
        pool = Forgetful()
        session = LiveSession(pool, {}, Limits(body_bytes=2500), "id")
        view = LiveView(bytes(1000), [], None, None)
        assert [(await session.add(view)).views for _ in range(2)] == [1, 2]
        with pytest.raises(Refusal, match="the views of this live capture are longer than the 2,5"):
            await session.add(view)
        await session.close()
        assert pool.asked == [(0, 1), (1, 1), (0, 2), "forget"]

    asyncio.run(scenario())
