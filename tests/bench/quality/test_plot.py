import msgspec
from PIL import Image

from geolrm.bench.quality.plot import MEASURES, save_plot
from geolrm.bench.quality.scores import Report


def test_a_line_for_each_baseline_is_drawn(tmp_path):
    protocol = {"inputs": {}, "targets": {"top": [1, 2]}, "grid": 8, "points": 5, "seed": 0}
    views = {
        str(n): {"psnr": None, "baselines": {k: {"psnr": n} for k in ("white", "visual_hull")}}
        for n in (2, 4)
    }
    content = {"protocol": protocol, "model": None, "views": views, "objects": {}}
    for measure in MEASURES:
        save_plot(msgspec.convert(content, Report), measure, tmp_path / f"{measure}.png")
    with Image.open(tmp_path / "psnr.png") as image:
        assert image.size == (600, 400)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # matplotlib's first two
    drawn = {measure: (tmp_path / f"{measure}.png").read_bytes() for measure in MEASURES}
    assert len(set(drawn.values())) == len(MEASURES) == 3
