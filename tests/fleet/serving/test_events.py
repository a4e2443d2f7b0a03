import asyncio

import pytest
from harness.served import events_of

from geolrm import InputError
from geolrm.fleet.serving import events
from geolrm.fleet.serving.events import EventResponse, event
from geolrm.fleet.serving.refusals import Refusal


def test_an_event_is_one_block_whatever_it_says():
    assert event("stage", {"stage": "a\n\ndata: x"}) == (
        b'event: stage\ndata: {"stage": "a\\n\\ndata: x"}\n\n'
    )


async def stream(response):
    sent = []

    async def send(message):
        sent.append(message.get("body", b""))

    async def receive():
        await asyncio.sleep(60)

    await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    return b"".join(sent).decode()


def run(work, facts=None):
    async def scenario():
        response = EventResponse(work, "id", {} if facts is None else facts)
        await response.begin()
        return await stream(response)

    return asyncio.run(scenario())


def test_stages_come_as_they_begin_with_signs_of_life_between(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(events, "FIRST_SECONDS", 0.01)

    async def work(tell):
        await asyncio.sleep(0.02)
        tell("encode")
        await asyncio.sleep(0.1)
        tell("refine")
        return {"link": "/x"}

    facts = {}
    text = run(work, facts)
    assert events_of(text) == [
        ("accepted", {"request_id": "id"}), ("stage", {"stage": "encode"}),
        ("stage", {"stage": "refine"}), ("done", {"link": "/x"}),
    ]  # fmt: skip
    assert text.count(": still at it\n\n") >= 2 and facts == {"outcome": "done"}


@pytest.mark.parametrize(
    ("error", "status", "sentence", "outcome"),
    [(InputError("too dark"), 422, "too dark", "content"),
     (KeyError("secret"), 500, "the server met an error of its own", "fault"),
     (Refusal(429, "full", 7), 429, "full", "busy")],
)  # fmt: skip
def test_what_fails_later_is_the_last_event(monkeypatch, error, status, sentence, outcome):
    monkeypatch.setattr(events, "FIRST_SECONDS", 0.0)

    async def work(tell):
        await asyncio.sleep(0.02)
        raise error

    facts = {}
    name, data = events_of(run(work, facts))[-1]
    assert name == "failed" and sentence in data["error"] and "secret" not in data["error"]
    assert (data["status"], data["request_id"], facts) == (status, "id", {"outcome": outcome})
    assert data["retry_after"] == getattr(error, "retry_after", None)


def test_what_is_refused_at_once_is_no_stream():
    async def work(tell):
        raise Refusal(429, "full", 7)

    with pytest.raises(Refusal, match="full"):
        run(work)


def test_a_client_that_leaves_ends_the_work():
    ended = []

    async def work(tell):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def scenario():
        response = EventResponse(work, "id", {})

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            pass

        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(scenario())
    assert ended == [True]
