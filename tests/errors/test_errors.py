"""Every message of docs/errors/ is produced here, and nothing else stands there."""

import shutil

import pytest
from errors import pages
from errors.case import Place
from errors.sites import Site, raises, sites_of

CASES = [
    pytest.param(case, id=f"{page}-{number}-{case.message[:40]}")
    for page, cases in pages.cases().items()
    for number, case in enumerate(cases)
]
REACHED: dict[int, set[Site]] = {}  # by the case's identity, as the tests bring them about


@pytest.fixture
def place(bundles, engine, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    return Place(
        folder,
        lambda: shutil.copytree(bundles["token"], tmp_path / "bundle"),
        lambda: engine,
        monkeypatch,
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")
def test_the_message_is_produced(case, place):
    with pytest.raises(case.kind) as raised:
        case.trigger(place)
    assert case.pattern.fullmatch(str(raised.value)), str(raised.value)
    assert len(str(raised.value)) < 1000
    REACHED[id(case)] = sites_of(raised.value)


def test_no_raise_lacks_a_case():
    if len(REACHED) < len(CASES):
        pytest.skip("only when every case has been brought about before")
    reached = set().union(*REACHED.values())
    lacking = {site: source for site, source in raises().items() if site not in reached}
    listed = [f"{file}:{line}: {source}" for (file, line), source in sorted(lacking.items())]
    assert not listed, "\n".join(["no case in tests/errors raises", *listed])


def test_the_pages_show_the_cases():
    written = {path.name: path.read_text(encoding="utf-8") for path in pages.FOLDER.glob("*.md")}
    assert written == pages.texts()


def test_no_message_stands_there_twice():
    for cases in pages.cases().values():
        messages = [case.message for case in cases]
        assert len(set(messages)) == len(messages)
        assert all(case.meaning.endswith((".", "?")) for case in cases)
