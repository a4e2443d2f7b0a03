import importlib.util
import shutil
import sys

import pytest

from geolrm.bench import splat_instructions
from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.errors import GeoLRMError

PRINTED = """\
.text.blend_tiles:
.L_x_0:
        /*0000*/                   S2R R1, SR_TID.X ;
.L_x_1:
        /*0010*/                   MUFU.EX2 R21, R50 ;
        /*0020*/              @!P0 FADD R1, R2, R3 ;
        /*0030*/                   MUFU.EX2 R7, R20 ;
        /*0040*/               @P0 BRA `(.L_x_1) ;
        /*0050*/                   BRA.DIV UR14, `(.L_x_3) ;
        /*0060*/              @!P1 BRA `(.L_x_0) ;
.L_x_2:
        /*0070*/                   BRA `(.L_x_2);
.L_x_3:
        /*0080*/                   EXIT ;
"""


def has_disassembler() -> bool:
    try:
        splat_instructions.disassembler()
    except GeoLRMError:
        return False
    return importlib.util.find_spec("cuda") is not None


def test_loops_are_found():
    assert [len(loop) for loop in splat_instructions.loops(PRINTED)] == [4, 7, 1]
    with pytest.raises(ValueError, match="empty"):
        splat_instructions.of_a_record(PRINTED.replace("EX2 R7", "RCP R7"))
    assert splat_instructions.of_a_record(PRINTED) == 4


@pytest.mark.skipif(not has_disassembler(), reason="NVRTC or nvdisasm is not installed")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_86", "sm_89", "sm_90", "sm_120"])
def test_a_record_costs_a_warp_at_most_46_instructions(architecture):
    code = compile_source("rasterizer/blend", architecture).code
    # Two pixels: 8 sums of colours and depth, 9 steps to the exponents, 2 exponentials.
    assert 30 < splat_instructions.of_a_record(splat_instructions.disassemble(code)) <= 46


def test_a_missing_disassembler_is_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "path", [""])
    with pytest.raises(GeoLRMError) as raised:
        splat_instructions.disassembler()
    assert str(raised.value) == (
        "counting instructions needs nvdisasm, which is not installed; run: pip install "
        "nvidia-cuda-nvdisasm"
    )
