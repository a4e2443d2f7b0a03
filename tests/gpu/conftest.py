"""The GPU that these tests need."""

import pytest

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.present_gpu import present_gpu


@pytest.fixture(scope="module")
def device():
    try:
        present_gpu()
    except GeoLRMError as error:
        pytest.skip(str(error))
    from geolrm.engine.cuda.device import open_device

    return open_device(0)
