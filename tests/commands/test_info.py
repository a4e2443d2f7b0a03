import json

from harness.processes import call_here


def test_info_describes_a_bundle(bundles):
    done = call_here("geolrm", "info", bundles["head"], "--json")
    facts = json.loads(done.stdout)
    assert facts["self_attention"] == "head" and facts["padded_tokens"] == 64
    assert facts["tokens"] == "1:64:512"
