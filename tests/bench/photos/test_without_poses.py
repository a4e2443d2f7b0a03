"""Photographs that are posed for a benchmark."""

import pytest
from samples.textured_box import orbit, write_photographs

from geolrm.bench.photos import without_poses
from geolrm.bench.photos.without_poses import measure


def test_a_row_counts_photographs_and_children(tmp_path, monkeypatch):
    """The posing itself is a double; that it is asked for, and paid for, is what counts."""

    def pose(source, output, options):
        assert options.masks == "none" and options.threads == 1 and not output.exists()
        sum(range(3_000_000))
        return {"photographs": 9, "posed": 8}

    monkeypatch.setattr(without_poses, "capture_photographs", pose)
    row = measure(tmp_path / "shoe", threads=1)
    assert (row.name, row.photographs, row.posed) == ("shoe", 9, 8)
    assert row.seconds > 0.01 and row.cpu_seconds > 0


def test_photographs_are_posed_and_nothing_is_left(tmp_path):
    pytest.importorskip("pycolmap")
    write_photographs(tmp_path / "photos", orbit(6, degrees=75), alpha=True)
    row = measure(tmp_path / "photos")
    assert row.photographs == 6 and 3 <= row.posed <= 6
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
