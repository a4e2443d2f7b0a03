"""Photographs without poses."""

import numpy as np
from errors.case import Case, without
from PIL import Image, ImageFilter
from samples.textured_box import orbit, write_photographs

from geolrm import InputError
from geolrm.commands.capture import capture_beside
from geolrm.engine.photographs import (
    PhotographOptions,
    capture_photographs,
    intake,
    ladder,
    video_frames,
)
from geolrm.engine.photographs.child_process import run_job
from geolrm.engine.photographs.intake import take_in
from geolrm.engine.photographs.masks import read_mask
from geolrm.engine.photographs.sources import list_photographs
from geolrm.engine.photographs.steps import Steps, file_digest


def pose(place, **options):
    return capture_photographs(
        place.tmp / "photos", place.tmp / "a.capture", PhotographOptions(**options)
    )


def photographs(count, *, blur=0, **options):
    def trigger(place):
        paths = write_photographs(place.tmp / "photos", orbit(8)[:count], width=160, height=120,
                                  focal=180)  # fmt: skip
        for path in paths if blur else []:
            with Image.open(path) as image:
                image.filter(ImageFilter.GaussianBlur(blur)).save(path)
        return pose(place, **options)

    return trigger


def empty_folder(place):
    (place.tmp / "photos").mkdir()
    return pose(place)


def other_output(place):
    (place.tmp / "a.capture").mkdir()
    return photographs(4)(place)


def text_file(place):
    (place.tmp / "photos").write_text("")
    return pose(place)


def unposed(place):
    place.patch.setattr("geolrm.engine.photographs.pipeline.climb", climbed(None))
    return photographs(4)(place)


def climbed(model):
    return lambda *_: ladder.Climb(model, (), [], {}, {})


def unfitted(place):
    from geolrm.engine.photographs.models import Model

    names = [f"000{i}_0{i}.png" for i in range(4)]
    poses = np.tile(np.eye(4)[:3], (4, 1, 1))
    camera = {"model": "SIMPLE_PINHOLE", "width": 160, "height": 120, "params": [180, 80, 60]}
    model = Model(tuple(names), poses, (camera,) * 4, (0,) * 4, np.zeros((0, 3)),
                  np.zeros((0, 3), np.uint8), 0.0)  # fmt: skip
    place.patch.setattr("geolrm.engine.photographs.pipeline.climb", climbed(model))
    return photographs(4, masks="none")(place)


def full(*_, **__):
    raise OSError(28, "No space left on device")


def disk_full(place):
    place.patch.setattr("geolrm.engine.photographs.pipeline.climb", full)
    return photographs(4)(place)


def copy_full(place):
    Image.new("RGB", (8, 8)).save(place.tmp / "a.jpg")
    place.patch.setattr(intake.shutil, "copyfile", full)
    return take_in(place.tmp / "a.jpg", place.tmp, "b", 1600)


def child(code):
    import sys

    return lambda place: run_job("match", place.tmp / "log", command=(sys.executable, "-c", code))


def no_room(place):
    from types import SimpleNamespace

    place.patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    return child("")(place)


def taken(content):
    def trigger(place):
        (place.tmp / "a.jpg").write_bytes(content)
        return take_in(place.tmp / "a.jpg", place.tmp, "b", 1600)

    return trigger


def truncated(place):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(place.tmp / "a.jpg")
    return taken((place.tmp / "a.jpg").read_bytes()[:4000])(place)


def many_pixels(place):
    place.patch.setattr(intake, "MAX_PIXELS", 10)
    Image.new("RGB", (8, 8)).save(place.tmp / "a.jpg")
    return take_in(place.tmp / "a.jpg", place.tmp, "b", 1600)


def heic(place):
    (place.tmp / "a.heic").write_bytes(b"")
    return take_in(place.tmp / "a.heic", place.tmp, "b", 1600)


def mask(content):
    def trigger(place):
        if isinstance(content, bytes):
            (place.tmp / "m.png").write_bytes(content)
        else:
            Image.new("L", content).save(place.tmp / "m.png")
        return read_mask(place.tmp / "m.png", (80, 60))

    return trigger


def unlisted(place):
    place.patch.setattr("pathlib.Path.iterdir", full)
    return list_photographs(place.tmp)


def steps_below_a_file(place):
    (place.tmp / "f").write_text("")
    return Steps(place.tmp / "f" / "steps")


def step_over_a_file(place):
    steps = Steps(place.tmp)
    made = steps.place("a", 1)
    made.rmdir()
    made.write_text("")
    return steps.place("a", 1)


def video(frames=4, size=(64, 48), last=None, **attributes):
    def trigger(place):
        import av

        path = place.tmp / "a.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for index in [*range(frames), *([last] if last else [])]:
                black = np.zeros((size[1], size[0], 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(black, "rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        for name, value in attributes.items():
            place.patch.setattr(video_frames, name, value)
        return choose(place, path)

    return trigger


def choose(place, path):
    return video_frames.choose_frames(path, place.tmp, 10, 1600)


def sound(place):
    import av

    path = place.tmp / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return choose(place, path)


def broken_video(place):
    path = place.tmp / "a.mp4"
    path.write_bytes(b"no" * 50)
    return capture_photographs(path, place.tmp / "a.capture")


class _Stream:
    codec_context = None


class _Container:
    def __init__(self, stream):
        self.streams = type("Streams", (), {"video": [stream]})
        self.duration = 1_000_000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, _):
        return iter(())


def container(stream):
    def trigger(place):
        import av

        (place.tmp / "a.mp4").write_bytes(b"")
        place.patch.setattr(av, "open", lambda *_, **__: _Container(stream))
        return choose(place, place.tmp / "a.mp4")

    return trigger


def no_keyframe(place):
    import av

    video()(place)
    with av.open(str(place.tmp / "a.mp4")) as read, av.open(str(place.tmp / "b.mp4"), "w") as to:
        stream = to.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None and not packet.is_keyframe:
                packet.stream = stream
                to.mux(packet)
    return choose(place, place.tmp / "b.mp4")


def frames_full(place):
    place.patch.setattr(Image.Image, "save", full)
    return video()(place)


KNOWN = type("Known", (), {"codec_context": object()})
SMALL = "use fewer or smaller photographs (--max-photos, --max-side)"

CASES = [
    "Photographs",
    Case("… does not exist; give a folder of photographs or a video",
         "The path is wrong.", pose, InputError),
    Case("… holds no photographs (.png, .jpg, .jpeg, .webp, .heic, .heif); give the folder that "
         "holds them, or a video", "Folders inside it are not searched, but for images.",
         empty_folder, InputError),
    Case("… is neither a folder of photographs nor a video (.mp4, .mov, .m4v, .webm, .mkv)",
         "Another kind of file.",
         text_file, InputError),
    Case("… holds 2 photographs; a capture needs at least 3, and 30 to 80 from all around are "
         "good: take more", "Two photographs check nothing of what they say about depth.",
         photographs(2), InputError),
    Case("of 4 photographs of … 0 can be used (4 blurred), and a capture needs at least 3; take "
         "sharp ones from all around the object", "Blurred, equal to another, or unreadable.",
         photographs(4, blur=9), InputError),
    Case("… holds 5 photographs, more than --max-photos 4; 60 to 150 are enough for one object: "
         "put an even subset into a folder, such as one in 2, or raise --max-photos",
         "Time grows faster than the number of photographs.", photographs(5, max_photos=4),
         InputError),
    Case("no three of the 4 photographs of … could be posed together; move the camera between "
         "photographs, by about 15 degrees around the object, and see docs/photographs.md",
         "They do not overlap, show too little texture, or were taken from one spot.", unposed,
         InputError),
    Case("the photographs of … were posed, but …", "Neither masks nor points tell where the object "
         "is: give masks.", unfitted, InputError),
    Case("… has no masks, which --turntable needs to tell the object from the background; give a "
         "folder 'masks', or --masks rembg",
         "The background of a turntable stands still, and would be taken for the object.",
         photographs(4, turntable=True, masks="none"),
         InputError),
    Case("… was not made by this command; name another output", "Only a capture with a "
         "report.json is replaced.", other_output, InputError),
    Case("output … is what its capture is called; name another",
         "A result and its capture lie side by side.",
         lambda place: capture_beside(place.tmp / "a.capture"), InputError),
    Case("…a.jpg' is no image that can be read", "It is left out and named in the report.",
         taken(b"no"), InputError),
    Case("…a.jpg' cannot be decoded: …", "It is left out and named in the report.", truncated,
         InputError),
    Case("…a.jpg' has 8 x 8 pixels, more than are supported; make it smaller", "More than 134 "
         "million.", many_pixels, InputError),
    Case("reading .heic needs pillow-heif, which is not installed; run: pip install "
         "'geolrm[photos]', or export JPEG",
         "An extra; iPhones write HEIC.", without("pillow-heif", heic), InputError),
    Case("finding the poses of photographs needs pycolmap, which is not installed; run: pip "
         "install 'geolrm[photos]'", "An extra.", without("pycolmap", photographs(4)), InputError),
    Case("mask … cannot be read: …", "The file is no image.", mask(b"no"), InputError),
    Case("mask … has 8 x 30 pixels, its photograph another shape, 80 x 60; make them agree",
         "A mask may be smaller, but not of another shape.",
         mask((8, 30)), InputError),
    Case("… cannot be listed: No space left on device", "The system's reason follows.", unlisted,
         InputError),
    "Options",
    Case("--max-photos is 2; a capture needs at least 3: give more", "An option of geolrm capture.",
         lambda place: PhotographOptions(max_photos=2), InputError),
    Case("--max-side is 9; give 256 to 8192 pixels", "An option of geolrm capture.",
         lambda place: PhotographOptions(max_side=9), InputError),
    Case("--masks is 'all'; give auto, rembg, none", "An option of geolrm capture.",
         lambda place: PhotographOptions(masks="all"), InputError),
    Case("--threads is 0; give 1 or more",
         "An option of geolrm capture.", lambda place: PhotographOptions(threads=0),
         InputError),
    Case("--seed is -1; give 0 to 2147483647",
         "An option of geolrm capture.", lambda place: PhotographOptions(seed=-1),
         InputError),
    "Steps and COLMAP",
    Case("COLMAP could not match photographs: database is full; see …",
         "COLMAP's own reason; its log says more.",
         child("print('{\"error\": \"database is full\"}')")),
    Case("COLMAP ended without a result while it was to match photographs (killed, most likely "
         f"since memory ran out); {SMALL}, then call again, which goes on from here; see …",
         "It runs in a process of its own, whose end is not ours.",
         child("import os; os.kill(os.getpid(), 9)")),
    Case("the disk of … is full (3 MB are free, and COLMAP needs 64 at least); make room and call "
         "again, which goes on from here", "On a full disk COLMAP would lose what it found.",
         no_room, InputError),
    Case("cannot write below …: No space left on device (… GB are free); make room and call again, "
         "which goes on from here", "What is done stays.", disk_full, InputError),
    Case("cannot write …b.jpg': No space left on device",
         "The system's reason follows.", copy_full, InputError),
    Case("cannot write …steps': Not a directory",
         "The system's reason follows.", steps_below_a_file, InputError),
    Case("cannot write …: File exists", "A file lies where a step keeps its results.",
         step_over_a_file, InputError),
    Case("… cannot be read: No such file or directory", "The system's reason follows.",
         lambda place: file_digest(place.tmp / "none"), InputError),
    "Videos",
    Case("… holds no video; give another file", "It may hold sound alone.", sound, InputError),
    Case("… holds video that no decoder here knows; convert it to H.264",
         "PyAV brings the usual ones.", container(_Stream),
         InputError),
    Case("… lasts 240 minutes; a walk around one object takes a few, and 30 are read at most: cut "
         "out the part that shows the object",
         "Frames that are chosen from hours are far apart.", video(last=144000), InputError),
    Case("… has frames of 64 x 48 pixels, more than are supported; make it smaller",
         "More than 16.8 million.", video(MAX_FRAME_PIXELS=9), InputError),
    Case("… has more than 2 frames; cut out the part that shows the object", "More than 60,000.",
         video(MOST_DECODED=2), InputError),
    Case("… has no keyframe, so that none of its frames is whole; it may be cut out of a longer "
         "one: cut it again with a program that encodes it anew",
         "All other frames build on a keyframe.", no_keyframe, InputError),
    Case("… cannot be decoded: …; it may be damaged, restore it",
         "The video ended early, or is none.", broken_video, InputError),
    Case("… holds no frame; it may be damaged, restore it",
         "Nothing could be decoded.", container(KNOWN), InputError),
    Case("cannot write …frame000000.png': …",
         "The system's reason follows.", frames_full, InputError),
]  # fmt: skip
