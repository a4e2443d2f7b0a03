"""The output of Nsight Compute is a sample of its format; the program it counts runs elsewhere."""

import stat
import sys

import pytest

from geolrm.bench.gpu import counters
from geolrm.bench.gpu.report import NotRun, Part, Recorder

NAMES = ("ID", "Process ID", "Kernel Name", "gpu__time_duration.sum",
         "launch__registers_per_thread", "lts__t_bytes.sum",
         "sm__warps_active.avg.pct_of_peak_sustained_active")  # fmt: skip
UNITS = ("", "", "", "us", "register/thread", "Mbyte", "%")
ATTENTION = ("0", "41", "deformable_cross_attention_biased(const Half *, int)", "2,093.1", "95",
             "13,970.5", "24.8")  # fmt: skip
BLEND = ("1", "41", "blend_tiles(int)", "41.2", "80", "60.1", "61.0")
OUTPUT = "\n".join([
    "==PROF== Connected to process 41 (/opt/python3)",
    '==PROF== Profiling "blend_tiles": 0%....100% - 8 passes',
    *(",".join(f'"{cell}"' for cell in line) for line in (NAMES, UNITS, ATTENTION, BLEND)),
    "what the program printed",
])  # fmt: skip


def test_a_row_for_each_launch_with_its_units():
    assert counters.parse(OUTPUT) == [
        {"kernel": "deformable_cross_attention_biased", "time": "2,093.1 us",
         "L2 bytes": "13,970.5 Mbyte", "occupancy %": 24.8, "registers": 95.0},
        {"kernel": "blend_tiles", "time": "41.2 us", "L2 bytes": "60.1 Mbyte",
         "occupancy %": 61.0, "registers": 80.0},
    ]  # fmt: skip
    assert counters.parse("==ERROR== no permission") == []


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program in place of ncu, whose output a test sets."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(output):
        (tmp_path / "output").write_text(output)
        path = tmp_path / "ncu"
        path.write_text(
            f"#!{sys.executable}\nimport sys\nopen({str(tmp_path / 'given')!r}, 'w').write("
            f"chr(10).join(sys.argv[1:]))\nprint(open({str(tmp_path / 'output')!r}).read())\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return tmp_path / "given"

    return make


def test_the_clocks_stay_as_they_are(tool):
    given, part = tool(OUTPUT), Part("Counters", "running")
    counters.measure(Recorder(part))
    assert [row["kernel"] for row in part.rows] == [
        "deformable_cross_attention_biased", "blend_tiles",
    ]  # fmt: skip
    words = given.read_text().splitlines()
    assert words[words.index("--kernel-name") + 1] == (
        "regex:^(self_attention|deformable_cross_attention_biased|bin_splats|blend_tiles)$"
    )
    assert words[words.index("--clock-control") + 1] == "none"
    assert words[-2:] == ["-m", "geolrm.bench.gpu.counted"]


def test_without_the_tool_or_its_permission_it_is_not_run(tool, monkeypatch):
    record = Recorder(Part("Counters", "running"))
    with pytest.raises(NotRun, match=r"^Nsight Compute \(ncu\) is not on the PATH$"):
        counters.measure(record)
    tool("==ERROR== ERR_NVGPUCTRPERM")
    sentence = "^ncu counted nothing and ended with 0: ==ERROR== ERR_NVGPUCTRPERM$"
    with pytest.raises(NotRun, match=sentence):
        counters.measure(record)
