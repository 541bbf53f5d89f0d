"""A cluster starts whole or not at all, heals itself, and leaves its data in order."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulators import Refused, cluster, layout
from tests.emulators.test_runner import until

DISPATCH = """
import json, os
import flask
from shared import log, runtime

def dispatch(request):
    if request.method == "POST":
        current = runtime.current()
        topic = current.config.topic("tasks")
        current.bus.publish(topic, request.get_data(), {"agent": "light"})
        log.event("queued", function="dispatch")
    return flask.jsonify(dict(os.environ, PID=str(os.getpid())))
"""
AGENT = """
import json, os
from pathlib import Path
import flask
from shared import config, oidc

def agent_light(request):
    if request.method == "POST":
        settings = config.load()
        oidc.verify_push(request.headers, settings.pubsub_audience, settings)
        Path(os.environ["PUSHED"]).write_text(json.dumps(request.get_json()))
    return flask.jsonify(dict(os.environ))
"""


def write(folder: Path, **functions: str) -> Path:
    """A functions folder."""
    for name, text in functions.items():
        (folder / "functions" / name).mkdir(parents=True)
        (folder / "functions" / name / "main.py").write_text(text)
    return folder / "functions"


def call(url: str, data: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(url, data, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    functions = write(folder, dispatch=DISPATCH, agent_light=AGENT)
    env = {"PUSHED": str(folder / "pushed"), "AGENT_COST_PER_RUN_CENTS": "7"}
    with cluster.Cluster(folder / "data", functions=functions, env=env) as started:
        yield started


def test_a_message_goes_from_function_to_function_with_a_token_that_verifies(
    running: cluster.Cluster,
) -> None:
    call(running.gateway_url + "/dispatch", b'{"n": 1}')
    pushed = running.layout.data.parent / "pushed"
    until(pushed.exists)
    until(lambda: bool(pushed.read_text()))
    assert json.loads(pushed.read_text())["message"]["attributes"] == {"agent": "light"}
    until(lambda: "queued" in [line["message"] for line in running.logs("dispatch")])


def test_functions_get_the_local_clouds_environment(running: cluster.Cluster) -> None:
    dispatch = call(running.gateway_url + "/health")
    agent = call(running.agent_url("light") + "/health")
    assert dispatch["BACKEND"] == "embedded"
    assert dispatch["AGENTS"] == "light"
    assert dispatch["AGENT_LIGHT_URL"] == running.agent_url("light")
    assert dispatch["AGENT_COST_PER_RUN_CENTS"] == "7"
    assert "PUBSUB_VERIFY_OIDC" not in dispatch
    assert agent["PUBSUB_VERIFY_OIDC"] == "true"
    assert agent["PUBSUB_AUDIENCE"] == running.agent_url("light") + "/pubsub/push"


@pytest.mark.parametrize("process", ["dispatch", "edge"])
def test_what_is_killed_comes_back_and_the_next_request_waits_for_it(
    running: cluster.Cluster, process: str
) -> None:
    before = running.pid(process)
    running.kill(process)
    until(lambda: running.pid(process) not in (None, before))
    until(running.ready)
    assert call(running.gateway_url + "/health")["PID"]


def test_a_second_cluster_on_the_same_data_is_refused(running: cluster.Cluster) -> None:
    second = cluster.Cluster(running.layout.data, functions=running.layout.functions)
    for begin in (second.start, second.reset):
        with pytest.raises(Refused, match=f"in use by process {os.getpid()}.*--data"):
            begin()
    assert running.ready()


def test_a_port_that_is_in_use_is_named_with_the_option_that_helps(tmp_path: Path) -> None:
    functions = write(tmp_path, dispatch=DISPATCH)
    ports = layout.Ports.free()
    with socket.create_server(("127.0.0.1", ports.gateway)):
        refused = cluster.Cluster(tmp_path / "data", functions=functions, ports=ports)
        with pytest.raises(Refused, match=f"port {ports.gateway}.*--ports"):
            refused.start()


def test_a_function_that_cannot_start_is_named_with_its_error(tmp_path: Path) -> None:
    functions = write(tmp_path, dispatch="def dispatch(request:\n")
    broken = cluster.Cluster(tmp_path / "data", functions=functions)
    with pytest.raises(Refused, match=r"(?s)dispatch did not start.*SyntaxError"):
        broken.start()
    assert broken.pid("dispatch") is None


def test_reset_clears_the_data_but_keeps_the_issuers_key(tmp_path: Path) -> None:
    kept, gone = tmp_path / "issuer.pem", tmp_path / "zantara.db"
    kept.write_text("key")
    gone.write_text("data")
    cluster.Cluster(tmp_path).reset()
    assert kept.exists()
    assert not gone.exists()
