import pytest

from geolrm import InputError
from geolrm.bench.quality.outputs import METRICS, check_folder, staged


def test_a_file_is_no_folder_for_results(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file' is a file; name a folder with -o"):
        check_folder(tmp_path / "file")
    check_folder(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing was created


def test_a_folder_is_filled_at_the_end_or_not_at_all(tmp_path):
    folder = tmp_path / "scores"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    (folder / METRICS).write_text("old")
    with pytest.raises(KeyboardInterrupt), staged(folder) as temporary:
        (temporary / METRICS).write_text("new")
        raise KeyboardInterrupt
    assert (folder / METRICS).read_text() == "old"
    with staged(folder) as temporary:
        (temporary / "sheets").mkdir()
        (temporary / "sheets" / "a.png").write_text("picture")
        (temporary / METRICS).write_text("new")
    assert (folder / METRICS).read_text() == "new"
    assert sorted(path.name for path in folder.iterdir()) == [METRICS, "mine.txt", "sheets"]
