"""The bridge alone, with the seed's variables, between a bus and functions started by hand."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from werkzeug.datastructures import Headers

from emulators import bridge, layout, topology
from shared import config, oidc
from tests.emulators.conftest import LIGHT, Bus
from tests.emulators.stage import PATIENCE, answer, endpoint, run


def endpoints(environ: dict[str, str]) -> dict[str, Any]:
    hops = bridge.hops(config.load(environ), environ)
    return {hop.subscription.name: hop.url for hop in hops}


def test_alone_the_bridge_takes_the_seeds_variables() -> None:
    environ = {
        "AGENT_PUSH_URL": "http://localhost:8080/pubsub/push",
        "ORCH_RESULTS_URL": "http://localhost:8081/pubsub/results",
    }
    agents = {f"sub-{agent}": environ["AGENT_PUSH_URL"] for agent in topology.agents()}
    assert endpoints(environ) == agents | {"sub-results": environ["ORCH_RESULTS_URL"]}


def test_alone_the_bridge_pushes_to_an_agents_own_address_where_there_is_one() -> None:
    environ = {"AGENT_PUSH_URL": "http://a/pubsub/push", "AGENT_CODEX_URL": "http://c"}
    found = endpoints(environ)
    assert found["sub-light"] == "http://a/pubsub/push"
    assert found["sub-codex"] == "http://c/pubsub/push"


def test_alone_the_bridge_leaves_hops_without_an_endpoint_alone() -> None:
    assert endpoints({}) == {}
    assert endpoints({"AGENT_LIGHT_URL": "http://a/"}) == {"sub-light": "http://a/pubsub/push"}
    assert endpoints({"SWEEP_PUSH_URL": "http://s/"}) == {"sub-ticks": "http://s/"}


def test_alone_it_delivers_between_the_bus_and_endpoints_started_by_hand(
    bus: Bus, tmp_path: Path
) -> None:
    certs_url = f"http://localhost:{layout.free_ports(1)[0]}/certs"
    settings = config.Config(oidc_certs_url=certs_url, push_service_accounts=(layout.PUSHER,))

    async def play() -> None:
        async with endpoint(answer(204)) as agent, endpoint(answer(204)) as orchestrator:
            environment = {
                **os.environ,
                **bus.environment,
                "GCP_PROJECT": bus.project,
                "AGENT_PUSH_URL": agent.url + "/pubsub/push",
                "ORCH_RESULTS_URL": orchestrator.url + "/pubsub/results",
                "ZANTARA_DATA": str(tmp_path),
                "OIDC_CERTS_URL": certs_url,
            }
            alone = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "emulators.bridge", env=environment, stdout=PIPE
            )
            try:
                assert alone.stdout
                assert b"sub-" in await alone.stdout.readline()  # every subscription is there
                source = bus.open()
                await source.publish(bus.topic("tasks"), b"1", LIGHT)
                await source.publish(bus.topic("results"), b"2", {})
                [task], [result] = await agent.count(1), await orchestrator.count(1)
                await source.close()
                audience = agent.url + task.path
                await asyncio.to_thread(
                    oidc.verify_push, Headers(task.raw_headers), audience, settings
                )
            finally:
                alone.terminate()
                assert await alone.wait() == 0
        assert (task.path, task.data) == ("/pubsub/push", "1")
        assert (result.path, result.data) == ("/pubsub/results", "2")

    run(play)


def test_alone_it_says_that_the_port_of_its_certificates_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {
            **os.environ,
            "BACKEND": "embedded",
            "EMBEDDED_PATH": str(tmp_path / "zantara.db"),
            "AGENT_PUSH_URL": "http://localhost:1/pubsub/push",
            "ZANTARA_DATA": str(tmp_path),
            "OIDC_CERTS_URL": f"http://localhost:{taken.getsockname()[1]}/certs",
        }
        command = [sys.executable, "-m", "emulators.bridge"]
        alone = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    assert alone.returncode == 1
    assert alone.stderr.startswith("zantara: OIDC_CERTS_URL: ")
    assert alone.stderr.count("\n") == 1
