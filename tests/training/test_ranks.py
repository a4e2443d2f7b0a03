"""What one process alone does; two under torchrun are in test_interrupts.py."""

import contextlib

import torch

from geolrm.training import ranks


def test_one_process_has_nobody_to_agree_with():
    alone, module = ranks.Process(), torch.nn.Linear(1, 1)
    assert ranks.parallel(module, alone) is module
    assert isinstance(ranks.apart(module), contextlib.nullcontext)
    assert ranks.agreed(alone, True, False) == [True, False]
    assert ranks.gathered("a", alone) == ["a"]
    assert ranks.share(None, alone) is None


def test_processes_agree_through_the_group(monkeypatch):
    """As gloo would reduce: another process wishes for the second."""

    def all_reduce(flags, op):
        assert op == ranks.dist.ReduceOp.MAX
        flags.copy_(torch.maximum(flags, torch.tensor([0.0, 1.0, 0.0])))

    monkeypatch.setattr(ranks.dist, "all_reduce", all_reduce)
    assert ranks.agreed(ranks.Process(count=2), True, False, False) == [True, True, False]
