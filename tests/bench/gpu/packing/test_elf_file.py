import pytest
from samples.fat_libraries import cubin, make_library

from geolrm.bench.gpu.packing import elf_file
from geolrm.engine.errors import GeoLRMError


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "provider.so"
    return make_library(path, bytes(64), b"constants", program=True, second=32).read_bytes()


def test_sections_are_where_their_bytes_are(library):
    found = elf_file.sections(library)
    part = found[".nv_fatbin"]
    assert part.size == 64 and library[part.offset : part.offset + 64] == bytes(64)
    part = found[".rodata"]
    assert b"constants" in library[part.offset : part.offset + part.size]
    assert found[".text"].address > 0


def test_what_others_must_have_is_listed(library):
    names = elf_file.undefined_symbols(library)
    assert {"cudaLaunchKernel", "cudaMalloc", "cublasSgemm_v2"} < set(names)
    assert "launch" not in names


def test_the_length_of_a_file_inside_another():
    inner = cubin(b"code" * 5)
    assert elf_file.length(b"before" + inner + b"behind", 6) == len(inner)


def test_what_is_no_library_is_told():
    with pytest.raises(GeoLRMError) as caught:
        elf_file.sections(b"PK\x03\x04")
    assert str(caught.value) == "a library is no ELF file of 64 bits; download its wheel again"
