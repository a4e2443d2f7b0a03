import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from geolrm.bench import cuda_instructions
from geolrm.bench.cuda_instructions import Counts, Instruction
from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention
from geolrm.engine.cuda.compiler import compiler_version
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system import extras

AS_ENGINES_STORE = ("float16", "float32", "float32", "float32", "float16")
RELEASED = DeformableCrossAttention(*cuda_instructions.RELEASED, *AS_ENGINES_STORE)
PRINTED = """\
//--------------------- .text.other --------------------------
.text.other:
        /*0000*/                   EXIT ;
.text.kernel:
.L_x_0:
        /*0000*/                   S2R R1, SR_TID.X ;
.L_x_1:
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0020*/              @P0 BRA `(.L_x_2) ;
        /*0030*/                   HFMA2 R1, R2.H0_H0, R3, R4 ;
.L_x_2:
        /*0040*/              @!UP1 UIADD3 UR4, UR4, 0x1, URZ ;
        /*0050*/              @!P1 BRA `(.L_x_1) ;
.L_x_3:
        /*0060*/                   BRA `(.L_x_3);
"""


def test_machine_code_is_read():
    code = cuda_instructions.parse(PRINTED, "kernel")
    assert [each.name for each in code] == [
        "S2R", "LDG.E.128.CONSTANT", "BRA", "HFMA2", "UIADD3", "BRA", "BRA"
    ]  # fmt: skip
    assert [each.jump for each in code] == [None, None, 4, None, None, 1, 6]
    assert cuda_instructions.loops(code) == [range(1, 6)]
    assert [each.name for each in cuda_instructions.parse(PRINTED, "other")] == ["EXIT"]


def test_loops_are_told_apart_and_counted():
    """A view of two steps; in each, warps place 2 2/3 times and blend eight samples at once."""
    view = [Instruction("FADD")] * 10
    place = [*[Instruction("FMUL")] * 5, Instruction("STS.128"), Instruction("BRA", jump=47)]
    blend = [Instruction("LDG.E.128")] * 32 + [Instruction("HFMA2")] * 8
    step = [Instruction("BRA", jump=46), *blend, Instruction("LDS"), *place,
            Instruction("BAR.RED"), Instruction("BRA", jump=5)]  # fmt: skip
    code = [*view[:5], *step, *view[5:], Instruction("BAR.SYNC"), Instruction("BRA", jump=0)]
    assert code[47].name == "FMUL" and code[5].jump == 46 and code[46].name == "LDS"
    counts = cuda_instructions.count_code(code, RELEASED)
    assert counts == Counts(
        sample=5, placed=7, step=4, view=12, samples=16, steps=2, passes=pytest.approx(4 / 3)
    )
    assert counts.each == pytest.approx((2 * (8 * 5 + 4 / 3 * 7 + 4) + 12) / 16)
    warps = 100 * 3
    assert cuda_instructions.layer(RELEASED, counts, 2, 100) == pytest.approx(
        16 * counts.each * 2 * warps
    )


def needs_disassembler(test):
    missing = shutil.which("nvdisasm") is None and not extras.installed_version(
        "nvidia-cuda-nvdisasm"
    )
    missing = missing or importlib.util.find_spec("cuda") is None
    return pytest.mark.skipif(missing, reason="NVRTC or nvdisasm is not installed")(test)


@needs_disassembler
@pytest.mark.parametrize("architecture", ["sm_86", "sm_90", "sm_120"])
@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_a_sample_is_blended_in_pairs_by_at_most_46_instructions(architecture, storage):
    types = (storage, "float32", "float32", "float32", storage)
    kernel = DeformableCrossAttention(*cuda_instructions.RELEASED, *types)
    counts = cuda_instructions.count(kernel, architecture)
    assert (counts.samples, counts.steps) == (16, 2)
    assert 32 + 4 < counts.sample <= 46  # 16 blend pairs, 16 widen and add; 4 read
    assert counts.placed < 100
    assert counts.each < 77


@needs_disassembler
def test_the_page_tells_the_counts():
    if compiler_version() != "13.0":
        pytest.skip("the page is about NVRTC 13.0")
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    counts = cuda_instructions.count(RELEASED, "sm_90")
    for title, value in (("to read and blend a sample", counts.sample), ("in all", counts.each)):
        (now,) = re.findall(rf"^\| .*{title}.* \| \d+ \| (\d+) \|", page, re.MULTILINE)
        assert float(now) == round(value)


def test_a_missing_disassembler_is_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(extras, "installed_version", lambda package: None)
    with pytest.raises(GeoLRMError) as raised:
        cuda_instructions.find_disassembler()
    assert str(raised.value) == (
        "the count of instructions needs nvidia-cuda-nvdisasm, which is not installed; run: "
        "pip install 'geolrm[test]'"
    )


@needs_disassembler
def test_the_table(capsys):
    cuda_instructions.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2 * 4
    assert re.fullmatch(
        r"\| float16 \| sm_90 \| 4\d\.\d \| \d+ \| 7\d\.\d \| 1\.\d\de9 \|", lines[4]
    )
