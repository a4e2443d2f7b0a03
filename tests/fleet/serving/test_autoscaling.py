"""Engines come when requests queue, and go when none do: Ray Serve's own autoscaling, for real."""

import socket
import sys
import threading
import time

import pytest
from harness.served import client_of, send
from samples.served_captures import box_zip

from geolrm.fleet.serving.settings import make_settings

pytestmark = [  # about a minute, most of it the start of Ray's processes
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="Ray is tested there"),
]
PATIENCE = 180  # seconds
OFTEN = {  # seconds between looks, of which Ray takes ten
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture
def address(bundles, monkeypatch):
    for name, value in OFTEN.items():
        monkeypatch.setenv(name, value)
    import ray
    from ray import serve

    from geolrm.fleet.serving.deployments import make_application

    settings = make_settings(
        model=str(bundles["token"]), max_replicas=2, cpus=0.5, threads=1, upscale_seconds=1.0,
        downscale_seconds=2.0, loopback=True,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(make_application(settings), name="geolrm", route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def engines():
    """How many replicas run."""
    from ray import serve

    states = serve.status().applications["geolrm"].deployments["Engines"].replica_states
    return {str(state): count for state, count in states.items()}.get("RUNNING", 0)


def wait_for(count):
    deadline = time.monotonic() + PATIENCE
    while engines() != count:
        assert time.monotonic() < deadline, f"{engines()} engines run"
        time.sleep(0.2)


def test_a_second_engine_comes_under_load_and_goes_after_it(address):
    assert engines() == 1
    over, answers, memory = threading.Event(), [], set()

    def ask():
        with client_of(address) as client:
            while not over.is_set():
                answers.append(send(client, box_zip(), refine_steps=10))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    try:
        for client in clients:
            client.start()
        wait_for(2)
        with client_of(address) as client:
            deadline = time.monotonic() + PATIENCE
            while len(memory) < 2:  # both work, and say how much they hold
                assert time.monotonic() < deadline
                lines = client.get("/metrics").text.splitlines()
                memory = {line for line in lines if "engine_resident_memory_bytes{" in line}
                time.sleep(0.2)
    finally:
        over.set()
        for client in clients:
            client.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1  # whichever engine made them
    assert all(float(line.split()[-1]) > 30e6 for line in memory)
    wait_for(1)
    with client_of(address) as client:
        assert send(client, box_zip(), refine_steps=10).content == answers[0].content
