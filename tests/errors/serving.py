"""geolrm serve: how it is started, and what requests are refused for."""

import asyncio
import errno
import io
import time
from types import SimpleNamespace

from errors.case import Case, without
from PIL import Image
from samples.served_captures import box_files, box_zip, zipped
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from geolrm.commands.serve import parse_replicas, serve
from geolrm.fleet.serving import captures, formats, gate, live, ray_server, results, uploads
from geolrm.fleet.serving.application import make_app
from geolrm.fleet.serving.fields import ReconstructionFields, parse_run_fields
from geolrm.fleet.serving.jobs import Job, LiveStep, LiveView
from geolrm.fleet.serving.local_pool import LocalPool
from geolrm.fleet.serving.logs import set_up_logs
from geolrm.fleet.serving.reconstruction import Reconstructor
from geolrm.fleet.serving.refusals import Refusal, check_seconds, lost, refusal_of
from geolrm.fleet.serving.replicas import RayPool, refused_event, value_of
from geolrm.fleet.serving.server import listen
from geolrm.fleet.serving.settings import Limits, make_settings
from geolrm.fleet.serving.tokens import check_token, read_token

FEW = Limits(pixels=1 << 12, images=3, body_bytes=1 << 10)


def call(path, **parts):
    """What a route raises, before it is made an answer."""

    def trigger(place):
        app = make_app(**({"pool": None, "results": None, "limits": Limits()} | parts))
        (route,) = [r for r in app.routes if getattr(r, "path", None) == path]
        asyncio.run(route.endpoint(**({"name": "x"} if "{name}" in path else {})))

    return trigger


async def nothing(*_):
    return None


def taken(place):
    with listen("127.0.0.1", 0) as bound:
        listen("127.0.0.1", bound.getsockname()[1])


def token_of(place, text):
    (place.tmp / "token").write_text(text)
    return read_token(place.tmp / "token", {})


def request(body=b"", content_type="application/zip"):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "app": None, "method": "POST", "headers": headers}, receive)


def received(*arguments):
    async def read():
        async with uploads.received(request(*arguments), Limits()):
            pass

    return lambda place: asyncio.run(read())


def form(*parts, limits=FEW):
    made = [(key, UploadFile(io.BytesIO(value), filename="a.png") if isinstance(value, bytes)
             else value) for key, value in parts]  # fmt: skip
    return lambda place: uploads.capture_of(FormData(made), io.BytesIO(), limits)


def passing(headers=(), limits=FEW, receive=nothing):
    scope = {"type": "http", "headers": list(headers)}
    return gate._Passing(scope, receive, nothing, limits)


def slow(place):
    place.patch.setattr(gate, "IDLE_SECONDS", 0.01)
    asyncio.run(passing(receive=lambda: asyncio.sleep(9)).receive())


def unpacked(place, content):
    (place.tmp / "in").mkdir()
    return captures.unpack(io.BytesIO(content), place.tmp / "in", FEW)


def photographs(place):
    for index in range(3):
        Image.new("RGB", (32, 32)).save(place.tmp / f"{index}.png")
    without("pycolmap", lambda _: captures.pose_where_needed(
        place.tmp, place.tmp, 0, 1, lambda title: None))(place)  # fmt: skip


def socket(*messages, state=None):
    pending = list(messages)

    async def receive():
        return pending.pop(0)

    return SimpleNamespace(receive=receive)


def view_of(*messages):
    return lambda place: asyncio.run(live._next_view(socket(*messages), Limits()))


async def add_long(size):
    session = live.LiveSession(None, {}, FEW, "id")
    await session.add(LiveView(bytes(size), [], None, None))


def too_many_live(place):
    class Socket(SimpleNamespace):
        async def accept(self):
            pass

        async def close(self, code):
            pass

    place.patch.setattr(live, "_say_refused", _raise)
    metrics = SimpleNamespace(opened_live=lambda: 1, closed_live=lambda: None)
    given = Socket(state=SimpleNamespace(request_id="id", facts={}), query_params={})
    asyncio.run(live.serve_live(given, None, Limits(live=0), metrics))


async def _raise(websocket, error, request_id):
    raise error


class Busy:
    """A reconstructor that never ends by itself."""

    def __init__(self, **limits):
        self.limits = Limits(**limits)

    def reconstruct(self, job, tell, left):
        left.wait(30)


def job(content, seconds=60.0):
    return Job(content, "spz", {"refine_steps": 0}, "4", time.time() + seconds, "id")


def pooled(place, count, seconds, **limits):
    async def run():
        pool = LocalPool(Busy(**limits))
        try:
            await asyncio.gather(
                *(pool.reconstruct(job(b"", seconds), lambda stage: None) for _ in range(count))
            )
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    place.patch.setattr("geolrm.fleet.serving.local_pool.GRACE", 0.0)
    asyncio.run(run())


def worked(place, method, work):
    import threading

    reconstructor = Reconstructor(place.engine(), Limits())
    getattr(reconstructor, method)(work, lambda stage: None, threading.Event())


def grown(place):
    step = LiveStep("a", 0, [LiveView(b"x", [], None, 50.0)], {"refine_steps": 0},
                    time.time() + 60, "id")  # fmt: skip
    return worked(place, "grow", step)


def no_room(place):
    async def keep():
        kept = results.ResultsOnDisk(1)
        try:
            await kept.keep(b"ab", "ply")
        finally:
            kept.close()

    asyncio.run(keep())


def on_ray(place, init=None, run=None):
    """A cluster that is none."""
    import ray
    from ray import serve

    from geolrm.fleet import app

    def raising(error):
        def call(*_, **__):
            if error is not None:
                raise error

        return call

    place.patch.setattr(ray, "init", raising(init))
    place.patch.setattr(ray, "shutdown", raising(None))
    place.patch.setattr(serve, "start", raising(None))
    place.patch.setattr(serve, "run", raising(run))
    place.patch.setattr(app, "app", lambda settings: None)
    place.patch.setattr("signal.signal", lambda *_: None)
    ray_server.serve_on_ray(make_settings(), "127.0.0.1", 0, "ray://nowhere" if init else None)


def full_queues(place):
    try:
        RayPool(None, Limits(queue=0)).check_room(1)
    except Refusal:
        return pooled(place, 2, 60.0, queue=0)


def full_disk(place):
    raise refusal_of(OSError(errno.ENOSPC, "No space left on device"))


ORDER = "; send a view as a text message with its pose, and then a binary message with its image"
CASES = [
    Case("geolrm serve needs fastapi, which is not installed; run: pip install 'geolrm[fleet]'",
         "An extra.", without("fastapi", lambda place: serve())),
    Case("--address was given without --ray; give both, or neither",
         "Of geolrm serve; --replicas, --cpus and --gpus alike.",
         lambda place: serve(address="auto")),
    Case("device is 1 and gpus is 1: Ray shows each engine the GPUs that it reserves for it alone, "
         "the first of which is device 0; leave device out", "Of geolrm serve --ray.",
         lambda place: make_settings(device=1, gpus=1)),
    Case("there is no token, and --require-token asks for one; set GEOLRM_TOKEN, or give "
         "--token-file", "Of geolrm serve; the container asks for one.",
         lambda place: read_token(None, {}, required=True)),
    Case("--replicas is …; give a number such as 2, or a range such as 1:8", "Of geolrm serve.",
         lambda place: parse_replicas("0")),
    Case("--log-level is …; it must be one of debug, info, warning, error", "Of geolrm serve.",
         lambda place: set_up_logs("loud")),
    Case("limits.seconds is 0: Input should be greater than 0; change it",
         "A field of the settings; others alike.",
         lambda place: make_settings(limits={"seconds": 0})),
    Case("max_replicas is 1, less than the 2 of min_replicas; give at least as many",
         "Of serve run.", lambda place: make_settings(min_replicas=2)),
    Case("the token file … cannot be read: …; name a text file with the token",
         "Of geolrm serve --token-file.", lambda place: read_token(place.tmp / "none", {})),
    Case("the token file … holds 5 characters; a token has 16 to 4096 printable ones: make one "
         "with openssl rand -hex 32", "Or the variable GEOLRM_TOKEN.",
         lambda place: token_of(place, "short")),
    Case("cannot listen on … port …: …; name a free --port, and a --host of this machine",
         "Something else listens there, or the address is of another machine.", taken),
    Case("the Ray cluster … cannot be reached: …; start it, or leave --address out",
         "Of geolrm serve --ray.", lambda place: on_ray(place, init=ConnectionError("no"))),
    Case("an engine does not start under Ray: …; its log says why", "Of geolrm serve --ray.",
         lambda place: on_ray(place, run=RuntimeError("no"))),
    "Any request",
    Case("this server wants its token; send it as the header Authorization: Bearer TOKEN", "401.",
         lambda place: check_token("0123456789abcdef", None)),
    Case("the request is for or from …; this server answers its own page and programs alone, by "
         "its own name", "403: a page of another site asked; or a server for this machine alone "
         "was asked by a name that others give it.",
         lambda place: gate.check_origin({"origin": "http://a", "host": "b"}, False)),
    Case("there is no such result, or its hour is over; reconstruct the capture again", "404.",
         call("/v1/results/{name}", results=SimpleNamespace(find=nothing))),
    Case("nothing that the header Accept names is made here; ask for one of …", "406.",
         lambda place: formats.negotiate("image/png")),
    Case("nothing came for … s; send the request without such pauses", "408.", slow),
    Case("the body is longer than the … bytes that this server takes; send fewer or smaller "
         "images", "413; geolrm serve --max-body.",
         lambda place: passing([(b"content-length", b"9999")]).check_lengths()),
    Case("the content type is …; send a capture as application/zip, or as multipart/form-data",
         "415.", received(b"", "text/plain")),
    Case("seed is 'x': Input should be …", "422: an option; others alike.",
         lambda place: parse_run_fields({"seed": "x"})),
    Case("sh_degree was given, but a page is no splat file: leave it out",
         "422; spz_version alike.",
         lambda place: ReconstructionFields(sh_degree=3).file_options("html")),
    Case("… requests wait already, as many as this server lets wait; repeat this one after the "
         "seconds that Retry-After says", "429; geolrm serve --queue.",
         full_queues),
    Case("the headers have … bytes; this server takes …: send fewer", "431.",
         lambda place: passing([(b"x", bytes(20_000))]).check_lengths()),
    Case("the server's disk is full; repeat the request later", "503.", full_disk),
    Case("no engine is ready; ask again", "503, of /readyz.",
         call("/readyz", pool=SimpleNamespace(ready=nothing))),
    Case("the engine that worked on this request was lost; repeat it, others go on",
         "503: a replica under Ray died.", lambda place: value_of(refused_event(lost()))),
    Case("the request took longer than the … s that this server gives one; send fewer views, or "
         "ask for less quality", "504; geolrm serve --time-limit.",
         lambda place: pooled(place, 1, 0.01)),
    "Captures that are sent",
    Case("the form cannot be read: …; send the part 'capture' with a zip file, or …", "400.",
         received(b"", "multipart/form-data")),
    Case("the form has other parts than are read; send the part 'capture' with a zip file, or …",
         "400.", form(("other", b""))),
    Case("the part 'transforms' is no JSON object; send …", "400.",
         form(("images", b""), ("transforms", "[]"))),
    Case("the part … must be there once, as JSON of at most … bytes", "400.",
         form(("images", b""), ("transforms", "{"))),
    Case("the form has 4 images; this server takes 3: send fewer", "413; geolrm serve "
         "--max-images.", form(*[("images", b"")] * 4)),
    Case("the form has … parts that … may mean; give their names the folders that tell them apart",
         "400: parts of one name.", lambda place: uploads.rename_frames(
             {"frames": [{"file_path": "a/0.png"}]}, ["0.png"] * 2, ["0", "1"])),
    Case("a part of the form may mean … and …; give its name the folder that tells them apart",
         "400: frames of one name in two folders.", lambda place: uploads.rename_frames(
             {"frames": [{"file_path": "a/0.png"}, {"file_path": "b/0.png"}]}, ["0.png"], ["0"])),
    Case("the capture has 4 images and masks; this server takes 3: leave some out",
         "422; geolrm serve --max-images.", lambda place: unpacked(place, box_zip())),
    Case("the images up to … state more than the … pixels that this server decodes for a request; "
         "make them smaller, or send fewer", "413; geolrm serve --max-pixels.",
         lambda place: unpacked(place, zipped({"0.png": box_files()["rgb/0.png"]} | {
             "1.png": box_files()["rgb/1.png"]}))),
    Case("these are photographs without poses, and this server runs without geolrm[photos]; send "
         "transforms.json with them, or another kind of capture", "422.", photographs),
    Case("quality is 900 s; this server gives a request 300 s: ask for less", "422.",
         lambda place: check_seconds(900.0, 300.0)),
    Case("the zip file is no zip file that can be read: …; pack the capture again", "422.",
         lambda place: worked(place, "reconstruct", job(b"x"))),
    Case("the results of the last hour take all the room that they have; repeat the request after "
         "the seconds that Retry-After says, or ask for a file instead of a link", "429.", no_room),
    "Live captures",
    Case(f"a message of another kind was expected{ORDER}", "400.",
         view_of({"type": "websocket.receive", "bytes": b""})),
    Case("the views of this live capture are longer than the … bytes that this server takes; start "
         "another", "413; geolrm serve --max-body.", lambda place: asyncio.run(add_long(2000))),
    Case("the text message of a view has … characters; it may have 4,096: send its pose, and fov "
         "or intrinsics alone", "413.",
         view_of({"type": "websocket.receive", "text": "x" * 5000})),
    Case(f"pose is …: …{ORDER}", "422: what is said of a view.",
         view_of({"type": "websocket.receive", "text": '{"pose": 3}'})),
    Case("the view's image cannot be decoded: …; send a whole PNG, JPEG or WebP", "422.", grown),
    Case("0 live captures are open, as many as this server takes; come again later",
         "429; geolrm serve --live.", too_many_live),
]  # fmt: skip
