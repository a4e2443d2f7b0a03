import re
from pathlib import Path

import numpy as np

from geolrm.bench import attention_traffic


def test_rows_are_those_under_taps_with_a_place_in_the_image():
    """Two heads; the second sample of the first lies outside, its third shares two pixels."""
    places = np.zeros((1, 16, 3, 2), np.float32)
    places[:] = [2.5, 1.5]
    places[0, 0, 1] = [-1.0, 0.0]
    places[0, 0, 2] = [3.5, 1.5]
    assert attention_traffic.count_rows(places[:, :1], 4, 6) == 6
    assert attention_traffic.count_rows(places, 4, 6) == 6 + 15 * 4
    places[0, 0, 0] = [5.7, 3.9]  # beyond the last corner: pixels inside
    assert attention_traffic.count_rows(places[:, :1], 4, 6) == 4 + 3  # the third has one too


def test_rows_agree_with_a_loop_over_taps():
    rng = np.random.default_rng(0)
    places = rng.uniform(-3, 12, (3, 16, 8, 2)).astype(np.float32)
    rows = set()
    for query, head, point in np.ndindex(places.shape[:3]):
        x, y = places[query, head, point]
        if -1 < x < 9 and -1 < y < 7:
            left, upper = min(max(int(np.floor(x)), 0), 7), min(max(int(np.floor(y)), 0), 5)
            rows |= {(head, upper + a, left + b) for a in (0, 1) for b in (0, 1)}
    assert attention_traffic.count_rows(places, 7, 9) == len(rows)


def test_a_block_of_eight_neighbours_reads_what_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    (cells,) = re.findall(
        r"^\| values from L2, .*\| (\d+\.\d) GB \| (\d+\.\d) GB \|", page, re.MULTILINE
    )
    for block, documented in zip((2, 8), cells, strict=True):
        told = attention_traffic.simulate(21, 16384, block, along_curve=True, blocks=16)
        assert abs(told.bytes_read / 1e9 / float(documented) - 1) < 0.05
        assert told.bytes_asked == 4 * 21 * 16384 * 256 * 96
        assert told.most_held < 128e3  # beside 64 KiB of shared memory in the 256 of an sm_90


def test_raster_order_reads_what_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    (documented,) = re.findall(r"^\| \" in TensorRT's engines \| (\d+\.\d) GB", page, re.MULTILINE)
    told = attention_traffic.simulate(21, 16384, 2, along_curve=False)
    assert abs(told.bytes_read / 1e9 - float(documented)) < 0.1


def test_without_neighbours_in_space_a_block_reads_more():
    sizes = [
        attention_traffic.simulate(3, 4096, 8, along_curve=along, blocks=8).bytes_read
        for along in (True, False)
    ]
    assert sizes[0] < 0.9 * sizes[1]


def test_the_table(monkeypatch, capsys):
    told = attention_traffic.Traffic(5.44e9, 33.8e9, 100_000)
    monkeypatch.setattr(attention_traffic, "simulate", lambda *sizes, along_curve: told)
    attention_traffic.main()
    assert capsys.readouterr().out.splitlines()[-2] == "| Morton | 8 | 5.4 | 33.8 | 100 |"
