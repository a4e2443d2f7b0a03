"""``geolrm-export``: whole exports in processes of their own, refusals here."""

import signal
import subprocess
import sys

import pytest
from harness.processes import BIN, assert_refused, call, call_here


@pytest.mark.long
def test_export_writes_a_verified_bundle_and_refuses_to_replace_it(tmp_path):
    arguments = ("geolrm-export", "mini", "-o", "b", "--fp16", "--image-size", "56")
    done = call(*arguments, "--tokens", "1:64:128", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("cosine", "norm ratio", "max abs", "occupancy logits", "fp16"):
        assert word in done.stdout
    assert_refused(
        call_here(*arguments, cwd=tmp_path), "already holds a bundle; replace it with --force"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fp16", "--fp32"], "--fp32 and --fp16 were both given"),
        (["--backend", "metal"], "--backend is 'metal'; it must be one of "),
        (["--views", "1:6"], "--views is '1:6'; it must be MIN:OPT:MAX"),
        (["--tokens", "8:4:9"], "--tokens is 8:4:9; it must satisfy 1 <= MIN <= OPT <= MAX"),
        (["--self-attention", "both"], "it must be 'token', 'head' or 'auto'"),
        (["--rope-scale", "2"], "--rope-scale is '2'; it must be 0.5 or 1.0"),
        (["--image-size", "100"], "--image-size is 100; it must be a multiple of the patch size"),
        (["-o", "file"], "'file' is a file; name a folder with -o"),
        (["-o", "."], "is a folder that holds other files"),
    ],
)
def test_export_refuses_bad_options(tmp_path, options, message):
    (tmp_path / "file").write_text("")
    assert_refused(call_here("geolrm-export", "mini", *options, cwd=tmp_path), message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("seconds", [2, 7])
def test_an_interrupted_export_says_so_and_leaves_nothing(tmp_path, seconds):
    command = [str(BIN / "geolrm-export"), "mini", "-o", "b"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted; no unfinished file was left"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_checked_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    done = call_here("geolrm-export", "mini", "-o", tmp_path / "file" / "b")
    assert_refused(done, "cannot write")


def test_export_refuses_a_missing_checkpoint(tmp_path):
    assert_refused(
        call_here("geolrm-export", "none.ckpt", cwd=tmp_path), "no checkpoint at 'none.ckpt'"
    )
