import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.gaussians import random_gaussians
from samples.splat_files import element, ply_file, splat_rows

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import decode, encode


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
        (lambda raw: b"", "is no PLY file, or its header is damaged"),
        (lambda raw: raw[:-4], "bytes; 50 splats of 17 properties need"),
        (lambda raw: raw + b"x", "the file is truncated or damaged"),
        (
            lambda raw: raw.replace(b"vertex 50", b"vertex 99999999"),
            "states 99,999,999 splats; at most 20,000,000 are read: split the file",
        ),
        (lambda raw: raw.replace(b"vertex 50", b"vertex -5"), "states '-5' vertices"),
        (lambda raw: raw.replace(b"little", b"big   "), "states no binary format of PLY"),
        (lambda raw: raw.replace(b"float nz", b"half nz"), "has 'property half nz' in its"),
        (lambda raw: raw.replace(b"float ny", b"float nx"), "states a property of 'vertex' twice"),
        (lambda raw: raw.replace(b"opacity", b"opacitz"), "has no property 'opacity'"),
    ],
)
def test_damaged_files_are_refused(tmp_path, raw, change, message):
    (tmp_path / "a.ply").write_bytes(change(raw))
    with pytest.raises(InputError, match=message):
        Gaussians.load(tmp_path / "a.ply")


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        *((key, NAN, "position") for key in "xyz"),
        *((key, NAN, "scale") for key in ("scale_0", "scale_2")),
        ("opacity", NAN, "opacity"),
        ("rot_3", NAN, "rotation"),
        ("f_dc_1", NAN, "colour"),
        ("x", INF, "position"),
        ("rot_0", -INF, "rotation"),
        ("f_dc_0", INF, "colour"),
        ("scale_1", INF, "scale"),  # e^inf, unlike e^-inf, is no size
    ],
)
def test_splats_that_are_not_finite_are_left_out(key, value, kind):
    rows = splat_rows(random_gaussians())
    rows[key][[7, 31]] = value
    with pytest.warns(UserWarning) as caught:
        read = decode(ply_file(element("vertex", rows)), ".ply", name="a")
    found = "5.54062e+34" if key == "scale_1" else f"{value:.6g}"
    assert [str(warning.message) for warning in caught] == [
        "a: left out 2 of 50 splats, which are not finite or beyond 1e+18; "
        f"splat 7 has a {kind} of {found}"
    ]
    kept = np.delete(np.arange(50), [7, 31])
    np.testing.assert_allclose(read.means, random_gaussians().means[kept], atol=1e-7)
    np.testing.assert_allclose(read.colors, random_gaussians().colors[kept], atol=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "name", "found"),
    [("opacity", INF, "opacities", 1), ("opacity", -INF, "opacities", 0),
     ("scale_0", -INF, "scales", 0)],
)  # fmt: skip
def test_infinities_that_mean_something_are_clamped(key, value, name, found, recwarn):
    rows = splat_rows(random_gaussians())
    rows[key][7] = value
    read = decode(ply_file(element("vertex", rows)), ".ply")
    assert len(read) == 50 and not recwarn.list
    assert np.ravel(getattr(read, name)[7])[0] == pytest.approx(found, abs=1e-30)
    encode(read, ".ply")


def test_doubles_beyond_float32_count_as_infinite():
    rows = splat_rows(random_gaussians())
    rows["y"] = rows["y"].astype(float)
    rows["y"][3] = 1e300
    content = ply_file(element("vertex", rows, dict.fromkeys(rows, "double")))
    with pytest.warns(UserWarning, match="left out 1 of 50 splats, .*; splat 3 has a position of"):
        assert len(decode(content, ".ply")) == 49


def test_no_sound_splat_is_an_error():
    rows = splat_rows(random_gaussians())
    rows["z"][:] = NAN
    message = (
        r"a has no splat of finite values within 1e\+18 of 0: splat 0 has a position of nan; it is "
        "damaged or of another layout"
    )
    with pytest.raises(InputError, match=message):
        decode(ply_file(element("vertex", rows)), ".ply", name="a")


@given(st.data())
@pytest.mark.filterwarnings("ignore:.*left out .* splats")
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
