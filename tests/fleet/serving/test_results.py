"""Results for an hour, within their room."""

import asyncio

import pytest

from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.results import ResultsOnDisk


def test_a_result_is_there_for_an_hour_and_no_longer():
    now = [0.0]
    results = ResultsOnDisk(100, lambda: now[0])
    name = asyncio.run(results.keep(b"abc", "spz"))
    assert len(name) == 43  # 32 random bytes
    now[0] = 3599.9
    found, format = asyncio.run(results.find(name))
    assert (found.read_bytes(), format) == (b"abc", "spz")
    assert asyncio.run(results.find("../etc/passwd")) is None
    (file,) = results.folder.iterdir()
    assert file.name not in name
    now[0] = 3600.0
    assert asyncio.run(results.find(name)) is None
    assert list(results.folder.iterdir()) == []
    results.close()
    assert not results.folder.exists()


def test_what_has_no_room_comes_again_when_the_oldest_goes():
    now = [0.0]
    results = ResultsOnDisk(10, lambda: now[0])
    first = asyncio.run(results.keep(bytes(6), "ply"))
    now[0] = 600.0
    with pytest.raises(Refusal, match="take all the room that they have") as refused:
        asyncio.run(results.keep(bytes(5), "ply"))
    assert (refused.value.status, refused.value.retry_after) == (429, 3000)
    assert asyncio.run(results.find(first)) is not None  # promised, so it stays
    now[0] = 3600.0
    asyncio.run(results.keep(bytes(5), "ply"))
    results.close()
