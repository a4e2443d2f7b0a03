import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.gaussians import random_gaussians

from geolrm import Gaussians, InputError


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
def test_what_was_written_is_read(tmp_path, sh):
    written = random_gaussians(sh)
    written.save(tmp_path / "a.ply")
    read = Gaussians.load(tmp_path / "a.ply")
    np.testing.assert_array_equal(read.means, written.means)
    np.testing.assert_allclose(read.opacities, written.opacities, rtol=1e-5)
    np.testing.assert_allclose(read.scales, written.scales, rtol=1e-5)
    np.testing.assert_allclose(read.quats, written.quats, atol=1e-6)
    if sh is None:
        np.testing.assert_allclose(read.colors, written.colors, atol=1e-6)
    else:
        np.testing.assert_array_equal(read.sh, written.sh)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    random_gaussians().save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: b"", "is no binary little-endian PLY"),
        (lambda raw: raw[:-4], "bytes; 50 splats of 17 properties need"),
        (lambda raw: raw + b"x", "the file is truncated or damaged"),
        (
            lambda raw: raw.replace(b"vertex 50", b"vertex 99999999"),
            "states 99,999,999 splats; at most 20,000,000 are read: split the file",
        ),
        (lambda raw: raw.replace(b"vertex 50", b"vertex -5"), "states '-5' vertices"),
        (lambda raw: raw.replace(b"little", b"big   "), "is no binary little-endian PLY"),
        (lambda raw: raw.replace(b"float nz", b"uchar n"), "all properties must be float"),
        (lambda raw: raw.replace(b"float ny", b"float nx"), "or a property twice"),
        (lambda raw: raw.replace(b"opacity", b"opacitz"), "has no property 'opacity'"),
        (
            lambda raw: raw[:-4] + b"\x00\x00\xc0\x7f",
            "splat 49 has a rot_3 of nan; every value must",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path, raw, change, message):
    (tmp_path / "a.ply").write_bytes(change(raw))
    with pytest.raises(InputError, match=message):
        Gaussians.load(tmp_path / "a.ply")


@given(st.data())
def test_no_bytes_crash_the_reader(raw, tmp_path_factory, data):
    position = data.draw(st.integers(0, len(raw) - 1))
    length = data.draw(st.integers(0, 40))
    content = raw[:position] + data.draw(st.binary(max_size=length)) + raw[position + length :]
    path = tmp_path_factory.getbasetemp() / "fuzzed.ply"
    path.write_bytes(content)
    try:
        Gaussians.load(path)
    except InputError:
        return
