"""Results that differ are told apart from those that agree, and the library of Windows is whole."""

import runpy
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
COMPARE = runpy.run_path(str(HERE / "compare_results.py"))
WINDOWS = runpy.run_path(str(HERE / "windows_python.py"))


def written(path, *arrays):
    with path.open("wb") as file:
        for isa, name, values in arrays:
            file.write(f"{isa} {name} {len(values)}\n".encode())
            file.write(np.asarray(values, "<f4").tobytes())
    return COMPARE["read"](path)


def test_what_was_written_is_read(tmp_path):
    read = written(
        tmp_path / "a", ("avx2", "rgb", [1, 2]), ("avx2", "rgb", []), ("plain", "rgb", [3])
    )
    assert {key: values.tolist() for key, values in read.items()} == {
        ("avx2", "rgb", 0): [1, 2], ("avx2", "rgb", 1): [], ("plain", "rgb", 0): [3],
    }  # fmt: skip


def test_the_last_bit_of_a_pixel_may_differ_and_no_more(tmp_path):
    here = written(tmp_path / "here", ("avx2", "rgb", [0.5, 0.25]))
    near = written(tmp_path / "near", ("neon", "rgb", [0.5, 0.25 + 1e-7]))
    far = written(tmp_path / "far", ("neon", "rgb", [0.5, 0.25 + 1e-5]))
    (line,) = COMPARE["compare"](here, near)
    assert line.startswith("  neon rgb: 50.00% of 2 the same, the others within 8.9e-08")
    with pytest.raises(SystemExit, match="neon rgb: .*too far apart"):
        COMPARE["compare"](here, far)


def test_gradients_may_differ_here_and_there_and_not_everywhere(tmp_path):
    few = np.zeros(20_001)
    few[0] = 0.01
    here = written(tmp_path / "here", ("plain", "splat_gradients", np.zeros(20_001)))
    COMPARE["compare"](here, written(tmp_path / "few", ("plain", "splat_gradients", few)))
    with pytest.raises(SystemExit, match="too far apart"):
        COMPARE["compare"](
            here, written(tmp_path / "all", ("plain", "splat_gradients", few + 0.001))
        )


def test_other_nans_and_other_lengths_are_found(tmp_path):
    here = written(tmp_path / "here", ("plain", "rgb", [np.nan, 1]))
    COMPARE["compare"](here, here)
    for values in ([1, np.nan], [np.nan, 1, 1]):
        with pytest.raises(SystemExit, match="values, or other NaNs"):
            COMPARE["compare"](here, written(tmp_path / "there", ("plain", "rgb", values)))


def test_another_cpu_has_nothing_to_compare_with(tmp_path):
    here = written(tmp_path / "here", ("plain", "rgb", [1]))
    there = written(tmp_path / "there", ("neon", "rgb", [1]))
    assert COMPARE["compare"](here, there) == ["  neon rgb: this CPU has no avx2 to compare with"]


def test_the_library_of_windows_has_what_public_headers_declare(tmp_path):
    (tmp_path / "internal").mkdir()
    (tmp_path / "a.h").write_text(
        "PyAPI_FUNC(int) PyA_Do(void);\nPyAPI_FUNC(PyObject *) PyA_New(\n  int);\n"
        "PyAPI_DATA(PyTypeObject) PyA_Type;\n/* PyAPI_FUNC(int) PyA_Old(void); */\n",
        encoding="utf-8",
    )
    (tmp_path / "internal" / "b.h").write_text("PyAPI_FUNC(int) _PyB(void);\n", encoding="utf-8")
    lines = WINDOWS["exports"](tmp_path).splitlines()
    assert lines[0].startswith("LIBRARY python3") and lines[1] == "EXPORTS"
    assert lines[2:] == ["PyA_Do", "PyA_New", "PyA_Type DATA"]
