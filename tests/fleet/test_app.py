"""What ``serve run geolrm.fleet.app:app`` calls, without a cluster."""

import pytest

from geolrm import BundleError, InputError


@pytest.fixture(scope="module")
def build():
    """As Ray calls it, with the arguments of a command line."""
    pytest.importorskip("ray.serve")
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as call

    from geolrm.fleet.app import app

    return lambda **arguments: call(app, arguments)


def test_arguments_are_the_fields_of_settings(build):
    from ray.serve import Application

    made = build(model="mini", max_replicas="8", cpus="2", limits={"queue": 3})
    assert isinstance(made, Application)
    front = made._bound_deployment
    assert front.name == "Front" and front.ray_actor_options["num_cpus"] == 0
    settings, token, engines, kept = front.init_args
    assert token is None
    assert (settings.max_replicas, settings.limits.queue) == (8, 3)
    assert kept._bound_deployment.name == "KeptResults"
    engines = engines._bound_deployment
    assert (engines.name, engines.max_ongoing_requests) == ("Engines", 1)
    assert engines._deployment_config.max_queued_requests == 3
    scaling = engines._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 8)
    assert engines.ray_actor_options["num_cpus"] == 2


def test_what_cannot_be_started_is_refused_before_any_replica(build, tmp_path):
    with pytest.raises(BundleError, match="no bundle at"):
        build(model=str(tmp_path / "none"))
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        build(token_file=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        build(nonsense="1")
