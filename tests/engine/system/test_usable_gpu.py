import pytest
from doubles.device import GPU, use_gpu_double

from geolrm import GeoLRMError, InputError
from geolrm.engine.system import usable_gpu
from geolrm.engine.system.usable_gpu import check_gpu


@pytest.fixture
def no_gpu(monkeypatch):
    """Let the driver refuse with a reason."""

    def because(reason):
        def present_gpu(index):
            raise GeoLRMError(reason.format(index))

        monkeypatch.setattr(usable_gpu, "present_gpu", present_gpu)

    return because


@pytest.mark.parametrize("cuda", [(13, 0), (13, 1), (14, 0)])
def test_a_gpu_under_a_driver_that_is_new_enough(monkeypatch, cuda):
    use_gpu_double(monkeypatch, cuda=cuda)
    assert check_gpu("the backend cuda", 0, "or leave it") is GPU


@pytest.mark.parametrize(("cuda", "shown"), [((12, 9), "12.9"), ((0, 0), "0.0")])
def test_an_old_driver(monkeypatch, cuda, shown):
    use_gpu_double(monkeypatch, cuda=cuda)
    with pytest.raises(GeoLRMError) as caught:
        check_gpu("the backend cuda", 0, "or use the CPU")
    assert str(caught.value) == (
        "the backend cuda needs a driver of CUDA 13.0 or later, and the NVIDIA driver of this "
        f"machine supports CUDA {shown}; update the driver, or use the CPU"
    )


def test_no_driver_is_nobodys_wrong_input(no_gpu):
    no_gpu("no NVIDIA driver was found")
    with pytest.raises(GeoLRMError) as caught:
        check_gpu("the backend cuda", 0, "or use the CPU")
    assert not isinstance(caught.value, InputError)
    assert str(caught.value) == (
        "the backend cuda needs an NVIDIA GPU, but no NVIDIA driver was found; install a driver "
        "of CUDA 13.0 or later, or use the CPU"
    )


def test_another_number_than_there_are_gpus(no_gpu):
    no_gpu("there is no GPU {}: the NVIDIA driver has 1 GPU, counted from 0")
    with pytest.raises(InputError) as caught:
        check_gpu("the backend cuda", 3, "or use the CPU")
    assert str(caught.value) == (
        "device is 3, but there is no GPU 3: the NVIDIA driver has 1 GPU, counted from 0"
    )
