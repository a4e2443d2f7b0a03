"""Temporaries tell whether anybody still writes them, and are named after their targets."""

import os
import subprocess
import sys
import time

import pytest

from geolrm.engine.system import temporary
from geolrm.engine.system.temporary import (
    remove_all_leftovers,
    remove_leftovers,
    restore,
    retired_name,
    stem,
    temporary_file,
    temporary_folder,
)

posix = pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
OLD = "abcd_123"
HOLD = """
import sys, time
from pathlib import Path
from geolrm.engine.system.temporary import temporary_file, temporary_folder
target = Path(sys.argv[1])
with temporary_file(target), temporary_folder(target):
    print("held", flush=True)
    time.sleep(600)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@posix
def test_what_is_held_stays_and_what_a_killed_process_left_goes(tmp_path):
    target = tmp_path / "a.ply"
    command = [sys.executable, "-c", HOLD, target]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        remove_leftovers(target)
        remove_all_leftovers(tmp_path)
        assert len(names(tmp_path)) == 2
    finally:
        process.kill()
        process.wait()
    assert len(names(tmp_path)) == 2
    remove_leftovers(target)
    assert names(tmp_path) == []


@posix
def test_ones_own_temporaries_are_held(tmp_path):
    target = tmp_path / "a"
    with temporary_file(target) as (_, file), temporary_folder(target) as folder:
        remove_leftovers(target)
        assert file.exists() and folder.exists()
    assert file.exists() and folder.exists()  # whoever makes them removes them
    remove_leftovers(target)
    assert names(tmp_path) == []


@posix
def test_nothing_of_the_users_is_taken_for_a_leftover(tmp_path):
    kept = [
        ".a.12345678", ".a.old", f".a.{OLD}.part", ".a.geolrm-short", ".a.geolrm-TOOLARGE",
        f".a.b.geolrm-{OLD}", f".ab.geolrm-{OLD}", f".a.geolrm-{OLD}.more", "a.part",
    ]  # fmt: skip
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / f".a.geolrm-{OLD}").touch()  # a file where a folder would be
    (tmp_path / f".a.geolrm-{OLD}.part").mkdir()  # and the reverse
    (tmp_path / ".a.geolrm-linked_1").symlink_to(tmp_path / "a.part")
    before = names(tmp_path)
    remove_leftovers(tmp_path / "a")
    remove_all_leftovers(tmp_path)
    assert names(tmp_path) == before


@posix
def test_leftovers_of_any_file_of_a_folder(tmp_path):
    for name in (f".a.bin.geolrm-{OLD}.part", f".b.geolrm-{OLD}.part", "a.bin"):
        (tmp_path / name).touch()
    remove_all_leftovers(tmp_path)
    assert names(tmp_path) == ["a.bin"]


@posix
def test_a_folder_that_was_put_aside_comes_back_where_nothing_took_its_place(tmp_path):
    target = tmp_path / "bundle"
    aside = retired_name(tmp_path / f".bundle.geolrm-{OLD}")
    aside.mkdir()
    (aside / "weights").touch()
    restore(target)
    assert names(tmp_path) == ["bundle"] and names(target) == ["weights"]
    aside.mkdir()
    restore(target)  # there is one
    assert names(target) == ["weights"] and aside.exists()
    remove_leftovers(target)
    assert names(tmp_path) == ["bundle"]


def test_long_names_have_a_stem_of_their_own(tmp_path):
    long, other = tmp_path / ("x" * 250 + ".ply"), tmp_path / ("x" * 249 + ".ply")
    assert stem(tmp_path / "shoe.ply") == "shoe.ply"
    assert len(stem(long)) == 64 and stem(long) != stem(other)
    with temporary_file(long) as (_, file):
        assert file.is_file()
    accents = tmp_path / ("é" * 120)  # 240 bytes
    with temporary_folder(accents) as folder:
        assert folder.is_dir()


def test_without_locks_an_hour_must_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "_lock", lambda handle: None)
    target = tmp_path / "a"
    with temporary_file(target) as (_, file):
        pass
    remove_leftovers(target)
    assert file.exists()
    past = time.time() - 2 * temporary.ABANDONED
    os.utime(file, (past, past))
    remove_leftovers(target)
    assert not file.exists()


@posix
def test_a_temporary_that_is_taken_at_once_is_made_again(tmp_path, monkeypatch):
    """Another process may look between the making and the lock."""
    real, made = temporary._lock, []

    def late(handle):
        if not made:
            made.append(next(path for path in tmp_path.iterdir()))
            made[0].unlink()
        return real(handle)

    monkeypatch.setattr(temporary, "_lock", late)
    with temporary_file(tmp_path / "a") as (_, file):
        assert file.exists() and file != made[0]
