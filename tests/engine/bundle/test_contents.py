import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save

from geolrm.engine.bundle.contents import (
    Unfit,
    check_place,
    memory_of_machine,
    read_file,
    read_metadata,
    read_tensors,
)
from geolrm.engine.bundle.manifest import FileEntry

CONTENT = b"abc" * 700_000  # more than a piece


def entry_of(content):
    return FileEntry(len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("content", [b"", b"a", CONTENT])
def test_what_is_read_is_what_was_hashed(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert bytes(read_file(path, entry_of(content), keep=True)) == content
    assert read_file(path, entry_of(content), keep=False) is None


@pytest.mark.parametrize("keep", [True, False])
def test_another_size_and_another_hash(tmp_path, keep):
    path = tmp_path / "a"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(Unfit) as caught:
        read_file(path, entry_of(CONTENT), keep=keep)
    assert str(caught.value) == (
        "has 2099999 bytes, its manifest says 2100000: it is truncated or was changed"
    )
    path.write_bytes(CONTENT[1:] + b"d")
    with pytest.raises(Unfit) as caught:
        read_file(path, entry_of(CONTENT), keep=keep)
    assert str(caught.value) == "does not match its checksum: it is corrupt"


def test_a_large_file_that_the_manifest_calls_small_is_not_read(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Unfit, match="has 1099511627776 bytes, its manifest says 3"):
        read_file(tmp_path / "a", entry_of(b"abc"), keep=True)


def test_links_stay_in_their_folder(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (folder / "inside").symlink_to("a")
    check_place(folder / "inside", folder)
    (tmp_path / "secret").write_bytes(b"a")
    (folder / "outside").symlink_to("../secret")
    with pytest.raises(Unfit) as caught:
        check_place(folder / "outside", folder)
    assert str(caught.value) == (
        "is a link out of the folder, to '../secret'; copy the bundle with the files themselves: "
        "cp -rL FROM TO"
    )
    (tmp_path / "link").symlink_to(folder)
    check_place(tmp_path / "link" / "a", tmp_path / "link")  # the folder itself may be one
    for name, make in (("none", None), ("folder", "mkdir")):
        if make:
            getattr(folder / name, make)()
        with pytest.raises(Unfit, match="^is missing$"):
            check_place(folder / name, folder)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=9).filter(lambda name: name != "__metadata__"),
        arrays.arrays(
            st.sampled_from([np.float16, np.float32]), arrays.array_shapes(min_dims=0, min_side=0)
        ),
        max_size=4,
    )
)
def test_tensors_are_those_of_the_library_itself(tensors):
    read = read_tensors(save(tensors, {"a": "b"}), set(tensors))
    assert set(read) == set(tensors)
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()
        assert read[name].flags.owndata or not array.size


def stored(header, data=b"\0" * 8, length=None):
    raw = header.encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def tensor(kind="F32", shape="[2]", offsets="[0,8]"):
    return f'{{"x":{{"dtype":"{kind}","shape":{shape},"data_offsets":{offsets}}}}}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header has 0 bytes, the file 0"),
        (b"short", "its header has 500136110195 bytes, the file 5"),
        (stored("{}", length=2**63), "its header has 9223372036854775808 bytes, the file 18"),
        (stored("[]"), "Expected `object`, got `array`"),
        (stored("{"), "Input data was truncated"),
        (stored('{"x": 3}'), "Expected `object`, got `int`"),
        (stored(tensor(kind="I64")), "'x' is 'I64', not one of F16, F32"),
        (stored(tensor(shape="[3]")), r"'x' has shape \[3\] in bytes 0 to 8"),
        (stored(tensor(shape="[-1,-2]")), r"'x' has shape \[-1, -2\] in bytes 0 to 8"),
        (stored(tensor(shape="[100000000000,100000000000]")), "'x' has shape"),
        (stored(tensor(shape=f"[{','.join(['9' * 18] * 10**5)}]")), "'x' has 100000 axes"),
        (stored(tensor(offsets="[8,16]")), r"'x' has shape \[2\] in bytes 8 to 16"),
        (stored(tensor(offsets="[-8,0]")), r"'x' has shape \[2\] in bytes -8 to 0"),
        (stored(tensor(offsets="[8,0]")), r"'x' has shape \[2\] in bytes 8 to 0"),
    ],
)
def test_damaged_weights(content, message):
    with pytest.raises(ValueError, match=message):
        read_tensors(content, {"x"})


def test_the_header_alone_is_read(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(save({"x": np.zeros(3, np.float32)}, {"a": "b"})[:-12])  # without its data
    assert read_metadata(path) == {"a": "b"}
    path.write_bytes(save({"x": np.zeros(3, np.float32)}))
    assert read_metadata(path) == {}
    for damaged in (b"", b"{}", stored("[]"), stored("{"), stored("{}", length=2**40)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            read_metadata(path)
    with pytest.raises(Unfit, match="^is missing$"):
        read_metadata(tmp_path / "none")


def test_a_missing_tensor():
    with pytest.raises(KeyError, match="y"):
        read_tensors(stored(tensor()), {"x", "y"})


@given(st.binary(max_size=200))
def test_any_bytes_are_weights_or_refused(content):
    with pytest.raises((KeyError, ValueError)):
        read_tensors(content, {"x"})


def test_a_machine_has_memory():
    assert memory_of_machine() > 1e8
