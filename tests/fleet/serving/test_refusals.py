import errno
import pickle
from pathlib import Path

import pytest

from geolrm import BundleError, InputError
from geolrm.fleet.serving.refusals import FAULT, Refusal, full, refusal_of, sentence_of


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (InputError("too dark"), 422, "too dark"),
        (BundleError("old"), 422, "old"),
        (MemoryError(), 503, "the server lacks the memory for this request; send fewer views"),
        (KeyError("secret"), 500, FAULT),
        (Refusal(413, "long"), 413, "long"),
    ],
)
def test_errors_have_a_status_and_a_sentence(error, status, sentence):
    refusal = refusal_of(error)
    assert (refusal.status, str(refusal)) == (status, sentence)
    assert str(pickle.loads(pickle.dumps(refusal))) == sentence
    assert pickle.loads(pickle.dumps(refusal)).status == status


def test_sentences_say_nothing_of_the_servers_folders_and_obey_nobody():
    folder = Path("/tmp/geolrm-abc")
    error = InputError("'/tmp/geolrm-abc/capture/\x1b[2Ja.json' of /tmp/geolrm-abc: \u202eno\nx")
    assert sentence_of(error, folder) == r"'capture/\x1b[2Ja.json' of the capture: \u202eno\nx"
    assert len(sentence_of(InputError("x" * 5000))) == 903


def test_headers_say_when_to_come_again_and_what_is_wanted():
    assert full(3, 0.2).headers == {"Retry-After": "1"}
    assert full(3, 12.4).headers == {"Retry-After": "12"}
    assert Refusal(401, "no").headers == {"WWW-Authenticate": "Bearer"}


def test_a_full_disk_is_no_fault_of_the_capture():
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = InputError("the zip file cannot be unpacked: No space left on device")
    wrapped.__cause__ = full
    for error in (full, wrapped):
        refusal = refusal_of(error)
        assert (refusal.status, refusal.retry_after) == (503, 60)
        assert refusal.sentence == "the server's disk is full; repeat the request later"
    assert refusal_of(InputError("a")).status == 422
