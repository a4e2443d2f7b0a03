"""What is bound to deployments, and how a server under Ray begins and ends; without a cluster."""

import json
import signal
import threading
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from geolrm.fleet.serving import ray_server
from geolrm.fleet.serving.deployments import Front, make_application
from geolrm.fleet.serving.settings import make_settings

TOKEN = "a token of 20 chars."


def app_of(application):
    """The routes as the replica makes them, from what was bound to it alone."""
    bound = application._bound_deployment
    (own,) = [each for each in Front.func_or_class.__mro__ if each.__name__ == "Front"][-1:]
    front = object.__new__(own)
    own.__init__(front, *bound.init_args)
    return front.__serve_build_asgi_app__(), bound.init_args[0]


def test_replicas_ask_for_the_token_of_the_driver(bundles, monkeypatch):
    monkeypatch.setenv("GEOLRM_TOKEN", TOKEN)
    application = make_application(make_settings(model=str(bundles["token"])))
    monkeypatch.delenv("GEOLRM_TOKEN")  # no replica has it
    app, _ = app_of(application)
    client = TestClient(app)
    assert client.get("/metrics").status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", headers=headers).status_code == 200


def test_replicas_find_the_files_from_other_folders(bundles, monkeypatch, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "bundle").symlink_to(bundles["token"])
    monkeypatch.chdir(tmp_path)
    _, settings = app_of(make_application(make_settings(model="bundle", token_file="token")))
    assert settings.model == str(tmp_path / "bundle")
    assert settings.token_file == str(tmp_path / "token")


@pytest.mark.parametrize("prefix", ["", "/splats"])
def test_a_prefix_of_routes_opens_nothing(bundles, monkeypatch, prefix):
    monkeypatch.setenv("GEOLRM_TOKEN", TOKEN)
    app, _ = app_of(make_application(make_settings(model=str(bundles["token"]), loopback=True)))
    # As Ray's proxy does: the prefix stays in the path, and is the root of it.
    client = TestClient(app, base_url="http://localhost", root_path=prefix)
    assert client.get(f"{prefix}/metrics").status_code == 401
    assert client.post(f"{prefix}/v1/reconstructions").status_code == 401
    assert client.get(f"{prefix}/healthz").status_code == 200
    other = client.get(f"{prefix}/healthz", headers={"Host": "evil.example"})
    assert other.status_code == 403


class Cluster:
    """In the place of Ray and Ray Serve: notes what is asked, and has other applications."""

    def __init__(self, monkeypatch, busy=2):
        import ray
        from ray import serve

        self.calls, self.handlers, self.busy = [], {}, busy
        for module, name in (
            (ray, "init"), (ray, "shutdown"), (serve, "start"), (serve, "shutdown"),
            (serve, "delete"),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, self.noting(f"{module.__name__}.{name}"))
        monkeypatch.setattr(serve, "run", self.run)
        monkeypatch.setattr(serve, "status", self.status)
        monkeypatch.setattr(signal, "signal", self.handlers.__setitem__)
        monkeypatch.setattr(ray_server, "POLL_SECONDS", 0.01)
        monkeypatch.setattr(ray_server, "address_of", lambda: ("10.0.0.1", 8000))

    def noting(self, name):
        return lambda *arguments, **options: self.calls.append((name, arguments, options))

    def run(self, application, **options):
        self.application = application
        threading.Timer(0.05, self.handlers[signal.SIGTERM], (signal.SIGTERM, None)).start()

    def status(self):
        self.busy -= 1
        left = {"others": None} | ({"geolrm": None} if self.busy >= 0 else {})
        return SimpleNamespace(applications=left)

    @property
    def names(self):
        return [name for name, *_ in self.calls]


def lines_of(capsys):
    printed = capsys.readouterr().err.splitlines()
    return [json.loads(line) for line in printed if line.startswith("{")]


def test_its_end_waits_for_what_runs(monkeypatch, capsys):
    monkeypatch.delenv("GEOLRM_TOKEN", raising=False)
    cluster = Cluster(monkeypatch)
    ray_server.serve_on_ray(make_settings(), "127.0.0.1", 0, None)
    assert cluster.names == ["ray.init", "ray.serve.start", "ray.serve.delete",
                             "ray.serve.shutdown", "ray.shutdown"]  # fmt: skip
    assert cluster.calls[2][1:] == (("geolrm",), {"_blocking": False})
    assert cluster.busy < 0  # it was asked until the application was gone
    events = [line["event"] for line in lines_of(capsys)]
    assert events == ["listening", "ending", "ended"]
    assert app_of(cluster.application)[1].loopback is True


def test_on_a_cluster_of_others_its_own_application_ends_alone(monkeypatch, capsys):
    monkeypatch.delenv("GEOLRM_TOKEN", raising=False)
    cluster = Cluster(monkeypatch)
    ray_server.serve_on_ray(make_settings(), "0.0.0.0", 0, "auto")
    assert "ray.serve.delete" in cluster.names and "ray.serve.shutdown" not in cluster.names
    lines = lines_of(capsys)
    assert lines[0]["event"].startswith("no token: whoever reaches this address may use")
    (listening,) = [line for line in lines if line["event"] == "listening"]
    assert listening["url"] == "http://10.0.0.1:8000"  # where its proxies were told before
    assert app_of(cluster.application)[1].loopback is False


def test_what_never_ends_is_ended_after_the_limit(monkeypatch, capsys):
    cluster = Cluster(monkeypatch, busy=10**9)
    settings = make_settings(limits={"seconds": 0.05})
    monkeypatch.setattr(ray_server, "GRACE", 0.0)
    ray_server.serve_on_ray(settings, "127.0.0.1", 0, None)
    assert cluster.names[-2:] == ["ray.serve.shutdown", "ray.shutdown"]
