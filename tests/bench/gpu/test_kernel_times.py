from types import SimpleNamespace

import pytest
import torch

from geolrm.bench.gpu import kernel_times
from geolrm.bench.gpu.report import NotRun


def averaged(key, microseconds, count):
    return SimpleNamespace(key=key, self_device_time_total=microseconds, count=count)


def test_the_longest_come_first_and_the_rest_is_one_row(monkeypatch):
    monkeypatch.setattr(kernel_times, "ROWS", 2)
    seen = [averaged("copy", 1000, 8), averaged("gemm" * 100, 6000, 4), averaged("host", 0, 99),
            averaged("norm", 2000, 2), averaged("cast", 1000, 6)]  # fmt: skip
    rows = kernel_times.rows_of(seen, runs=2)
    assert rows == [
        {"kernel": "gemm" * 30, "launches a run": 2.0, "ms a run": 3.0, "share": 0.6},
        {"kernel": "norm", "launches a run": 1.0, "ms a run": 1.0, "share": 0.2},
        {"kernel": "2 more", "launches a run": 7.0, "ms a run": 1.0, "share": 0.2},
        {"kernel": "all", "launches a run": 10.0, "ms a run": 5.0, "share": 1.0},
    ]
    assert kernel_times.rows_of([], runs=2) == []


def test_without_cuda_there_is_no_table():
    if torch.cuda.is_available():
        pytest.skip("this torch has a GPU")
    with pytest.raises(NotRun, match="^no table of kernels: torch sees no CUDA device$"):
        kernel_times.kernel_times(lambda: None)
