"""What runs in a cluster: each function and the edge, with the environment that it gets."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping

from emulators import topology
from emulators.layout import PROJECT, PUSHER, Layout
from emulators.runner import Program

# A long wait, a page of the console, and http mode hold one each.
THREADS = {"get_task": "100", "console": "64", "dispatch": "32"}
OTHERS = "16"
FOREIGN = (  # what a developer's shell may hold, and what would lead a local process astray
    "DEBUG",
    "FIRESTORE_EMULATOR_HOST",
    "FUNCTION_SIGNATURE_TYPE",
    "FUNCTION_USE_ASGI",
    "K_SERVICE",
    "PUBSUB_EMULATOR_HOST",
)


def function(name: str, layout: Layout, env: Mapping[str, str]) -> Program:
    """A function in a functions-framework process of its own."""
    source = layout.functions / name / "main.py"
    port = layout.internal[name]
    options = {"target": name, "source": source, "host": "127.0.0.1", "port": port}
    arguments = [f"--{option}={value}" for option, value in options.items()]
    return Program(
        name=name,
        command=[sys.executable, "-m", "functions_framework", *arguments],
        environment={**common(layout, name), **pushed(layout, name), **env},
        log=layout.data / "logs" / f"{name}.log",
        health=f"http://127.0.0.1:{port}/health",
    )


def edge(layout: Layout, env: Mapping[str, str], backoff: float, faults: str) -> Program:
    """Gateway and bridge."""
    return Program(
        name="edge",
        command=[sys.executable, "-m", "emulators.edge", layout.dumps(), str(backoff), faults],
        environment={**common(layout, "edge"), **env},
        log=layout.data / "logs" / "edge.log",
        health=layout.certs_url,
    )


def common(layout: Layout, name: str) -> dict[str, str]:
    """The developer's own environment, with all that makes the process a local one."""
    mine = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    agents = topology.agents(layout.functions)
    urls = {
        f"AGENT_{agent.upper().replace('-', '_')}_URL": layout.agent_url(agent) for agent in agents
    }
    return {
        "CALLBACK_SECRETS": callback_secret(layout),
        "GCP_PROJECT": PROJECT,
        "PYTHONUNBUFFERED": "1",
        "THREADS": THREADS.get(name, OTHERS),
        **mine,
        **urls,
        **bus(layout),
        "AGENTS": ",".join(agents),
        "OIDC_CERTS_URL": layout.certs_url,
        "PUSH_SERVICE_ACCOUNTS": PUSHER,
    }


def callback_secret(layout: Layout) -> str:
    """What signs local callbacks: made once, and kept in the data folder for a receiver to know."""
    path = layout.data / "callback.secret"
    if not path.exists():
        secret = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"
        path.touch(mode=0o600)
        path.write_text(secret)
    return path.read_text()


def bus(layout: Layout) -> dict[str, str]:
    """The backend's variables."""
    if layout.google:
        return {
            "BACKEND": "google",
            "FIRESTORE_EMULATOR_HOST": layout.firestore_host,
            "PUBSUB_EMULATOR_HOST": layout.pubsub_host,
        }
    return {"BACKEND": "embedded", "EMBEDDED_PATH": str(layout.data / "zantara.db")}


def pushed(layout: Layout, name: str) -> dict[str, str]:
    """The verification of a function that gets pushes; none for the others."""
    prefix = "RESULTS_" if name == "results" else ""
    return {
        variable: value
        for each in layout.subscriptions()
        if each.function == name
        for variable, value in (
            (f"{prefix}PUBSUB_VERIFY_OIDC", "true"),
            (f"{prefix}PUBSUB_AUDIENCE", layout.audience(each)),
        )
    }
