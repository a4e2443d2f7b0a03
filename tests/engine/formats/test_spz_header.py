import pytest

from geolrm import InputError
from geolrm.engine.formats.spz_header import Fields, check_fields, check_size


@pytest.mark.parametrize(
    ("version", "degree", "bytes_each"), [(2, 0, 19), (3, 0, 20), (4, 1, 29), (4, 3, 65)]
)
def test_bytes_a_splat(version, degree, bytes_each):
    fields = Fields(version, 1, degree, 12, 0)
    assert sum(fields.widths()) == bytes_each
    check_fields(fields, 0, "a")


@pytest.mark.parametrize(
    ("changes", "reserved", "message"),
    [
        ({"degree": 4}, 0, "a has harmonics of degree 4; at most 3 are read"),
        ({"bits": 25}, 0, "a has 25 fraction bits, flags 0x0 and reserved 0; at most 24, 0x3"),
        ({"flags": 0x80}, 0, "a has 12 fraction bits, flags 0x80 and reserved 0"),
        ({}, 7, "a has 12 fraction bits, flags 0x0 and reserved 7; at most 24, 0x3 and 0 are"),
    ],
)
def test_what_is_not_known_is_refused(changes, reserved, message):
    with pytest.raises(InputError, match=message):
        check_fields(Fields(3, 1, 0, 12, 0)._replace(**changes), reserved, "a")


def test_sizes_that_do_not_belong_to_the_splats():
    most = (64 * 1000 + (1 << 24)) // 20  # splats of 20 bytes each, in a file of 1,000
    check_size(Fields(3, most, 0, 12, 0), 1000, "a", most_packed=1000)
    with pytest.raises(InputError) as raised:
        check_size(Fields(3, most + 1, 0, 12, 0), 1000, "a", most_packed=1000)
    assert str(raised.value) == (
        "a states 842,061 splats, which are 16841220 bytes, but has 1000; a compressed file may "
        "hold 64 times its size and 16777216 bytes more: it is damaged, or save it as .ply"
    )
    with pytest.raises(InputError, match="a has 51 bytes, but its 100 splats take at most 50; it"):
        check_size(Fields(3, 100, 0, 12, 0), 51, "a", most_packed=50)
