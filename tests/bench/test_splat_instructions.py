import importlib.util

import pytest

from geolrm.bench import cuda_instructions, splat_instructions
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
        /*0050*/              @!P1 BRA `(.L_x_0) ;
        /*0060*/                   EXIT ;
"""


def has_disassembler() -> bool:
    try:
        cuda_instructions.find_disassembler()
    except GeoLRMError:
        return False
    return importlib.util.find_spec("cuda") is not None


def test_the_loop_over_records_is_found():
    read = lambda text: cuda_instructions.parse(text, "blend_tiles")  # noqa: E731
    assert splat_instructions.of_a_record(read(PRINTED)) == 4
    with pytest.raises(ValueError, match="empty"):
        splat_instructions.of_a_record(read(PRINTED.replace("EX2 R7", "RCP R7")))


@pytest.mark.skipif(not has_disassembler(), reason="NVRTC or nvdisasm is not installed")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_86", "sm_89", "sm_90", "sm_120"])
def test_a_record_costs_a_warp_at_most_46_instructions(architecture):
    # Two pixels: 8 sums of colours and depth, 9 steps to the exponents, 2 exponentials.
    assert 30 < splat_instructions.count(architecture) <= 46
