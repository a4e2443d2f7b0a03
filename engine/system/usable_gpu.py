"""The GPU that this package may use: present, and under a driver that is new enough."""

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.present_gpu import PresentGpu, driver_cuda_version, present_gpu

OLDEST_CUDA = (13, 0)  # of the driver


def check_gpu(what: str, device: int, remedy: str) -> PresentGpu:
    """Return the GPU with this number, or say in one sentence what keeps it from being used.

    Args:
        what: That needs it, "the backend cuda".
        device: Its number.
        remedy: To append, "or use the backend onnxruntime".

    Raises:
        InputError: There are others, but not this one.
        GeoLRMError: The driver or the GPU is missing, or the driver is too old.
    """
    try:
        gpu = present_gpu(device)
    except GeoLRMError as error:
        if str(error).startswith("there is no GPU"):
            raise InputError(f"device is {device}, but {error}") from error
        raise GeoLRMError(
            f"{what} needs an NVIDIA GPU, but {error}; install a driver of CUDA "
            f"{_dotted(OLDEST_CUDA)} or later, {remedy}"
        ) from error
    version = driver_cuda_version()
    if version < OLDEST_CUDA:
        raise GeoLRMError(
            f"{what} needs a driver of CUDA {_dotted(OLDEST_CUDA)} or later, and the NVIDIA driver "
            f"of this machine supports CUDA {_dotted(version)}; update the driver, {remedy}"
        )
    return gpu


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
