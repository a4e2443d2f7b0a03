"""Names that have suffered on their way to this machine."""

import os
import unicodedata

import pytest

from geolrm.engine.captures.file_search import FileSearch, all_missing, missing_note, name_some


@pytest.fixture
def files(tmp_path):
    for name in ("images/000.jpg", "images/Ä1.PNG", "images/b.1.png", "images/cut.png", "top.webp",
                 "masks/000.jpg.png", "masks/Ä1.png", "masks/deep/x.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("images/000.jpg", "images/000.jpg"),
        ("images/000", "images/000.jpg"),
        ("./images/000", "images/000.jpg"),
        ("images\\000.jpg", "images/000.jpg"),
        ("IMAGES/000.JPG", "images/000.jpg"),
        ("images/cut.jpg", "images/cut.png"),  # a cut-out in place of the photograph
        ("images/b.1", "images/b.1.png"),
        ("/home/other/data/images/000.jpg", "images/000.jpg"),
        ("C:\\Users\\me\\shoe\\images\\000.jpg", "images/000.jpg"),
        ("/home/other/photos/000.jpg", "images/000.jpg"),
        (unicodedata.normalize("NFD", "images/ä1.png"), "images/Ä1.PNG"),
        ("../top.webp", "top.webp"),
        ("images/001.jpg", None),
        ("a" * 5000, None),
        ("/", None),
        ("a\0b", None),
        ("\ud800.png", None),
    ],
)
def test_images_are_found(files, listed, found):
    path = FileSearch(files).find(listed)
    assert path is None if found is None else path is not None and path.samefile(files / found)


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode("é.png".encode("latin-1"))
    try:
        (tmp_path / name).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for listed in (name, "é.png", "E\u0301.png"):
        assert FileSearch(tmp_path).find(listed) == tmp_path / name


def test_one_file_is_not_guessed_for_two_names(files):
    search = FileSearch(files)
    assert search.find("/cam0/000.jpg") == files / "images" / "000.jpg"
    assert search.find("/cam1/000.jpg") is None
    assert search.find("/cam0/000.jpg") == files / "images" / "000.jpg"


def test_masks_are_found_by_both_schemes_and_any_suffix(files):
    search = FileSearch(files / "masks")
    assert search.find_mask("images/000.jpg") == files / "masks" / "000.jpg.png"
    assert search.find_mask("images\\ä1.jpg") == files / "masks" / "Ä1.png"
    assert search.find_mask("deep/x.jpg") == files / "masks" / "deep" / "x.jpg"
    assert search.find_mask("x.jpg") is None


def test_sentences():
    assert name_some(["a", "b"]) == "a, b"
    assert name_some([*"abcdef"]) == "a, b, c, d and 2 more"
    assert name_some(["\udce9.png"]) == r"'\udce9.png'"
    assert missing_note(["a.png"], 8) == ("1 of 8 listed images is missing and was left out: a.png")
    assert missing_note(["a.png", "b.png"], 8) == (
        "2 of 8 listed images are missing and were left out: a.png, b.png"
    )
    assert all_missing("t.json", ["a", "b"], "/x") == (
        "t.json: every one of the 2 listed images is missing (a, b); restore them where the file "
        "says, relative to /x"
    )
