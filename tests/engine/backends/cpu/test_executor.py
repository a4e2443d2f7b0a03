import numpy as np

from geolrm import Engine
from geolrm.engine.backends.cpu.executor import Block
from geolrm.engine.backends.cpu.operators import OPERATORS
from geolrm.engine.backends.layout import ALIGNMENT


def test_a_block_grows_and_stays_aligned():
    block = Block()
    small = block.take(100)
    assert block.take(50).nbytes == 100 and np.shares_memory(small, block.take(100))
    assert block.take(1000).ctypes.data % ALIGNMENT == 0
    assert block.nbytes == 1000


def test_results_are_in_memory_of_their_own_and_steps_are_timed(bundles, shoe_views):
    engine = Engine(bundles["token"], threads=2)
    images, cameras = shoe_views
    first = engine.run(images, cameras, max_tokens=20)
    kept = first.gaussians.means.copy(), first.logits.copy()
    second = engine.run(images[::-1].copy(), cameras, max_tokens=30)
    np.testing.assert_array_equal(first.gaussians.means, kept[0])
    np.testing.assert_array_equal(first.logits, kept[1])
    assert not np.shares_memory(first.gaussians.means, second.gaussians.means)
    seconds = engine.step_seconds()
    assert min(seconds.values()) > 0
    assert {name.partition(": ")[2] for name in seconds} == set(OPERATORS)
