"""An engine that works on jobs, one after another, in the thread that calls it."""

import io
import os
import threading
from collections import OrderedDict
from pathlib import Path

from geolrm.engine.engine import Engine
from geolrm.engine.live import LiveCapture
from geolrm.engine.scene import Scene
from geolrm.fleet.serving.captures import decode_image, pose_where_needed, read, unpack
from geolrm.fleet.serving.formats import Format, write
from geolrm.fleet.serving.jobs import Job, LiveStep, LostSessionError, Made, Tell
from geolrm.fleet.serving.logs import LOGGER, heard_warnings
from geolrm.fleet.serving.refusals import check_seconds, overtime, refusal_of, sentence_of
from geolrm.fleet.serving.settings import Limits
from geolrm.fleet.serving.stage_clock import OverdueError, StageClock
from geolrm.fleet.serving.working_folders import working_folder

MOST_NOTES = 8  # of a result; they are sent in a header


class Reconstructor:
    """An engine, and the live captures that it knows.

    Both calls raise a :class:`Refusal` for whatever goes wrong. One thread at a time may use it.

    Args:
        engine: The engine.
        limits: Of requests.
        name: What figures call the engine.
    """

    def __init__(self, engine: Engine, limits: Limits, name: str = "0"):
        self.engine, self.limits, self.name = engine, limits, name
        self._sessions: OrderedDict[str, LiveCapture] = OrderedDict()

    def reconstruct(self, job: Job, tell: Tell, left: threading.Event) -> Made:
        """Unpack a capture, reconstruct it and encode the result; nothing stays on the disk."""
        folder = None
        try:
            with (
                heard_warnings(job.request_id) as heard,
                working_folder("requests") as folder,
            ):
                clock = StageClock(tell, job.deadline, left)
                return self._run(job, folder, clock, heard)
        except Exception as error:
            raise self._refused(error, folder) from error

    def _run(self, job: Job, folder: Path, clock: StageClock, heard: list[str]) -> Made:
        """Do the work of a job.

        ::

            zip file      entries, sizes and pixels checked      captures.unpack
              | unpack
            folder        photographs: posed first               captures.pose_where_needed
              | read      views chosen as geolrm run does        captures.read
            images, cameras
              | run       prepare, encode, ... refine            Engine.run
            scene
              | write                                            formats.write
            bytes
        """
        options = dict(job.options)
        check_seconds(options.get("quality"), self.limits.seconds)
        self.engine.checks.settings(**options)  # before any other work
        archive = io.BytesIO(job.archive) if isinstance(job.archive, bytes) else job.archive
        (inner := folder / "capture").mkdir()
        with clock("unpack"):
            root = unpack(archive, inner, self.limits)
        with clock("read"):
            threads, seed = self.engine.threads, options.get("seed", 0)
            root = pose_where_needed(root, folder, seed, threads, clock.pass_on)
            used = read(root, job.views, self.engine.manifest.views.opt, heard)
        scene = self.engine.run(used.images, used.cameras, valid=used.valid, clock=clock, **options)
        with clock("write"):
            content = write(scene, job.format, used.names, **job.file_options)
        notes = [sentence_of(note, folder) for note in heard]
        return self._made(content, job.format, scene, clock, notes)

    def grow(self, step: LiveStep, tell: Tell, left: threading.Event) -> Made:
        """Add views to a live capture, and reconstruct from all that it has.

        Raises:
            LostSessionError: This engine does not know the views before them.
        """
        session = self._session(step)
        known = session.numbers
        try:
            with heard_warnings(step.request_id) as heard:
                check_seconds(step.options.get("quality"), self.limits.seconds)
                self.engine.checks.settings(**step.options)
                clock = StageClock(tell, step.deadline, left)
                for view in step.views:
                    with clock("encode"):
                        session.add(
                            decode_image(view.image, self.limits), view.pose,
                            intrinsics=view.intrinsics, fov=view.fov,
                        )  # fmt: skip
                with clock("run"):
                    scene = session.run(**step.options)
                with clock("write"):
                    content = write(scene, "spz")
                return self._made(content, "spz", scene, clock, heard)
        except Exception as error:
            for number in set(session.numbers) - set(known):  # the client sends them again
                session.remove(number)
            raise self._refused(error, None) from error

    def forget(self, session: str) -> None:
        """Drop a live capture."""
        self._sessions.pop(session, None)

    def _session(self, step: LiveStep) -> LiveCapture:
        found = self._sessions.get(step.session)
        if step.start == 0:
            found = self._sessions[step.session] = self.engine.live()
        if found is None or len(found) != step.start:
            raise LostSessionError
        self._sessions.move_to_end(step.session)
        while len(self._sessions) > max(self.limits.live, 1):
            self._sessions.popitem(last=False)  # its next view brings the earlier ones again
        return found

    def _refused(self, error: Exception, folder: Path | None) -> Exception:
        if isinstance(error, OverdueError):
            return overtime(self.limits.seconds)
        refusal = refusal_of(error, folder)
        if refusal.status == 500:
            LOGGER.error("fault", exc_info=error)
        return refusal

    def _made(
        self, content: bytes, format: Format, scene: Scene, clock: StageClock, heard: list[str]
    ) -> Made:
        seconds = {**scene.timings, **clock.timings()}
        seconds["total"] = seconds.pop("total")  # the last
        return Made(
            content, format, seconds, len(scene.gaussians), len(scene.anchors),
            len(scene.views), tuple(dict.fromkeys(heard))[:MOST_NOTES], self.name,
            resident_bytes(),
        )  # fmt: skip


def resident_bytes() -> int | None:
    """Return the memory of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None
