import msgspec
from PIL import Image

from geolrm.bench.quality.plot import MEASURES, measured, save_plot, title
from geolrm.bench.quality.scores import Report

PROTOCOL = {"inputs": {}, "targets": {"top": [1, 2]}, "grid": 8, "points": 5, "seed": 0}


def test_a_line_for_each_baseline_is_drawn(tmp_path):
    views = {
        str(n): {"psnr": None, "baselines": {k: {"psnr": n} for k in ("white", "visual_hull")}}
        for n in (2, 4)
    }
    content = {"protocol": PROTOCOL, "model": None, "views": views, "objects": {}}
    report = msgspec.convert(content, Report)
    for measure in measured(report):
        save_plot(report, measure, tmp_path / f"{measure}.png")
    with Image.open(tmp_path / "psnr.png") as image:
        assert image.size == (600, 400)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # matplotlib's first two
    drawn = {path.stem: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(drawn) == set(MEASURES) - {"lpips"} and len(set(drawn.values())) == 3


def test_lpips_is_drawn_where_it_was_measured(tmp_path):
    views = {
        str(n): {"baselines": {k: {"lpips": 0.1 * n} for k in ("white", "visual_hull")}}
        for n in (2, 4)
    }
    content = {"protocol": PROTOCOL, "model": None, "views": views, "objects": {}}
    report = msgspec.convert(content, Report)
    assert measured(report) == list(MEASURES)
    for measure in ("lpips", "ssim"):
        save_plot(report, measure, tmp_path / f"{measure}.png")
    assert (tmp_path / "lpips.png").read_bytes() != (tmp_path / "ssim.png").read_bytes()


def test_the_title_says_which_poses_were_read_and_what_was_changed():
    content = {"protocol": PROTOCOL, "model": None, "views": {}, "objects": {}}
    assert title(msgspec.convert(content, Report)) == "0 objects, 2 held-out views each"
    changed = {"transforms": "poses_$a.json", "changes": {"pose_degrees": 1, "cut": 0.3}}
    content["protocol"] = PROTOCOL | changed
    assert title(msgspec.convert(content, Report)) == (
        r"0 objects, 2 held-out views each, poses_\$a.json, pose_degrees 1, cut 0.3"
    )
