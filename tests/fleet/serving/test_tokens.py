import hmac

import pytest

from geolrm import InputError
from geolrm.fleet.serving import tokens
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.tokens import check_token, read_token

TOKEN = "0123456789abcdef"


def test_a_file_comes_before_the_environment(tmp_path):
    (tmp_path / "t").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "t", {"GEOLRM_TOKEN": "another, of 20 chars"}) == TOKEN
    assert read_token(None, {"GEOLRM_TOKEN": f" {TOKEN} "}) == TOKEN
    assert read_token(None, {}) is None
    assert read_token(None, {"GEOLRM_TOKEN": TOKEN}, required=True) == TOKEN
    with pytest.raises(InputError) as refused:
        read_token(None, {}, required=True)
    assert str(refused.value) == (
        "there is no token, and --require-token asks for one; set GEOLRM_TOKEN, or give "
        "--token-file"
    )


@pytest.mark.parametrize("text", ["", "short", "x" * 5000, "with a \x00 in it ......"])
def test_what_is_no_token_is_refused(tmp_path, text):
    (tmp_path / "t").write_text(text)
    with pytest.raises(InputError, match="a token has 16 to 4096 printable ones"):
        read_token(tmp_path / "t", {})
    if text:
        with pytest.raises(InputError, match="the variable GEOLRM_TOKEN holds"):
            read_token(None, {"GEOLRM_TOKEN": text})


def test_the_token_itself_is_never_quoted(tmp_path):
    (tmp_path / "t").write_text("secret")
    with pytest.raises(InputError) as refused:
        read_token(tmp_path / "t", {})
    assert "secret" not in str(refused.value)


def test_it_is_compared_in_constant_time(monkeypatch):
    compared, true = [], hmac.compare_digest

    def compare(a, b):
        compared.append((len(a), len(b)))
        return true(a, b)

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    check_token(TOKEN, f"Bearer {TOKEN}")
    check_token(TOKEN, f"bearer  {TOKEN}")
    for wrong in (None, "", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}0", "Bearer \udcff"):
        with pytest.raises(Refusal) as refused:
            check_token(TOKEN, wrong)
        assert refused.value.status == 401
    assert set(compared) == {(32, 32)} and len(compared) == 9  # always, and of digests
