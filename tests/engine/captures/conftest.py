"""One coloured box, photographed once for all readers."""

import pytest
from samples.capture_files import box_cameras, box_photos


@pytest.fixture(scope="session")
def cameras():
    return box_cameras()


@pytest.fixture(scope="session")
def photos(cameras):
    return box_photos(cameras)
