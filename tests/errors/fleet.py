"""Batches, and what they share with serving."""

import asyncio
import io
import json
import random
import stat
import struct
import subprocess
import zipfile
from types import SimpleNamespace

from errors.case import Case, without
from samples.small_captures import write_captures

from geolrm import GeoLRMError, InputError
from geolrm.bench import fleet as fleet_bench
from geolrm.bench import fleet_kills, fleet_serving
from geolrm.commands.batch import batch, parse_workers
from geolrm.fleet import fetching
from geolrm.fleet.archives import ZipLimits, extract_capture
from geolrm.fleet.batch import run_batch
from geolrm.fleet.destination import Destination
from geolrm.fleet.fetching import fetched, stamp_of
from geolrm.fleet.locations import Location, StorageError
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.ray_pool import PoolSettings, check_room, connected, run_on_ray
from geolrm.fleet.records import Record, write_parquet
from geolrm.fleet.sources import Source, find_sources
from geolrm.fleet.tasks import Task, WorkerSettings
from geolrm.fleet.worker import Worker


def zipped(*files, method=zipfile.ZIP_STORED, change=None, kind=None, **limits):
    """Unpack a zip file of contents by name, whose bytes ``change`` may damage."""

    def trigger(place):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in files:
                info = zipfile.ZipInfo(name)
                info.external_attr = (kind or 0) << 16
                archive.writestr(info, content, compress_type=method)
        content = bytearray(file.getvalue())
        if change is not None:
            change(content)
        return extract_capture(io.BytesIO(content), place.tmp, ZipLimits(**limits), "a.zip")

    return trigger


def answered_otherwise(place):
    async def post(*_):
        return SimpleNamespace(status=503, body=b"not now")

    place.patch.setattr(fleet_serving, "post", post)
    asyncio.run(fleet_serving.ask("http://127.0.0.1:1", 0, b"", 1))


def stated(offset, value):
    """Change what the list of files states of the first one."""

    def change(content):
        at = content.index(b"PK\x01\x02") + offset
        content[at : at + 4] = struct.pack("<I", value)

    return change


def nothing(content):
    content[:] = b"no zip"


def onto_a_file(place):
    (place.tmp / "b").write_text("")
    return zipped(("b", b"x"))(place)


def listed(*lines, name="l.jsonl"):
    """Look for the captures of a list."""

    def trigger(place):
        (place.tmp / name).write_text("\n".join(lines))
        return find_sources([str(place.tmp / name)], CaptureOptions())

    return trigger


def found(path):
    return lambda place: find_sources([f"{place.tmp}{path}"], CaptureOptions())


def from_results(place):
    folder = place.tmp / "captures"
    folder.mkdir()
    return find_sources([str(folder)], CaptureOptions(), Location(str(folder)))


def changed(**given):
    return lambda place: CaptureOptions().changed(given, "here")


def unreadable(place):
    place.patch.setattr("pathlib.Path.open", unwilling)
    return fetching.content_hash(place.tmp, [fetching.ListedFile("a", 1, "")])


def unwilling(*_, **__):
    raise OSError(5, "Input/output error")


def unlisted(place):
    location = Location(str(place.tmp))
    place.patch.setattr(type(location.files), "ls", unwilling)
    return location.entries()


def too_many_files(place):
    for name in "abc":
        (place.tmp / name).write_text("")
    return Location(str(place.tmp)).listing(2)


def too_many_bytes(place):
    place.patch.setattr(fetching, "LIMITS", ZipLimits(total_bytes=8))
    (place.tmp / "a").write_text("123456789")
    return stamp_of(str(place.tmp))


def backslash(place):
    storage = Location("memory://shelf").files
    storage.pipe_file("/shelf/a\\b", b"")
    try:
        with fetched("memory://shelf"):
            pass
    finally:
        storage.rm("/shelf", recursive=True)


def onto_output_file(place):
    (place.tmp / "out").write_text("")
    return Destination(str(place.tmp / "out")).prepare()


def onto_remote_file(place):
    storage = Location("memory://taken").files
    storage.pipe_file("/taken", b"")
    try:
        return Destination("memory://taken").prepare()
    finally:
        storage.rm("/taken")


def failed_upload(place):
    destination = Destination("memory://out")
    place.patch.setattr(destination.location.files, "put_file", unwilling)
    return destination.put_bytes("a", b"")


def full_disk(place):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    place.patch.setattr("os.fsync", full)
    return Destination(str(place.tmp)).put_bytes("a", b"a")


def held(place):
    destination = Destination(str(place.tmp))
    with destination.hold("a", 0), destination.hold("a", 0):
        pass


def begun(attempts=0, waits=False):
    """Prepare a capture; what is recorded of it is raised here."""

    def trigger(place):
        write_captures(place.tmp, "a")
        Destination(str(place.tmp / "out")).prepare()
        worker = Worker(WorkerSettings(str(place.tmp / "out"), "mini", "", call="c"))
        (place.tmp / "out/.attempts/a").write_text(f"c {attempts}")
        place.patch.setattr("geolrm.fleet.worker.PATIENCE", 0.01)
        place.patch.setattr(Worker, "_failure", raised)
        task = Task(Source("a", str(place.tmp / "a"), CaptureOptions()), wait=waits)
        if not waits:
            return worker.prepare(task)
        with worker.destination.hold("capture-a", 0):
            outcome = worker.prepare(task).outcome
        raise GeoLRMError(outcome.record.error)

    return trigger


def raised(_, prepared, error):
    raise error


def no_cluster(place):
    import ray

    def refuse(**_):
        raise ConnectionError("no cluster is there")

    place.patch.setattr(ray, "is_initialized", lambda: False)
    place.patch.setattr(ray, "init", refuse)
    with connected(PoolSettings(address="auto")):
        pass


def no_room(place):
    import ray

    node = {"Alive": True, "Resources": {"CPU": 8.0}}
    place.patch.setattr(ray, "nodes", lambda: [node])
    check_room(PoolSettings(cores=2, gpus=1))


def no_workers(place):
    import ray.data
    from ray.exceptions import RayError

    def refuse(*_, **__):
        raise RayError("the model is not there")

    place.patch.setattr(ray.data, "from_items", lambda *_, **__: Items())
    place.patch.setattr(Items, "iter_rows", refuse, raising=False)
    task = Task(Source("a", "/a", CaptureOptions()))
    return [*run_on_ray([task], WorkerSettings("/out", "mini", ""), PoolSettings())]


class Items:
    """A data set that fails when it is read."""

    def map_batches(self, *_, **__):
        return self


def enter(pool):
    with connected(pool):
        pass


def commanded(**options):
    return lambda place: batch([str(place.tmp)], str(place.tmp / "out"), **options)


class Ended:
    """A process that has ended, without a word."""

    returncode = 1

    def __init__(self, *_, **__):
        self.kill = lambda: None

    def poll(self):
        return 1

    wait = poll

    def communicate(self, timeout=None):
        return "", "out of memory"


class Stuck(Ended):
    """A process that does not end."""

    def communicate(self, timeout=None):
        raise subprocess.TimeoutExpired("geolrm", 1)


def measured(call, process=Ended):
    """Call the benchmark where every process it starts is of this kind."""

    def trigger(place):
        failed = SimpleNamespace(returncode=1, stderr="error: out of memory", stdout="")
        place.patch.setattr(subprocess, "Popen", process)
        place.patch.setattr(subprocess, "run", lambda *_, **__: failed)
        return call(place)

    return trigger


def killed(place):
    nodes = SimpleNamespace(address="here", kill_worker=lambda draw: True, kill_node=None)
    truth = dict.fromkeys("abc", b"")
    return fleet_kills._one(place.tmp, place.tmp, truth, nodes, 1, random.Random(0), ())


WANTED = (
    "give capture folders, folders of them, zip files, or a list (.jsonl, .parquet) with a field "
    "'capture'"
)
AGAIN = "; pack the capture again"

CASES = [
    "Inputs of a batch",
    Case(f"… is not there; {WANTED}", "The path is wrong.", found("/none"), InputError),
    Case("… matches nothing; check the pattern", "A pattern with *, ? or [.", found("/*"),
         InputError),
    Case(f"… holds no captures; {WANTED}",
         "Neither images nor poses are in the folder or in folders within it.", found(""),
         InputError),
    Case("… is where the results go; name another --output",
         "An output's folder captures is none of the inputs.", from_results, InputError),
    Case('…, line 1 has no capture; give a line such as {"capture": "shoe", "seed": 1}',
         "Each line of a list names a capture.", listed("{}"), InputError),
    Case("…, line 1: id is 3; give a name, or leave it out", "Files are called after it.",
         listed(json.dumps({"capture": "a", "id": 3})), InputError),
    Case("…, line 1: '../a' leads out of the list's folder; give a full path",
         "Paths of a list are relative to it.", listed(json.dumps({"capture": "../a"})),
         InputError),
    Case("…, line 1 is no JSON: …; give one object a line", "What JSON's reader says follows.",
         listed("{"), InputError),
    Case("… is no Parquet file: …; write it again", "Damaged or of another kind.",
         listed("no", name="l.parquet"), InputError),
    Case("a list in Parquet needs pyarrow, which is not installed; run: pip install "
         "'geolrm[fleet]', or write it as .jsonl", "An extra.",
         without("pyarrow", listed("no", name="l.parquet"))),
    Case("here: spz_version was given, but .ply files are no SPZ: leave it out",
         "What the formats refuse comes with the line of the list.",
         lambda place: CaptureOptions().changed({"spz_version": 4}, "here"), InputError),
    Case("here has the field 'sead'; known are capture, id, …",
         "A line of a list, or the command line.", changed(sead=1), InputError),
    Case("here: seed is '1'; give a whole number", "So with the other options.",
         changed(seed="1"), InputError),
    Case("here: quality is 'good'; it must be 'fast', 'balanced', 'best', or seconds up to 3600",
         "As --quality.", changed(quality="good"), InputError),
    Case("… is not a usable path: it holds a null character", "No system takes it.",
         lambda place: Location("a\0"), InputError),
    Case("'nothing://a' cannot be opened: Protocol not known: nothing",
         "A URL's scheme is unknown to fsspec, or needs a package such as s3fs.",
         lambda place: Location("nothing://a"), InputError),
    Case("… is not there; check the path", "It was removed since it was found.",
         lambda place: stamp_of(str(place.tmp / "none")), InputError),
    Case("… cannot be read: Input/output error", "The storage's reason follows.", unlisted,
         StorageError),
    Case("…a' cannot be read: Input/output error", "The system's reason follows.", unreadable,
         StorageError),
    Case("… holds more than 2 files; give the folder of a capture, with nothing else in it",
         "20,000 at most.", too_many_files, InputError),
    Case("… holds 9 bytes; at most 8 are read: use fewer or smaller images", "8 GiB at most.",
         too_many_bytes, InputError),
    Case("'memory://shelf' holds the name 'a\\\\b'; rename that file",
         "A name elsewhere that could lead out of a folder here.", backslash, InputError),
    "Outputs and workers of a batch",
    Case("output … is a file; name a folder", "Results are many files.", onto_output_file,
         InputError),
    Case("output 'memory://taken' is a file; name a folder", "Results are many files.",
         onto_remote_file, InputError),
    Case("cannot write 'memory:///out/a': Input/output error",
         "The storage's reason follows.", failed_upload, StorageError),
    Case("cannot write '…a': No space left on device", "The system's reason follows.",
         full_disk, StorageError),
    Case("another call writes 'a'; wait for it",
         "Two calls with one output; the second does the rest first, and then waits.", held),
    Case("another call writes 'capture-a'; wait for it",
         "It took longer than an hour; call again.", begun(waits=True)),
    Case("its worker ended 3 times while it ran, most likely since memory ran out; use fewer "
         "--workers or fewer --views", "Each worker has an engine and two captures in memory.",
         begun(attempts=3), InputError),
    Case("a table in Parquet needs pyarrow, which is not installed; run: pip install "
         "'geolrm[fleet]', or read results.jsonl", "An extra.",
         without("pyarrow", lambda place: write_parquet([]))),
    Case("results.jsonl holds other fields than it should: …; remove it and call again",
         "It was changed by hand.",
         lambda place: write_parquet([Record("a", "", "done", psnr="loud")]), InputError),
    Case("a batch needs fsspec, which is not installed; run: pip install 'geolrm[fleet]'",
         "An extra.", without("fsspec", lambda place: run_batch(["a"], place.tmp))),
    Case("a batch on Ray needs ray, which is not installed; run: pip install 'geolrm[fleet]', or "
         "give --local", "An extra.", without("ray", lambda place: enter(PoolSettings()))),
    Case("the Ray cluster at 'auto' cannot be used: no cluster is there; start it with ray start "
         "--head, or give --local", "Ray's own reason.", no_cluster),
    Case("the workers could not go on: the model is not there; call again, which goes on from "
         "here", "Such as a bundle that a node of the cluster lacks.", no_workers),
    Case("workers are 3:2; give a number from 1, or the fewest and the most as 1:8",
         "Of geolrm batch --workers.", lambda place: PoolSettings(workers=(3, 2)), InputError),
    Case("cores are 0; each worker needs 1 or more", "Of geolrm batch --cores.",
         lambda place: PoolSettings(cores=0), InputError),
    Case("gpus are -1; give each worker 0 to 64, or a part of one", "Of geolrm batch --gpus.",
         lambda place: PoolSettings(gpus=-1), InputError),
    Case("--workers is 'all'; give a number, or 1:8", "Of geolrm batch.",
         lambda place: parse_workers("all"), InputError),
    Case("both --quality fast and --refine 3 were given; give one", "Both say how much to refine.",
         commanded(quality="fast", refine=3), InputError),
    Case("--local was given with --workers, which is Ray's; give one",
         "So with --address, --cores and --gpus: in one process there is one worker.",
         commanded(local=True, workers="2"), InputError),
    Case("--threads 2 is of one process and this runs on Ray; give --cores, or --local with it",
         "A worker on Ray has as many threads as cores.", commanded(threads=2), InputError),
    Case("--address, --workers, --cores or --gpus needs ray, which is not installed; run: pip "
         "install 'geolrm[fleet]', or leave them out", "Without Ray all runs in one process.",
         without("ray", lambda place: run_batch(
             ["a"], place.tmp, pool=PoolSettings(address="auto")))),
    Case("no node has what a worker needs: 2 cores and 1 GPUs; give fewer --cores or --gpus, or "
         "add such a node", "A cluster with an autoscaler has ten minutes to bring one.", no_room,
         InputError),
    "geolrm bench fleet",
    Case("the server answered 503: b'not now'", "Another answer than a result or a full queue.",
         answered_otherwise),
    Case("a loop over Engine.run failed with code 1; its error stands above",
         "What is measured against.",
         measured(lambda place: fleet_bench.loops([place.tmp], place.tmp / "l", 0, 1))),
    Case("the batch failed: error: out of memory; run geolrm batch by itself", "Its last line.",
         measured(lambda place: fleet_bench.batch(place.tmp, place.tmp, 0))),
    Case("geolrm run ended without '…none'; run it alone", "It failed, and says there why.",
         measured(lambda place: fleet_bench.first_file(["run"], place.tmp / "none"))),
    Case("geolrm run failed: error: out of memory; run it alone", "Its last line.",
         measured(lambda place: fleet_kills._call("run"))),
    Case("a batch whose worker was killed failed: out of memory; run geolrm batch by itself",
         "It must go on without that worker.", measured(killed)),
    Case("a batch whose worker was killed did not end within 600 s; end what is left of Ray, and "
         "measure again", "It must go on without that worker.", measured(killed, Stuck)),
    "Zip files",
    Case("a.zip is no zip file that can be read: …" + AGAIN,
         "Damaged, cut off or of another kind; the reason follows.",
         zipped(change=nothing), InputError),
    Case("a.zip cannot be unpacked: File exists",
         "The system's reason follows.", onto_a_file, InputError),
    Case("a.zip lists more than 2 files; leave out what does not belong to the capture",
         "20,000 at most.", zipped(*[(name, b"") for name in "abc"], entries=2), InputError),
    Case("a.zip holds the path '../a', which leads out of its folder" + AGAIN,
         "Also names that not every system allows.", zipped(("../a", b"")), InputError),
    Case("a.zip holds no files; pack a folder with images and their poses", "It is empty.",
         zipped(), InputError),
    Case("a.zip holds 'a', which is a link or no file; pack the files themselves",
         "Links could lead anywhere.", zipped(("a", b"b"), kind=stat.S_IFLNK), InputError),
    Case("a.zip holds 'a', which is encrypted or packed by a method other than deflate; pack the "
         "capture again, as an ordinary zip file", "Other methods take much memory.",
         zipped(("a", b"b"), method=zipfile.ZIP_LZMA), InputError),
    Case("a.zip holds 'A' twice" + AGAIN, "Letters' case aside, as some systems see it.",
         zipped(("a", b""), ("A", b"")), InputError),
    Case("a.zip holds 'a' of 9 bytes; at most 8 are read: make it smaller", "512 MiB at most.",
         zipped(("a", b"x" * 9), file_bytes=8), InputError),
    Case("a.zip holds 'a', … bytes that become 2,097,152; at most 100 times as many are read: "
         "store it as an image", "A bomb, or images that are no images.",
         zipped(("a", bytes(2 << 20)), method=zipfile.ZIP_DEFLATED), InputError),
    Case("a.zip holds 9 bytes; at most 8 are read: use fewer or smaller images",
         "8 GiB of all files at most.",
         zipped(("a", b"x" * 4), ("b", b"x" * 5), total_bytes=8), InputError),
    Case("a.zip states more bytes than it has" + AGAIN, "Files would share their bytes.",
         zipped(("a", b"x"), change=stated(20, 500)), InputError),
    Case("a.zip holds 'a', which is not the 100 bytes that it states" + AGAIN, "It is damaged.",
         zipped(("a", b"x" * 9), method=zipfile.ZIP_DEFLATED, change=stated(24, 100)), InputError),
]  # fmt: skip
