import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm import InputError
from geolrm.engine.formats import archive

MEMBERS = {"a.bin": bytes(range(256)), "empty": b"", "ü/c.txt": b"text" * 99}


@given(st.dictionaries(st.text("abc./", min_size=1, max_size=70), st.binary(max_size=200)),
       st.sampled_from([1, 4, 64]))  # fmt: skip
def test_another_reader_finds_every_member_where_it_should_be(members, align):
    content = archive.write(members, align=align)
    assert archive.read(content, "it") == members
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        assert {info.filename: opened.read(info) for info in opened.infolist()} == members
        for info in opened.infolist():
            name_size, extra_size = struct.unpack_from("<HH", content, info.header_offset + 26)
            assert (info.header_offset + 30 + name_size + extra_size) % align == 0
            assert info.compress_type == zipfile.ZIP_STORED


def test_the_same_members_give_the_same_bytes():
    assert archive.write(MEMBERS) == archive.write(dict(MEMBERS))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("streamed", [False, True])
def test_archives_of_others_are_read(method, streamed):
    class Pipe(io.BytesIO):  # sizes then follow the members instead of preceding them
        def seekable(self):
            return not streamed

    file = Pipe()
    with zipfile.ZipFile(file, "w", method) as opened:
        for name, body in MEMBERS.items():
            opened.writestr(name, body)
    assert archive.read(file.getvalue(), "it") == MEMBERS


def one(**changes):
    """An archive of one deflated member, whose fields in the list of members were changed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(b"0123456789" * 9) + packer.flush()
    entry = {"flags": 0, "method": 8, "crc": zlib.crc32(b"0123456789" * 9), "packed": len(body),
             "plain": 90, "at": 0, "count": 1, "magic": b"PK\1\2"} | changes  # fmt: skip
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 33, 0, 0, 0, 1, 0) + b"m" + body
    sizes = (entry["crc"], entry["packed"], entry["plain"])
    listed = struct.pack(
        "<4sHHHHHHIIIHHHHHII", entry["magic"], 20, 20, entry["flags"], entry["method"], 0, 33,
        *sizes, 1, 0, 0, 0, 0, 0, entry["at"],
    ) + b"m"  # fmt: skip
    end = struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, entry["count"], entry["count"], len(listed), len(local), 0
    )
    return local + listed + end


REFUSED = [
    (b"", "is no ZIP archive, or its end is missing; copy it again"),
    (b"PK\5\6", "is no ZIP archive, or its end is missing; copy it again"),
    (one(count=65), "states 65 members in .*; at most 64 within one archive are read"),
    (one(count=2), "lists fewer members than it states; it is damaged"),
    (one(magic=b"PK\1\3"), "lists its members wrongly; it is damaged"),
    (one(flags=1), "'m' is encrypted or packed by method 8; 0 and 8 are read"),
    (one(method=12), "'m' is encrypted or packed by method 12; 0 and 8 are read"),
    (one(at=7), "'m' is not where the archive says; it is damaged"),
    (one(packed=10**6), "'m' states 1000000 bytes that become 90; it is damaged"),
    (one(method=0), "'m' states 15 bytes that become 90; it is damaged"),
    (one(plain=91), "'m' is not what its checksum and size say; it is damaged"),
    (one(plain=0), "'m' is not what its checksum and size say; it is damaged"),
    (one(crc=1), "'m' is not what its checksum and size say; it is damaged"),
    (one(packed=5), "'m' is not what its checksum and size say; it is damaged"),
    (one(plain=10**9), "states 1,000,000,000 bytes of contents, but has .*; it may hold 64 times"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_damaged_archives_are_refused(content, message):
    assert archive.read(one(), "it") == {"m": b"0123456789" * 9}
    with pytest.raises(InputError, match=message):
        archive.read(content, "it")


def test_damaged_streams_and_names_that_come_twice_are_refused():
    broken = one().replace(b"m" + one()[31:35], b"m\xff\xff\xff\xff", 1)
    with pytest.raises(InputError, match="it: 'm' cannot be decompressed: Error -3"):
        archive.read(broken, "it")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened, pytest.warns(UserWarning):
        opened.writestr("m", b"1")
        opened.writestr("m", b"2")
    with pytest.raises(InputError, match="it holds 'm' twice; it is damaged"):
        archive.read(file.getvalue(), "it")


def test_members_that_share_bytes_are_refused():
    body = bytes(1000)
    shared = archive.write({"a": body})
    end = shared.rindex(b"PK\5\6")
    (at,) = struct.unpack_from("<I", shared, end + 16)
    entry = shared[at:end]
    entries = entry + entry.replace(b"a", b"b")
    content = shared[:at] + entries
    content += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2, 2, len(entries), at, 0)
    with pytest.raises(InputError, match="it has members that overlap; it is damaged"):
        archive.read(content, "it")


def test_archives_of_4_gib_are_not_written(monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 1000)
    with pytest.raises(InputError, match="would have 1,030 bytes or more; at most 1,000 fit: wri"):
        archive.write({"m": bytes(1030)})
