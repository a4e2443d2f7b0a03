"""``geolrm capture``, and ``geolrm run`` of photographs; tests/engine/photographs has COLMAP."""

import json

import numpy as np
import pytest
from harness.processes import assert_refused, call_here
from PIL import Image, ImageFilter
from samples.textured_box import orbit, write_photographs

from geolrm import InputError
from geolrm.commands import capture
from geolrm.commands.capture import capture_beside, pose, print_report
from geolrm.engine.photographs import capture_photographs, masks

REPORT = {
    "posed": 8, "photographs": 10, "points": 1234, "reprojection_error_px": 0.51,
    "left_out": [{"name": "a.jpg", "reason": "blurred"}],
    "rungs": [{"rung": "chosen pairs", "posed": 8, "models": [8, 3]},
              {"rung": "more pairs", "failed": "it crashed"}],
    "photograph_again": ["hold still"], "notes": ["no masks"],
}  # fmt: skip


def test_the_report_is_read_out(capsys):
    print_report(REPORT)
    assert capsys.readouterr().out.splitlines() == [
        "8 of 10 photographs are posed, from 1,234 points, 0.51 px reprojection error",
        "left out: a.jpg: blurred",
        "tried: chosen pairs: 8 in one model of 2",
        "tried: more pairs: it crashed",
        "photograph again: hold still",
        "note: no masks",
    ]


def test_progress_says_how_long_it_will_take(monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 10.5, 20.0])
    monkeypatch.setattr(capture.time, "monotonic", lambda: next(clock))

    def work(source, output, options, tell):
        for at in ((0, 0), (0, 4), (1, 4), (2, 4), (4, 4)):
            tell("matching photographs", *at)
        return REPORT

    monkeypatch.setattr("geolrm.engine.photographs.capture_photographs", work)
    said = []
    assert pose("a", "b", None, said.append) is REPORT
    assert said == [
        "matching photographs",
        "matching photographs: 1 of 4, about 30 s left",
        "matching photographs: 4 of 4",
    ]


def test_a_capture_is_kept_beside_its_result(tmp_path):
    assert capture_beside(tmp_path / "shoe.ply") == tmp_path / "shoe.capture"


def photographs(folder, count, blur=0, same=False):
    paths = write_photographs(
        folder, orbit(max(count, 1))[:count], width=240, height=180, focal=260
    )
    for path in paths:
        with Image.open(paths[0] if same else path) as image:
            image.filter(ImageFilter.GaussianBlur(blur)).save(path)
    return folder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.mkdir(), "holds no photographs (.png, .jpg, .jpeg, .webp, .heic, .heif); "
                              "give the folder that holds them, or a video"),
        (lambda p: photographs(p, 1), "holds 1 photograph; a capture needs at least 3, and 30 to "
                                      "80 from all around are good: take more"),
        (lambda p: photographs(p, 2), "holds 2 photographs; a capture needs at least 3"),
        (lambda p: photographs(p, 5, blur=12), "0 can be used (5 blurred), and a capture needs at "
                                               "least 3; take sharp ones from all around"),
        (lambda p: photographs(p, 5, same=True), "1 can be used (4 of one spot, equal to another)"),
        (lambda p: (p.mkdir(), [(p / f"{i}.jpg").write_bytes(b"no") for i in range(4)]),
         "0 can be used (4 unreadable)"),
        (lambda p: None, "does not exist; give a folder of photographs or a video"),
    ],
    ids=["none", "one", "two", "blurred", "one spot", "corrupt", "missing"],
)  # fmt: skip
def test_useless_photographs_are_one_sentence_and_nothing_is_written(tmp_path, make, said):
    make(tmp_path / "photos")
    done = call_here("geolrm", "capture", "photos", "-o", "a.capture", cwd=tmp_path)
    assert_refused(done, said)
    assert not list(tmp_path.glob("a.capture*"))  # no steps, either


def test_of_2000_photographs_a_subset_is_proposed(tmp_path):
    (tmp_path / "photos").mkdir()
    for index in range(2000):
        (tmp_path / "photos" / f"{index}.jpg").write_bytes(b"")
    done = call_here("geolrm", "capture", "photos", "-o", "a.capture", cwd=tmp_path)
    assert_refused(
        done,
        "holds 2,000 photographs, more than --max-photos 200; 60 to 150 are enough for one object: "
        "put an even subset into a folder, such as one in 10, or raise --max-photos",
    )


@pytest.mark.parametrize(
    ("package", "name", "said"),
    [
        ("pycolmap", "a.png", "finding the poses of photographs needs pycolmap, which is not "
                              "installed; run: pip install 'geolrm[photos]'"),
        ("pillow-heif", "a.heic", "reading .heic needs pillow-heif, which is not installed; run: "
                                  "pip install 'geolrm[photos]', or export JPEG"),
        ("rembg", "a.png", "removing the background needs rembg, which is not installed"),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_is_one_sentence(tmp_path, monkeypatch, package, name, said):
    from geolrm.engine.system import extras

    photographs(tmp_path / "photos", 3)
    (tmp_path / "photos" / "00.png").rename(tmp_path / "photos" / name)
    there = extras.installed_version
    for module in (extras, masks):
        monkeypatch.setattr(module, "installed_version",
                            lambda asked: None if asked == package else there(asked))  # fmt: skip
    done = call_here("geolrm", "capture", "photos", "-o", "a.capture", "--masks", "rembg",
                     "--turntable", cwd=tmp_path)  # fmt: skip
    assert_refused(done, said)
    assert not (tmp_path / "a.capture").exists()


def test_a_video_without_its_package_is_one_sentence(tmp_path, monkeypatch):
    from geolrm.engine.system import extras

    there = extras.installed_version
    monkeypatch.setattr(extras, "installed_version",
                        lambda asked: None if asked == "av" else there(asked))  # fmt: skip
    (tmp_path / "walk.mp4").write_bytes(b"")
    done = call_here("geolrm", "capture", "walk.mp4", "-o", "a.capture", cwd=tmp_path)
    assert_refused(
        done,
        "reading .mp4 needs PyAV, which is not installed; run: pip install 'geolrm[photos]', or "
        "give its frames as images",
    )
    assert not (tmp_path / "a.capture").exists()


def test_what_is_there_and_not_ours_is_not_replaced(tmp_path):
    photographs(tmp_path / "photos", 4)
    (tmp_path / "a.capture").mkdir()
    (tmp_path / "a.capture" / "mine").write_text("x")
    done = call_here("geolrm", "capture", "photos", "-o", "a.capture", cwd=tmp_path)
    assert_refused(done, "was not made by this command; name another output")
    assert (tmp_path / "a.capture" / "mine").read_text() == "x"


def test_a_disk_that_fills_is_one_sentence(tmp_path, monkeypatch):
    photographs(tmp_path / "photos", 4)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geolrm.engine.photographs.intake.shutil.copyfile", full)
    with pytest.raises(InputError, match=r"cannot write '.*\.jpg|png': No space left on device"):
        capture_photographs(tmp_path / "photos", tmp_path / "a.capture")
    assert not (tmp_path / "a.capture").exists()


def test_run_takes_photographs_and_keeps_their_capture(tmp_path, monkeypatch):
    """The poses are a double's; everything else is the command's."""
    from geolrm.examples import capture_path

    photographs(tmp_path / "photos", 4)

    def work(source, output, options, tell):
        assert source.name == "photos" and options.threads == 1 and options.masks == "auto"
        import shutil

        shutil.copytree(capture_path("lion"), output)
        return REPORT

    monkeypatch.setattr("geolrm.engine.photographs.capture_photographs", work)
    done = call_here("geolrm", "run", "photos", "-o", "lion.ply", "--views", "2", "--max-tokens",
                     "32", "--refine", "0", "--threads", "1", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["photographs"]["posed"] == 8 and content["capture"] == "lion.capture"
    assert (tmp_path / "lion.ply").is_file() and (tmp_path / "lion.capture").is_dir()
    assert np.array(content["object_to_world"]).shape == (4, 4)
