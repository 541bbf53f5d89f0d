"""Google's own Pub/Sub emulator accepts the subscriptions that Terraform describes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import resources, unchecked

PROJECT = "zantara-demo"
RETENTION = 604_800  # seconds: the emulator knows no more than 7 days, Pub/Sub itself takes 31
BOOT = 60.0  # seconds the emulator may take to be ready, at most


@pytest.fixture(scope="module")
def gcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which gcloud talks to a fresh emulator."""
    if not shutil.which("gcloud"):
        unchecked("gcloud is not installed", "REQUIRE_GOOGLE_EMULATORS")
    command = ["gcloud", "info", "--format=value(installation.sdk_root)"]
    root = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    jars = sorted(root.glob("platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"))
    if not jars or not shutil.which("java"):
        unchecked("the Pub/Sub emulator or Java is missing", "REQUIRE_GOOGLE_EMULATORS")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    port = host.rpartition(":")[2]
    emulator = subprocess.Popen(
        ["java", "-jar", str(jars[-1]), "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready(f"http://{host}/")
        yield {
            **os.environ,
            "CLOUDSDK_CONFIG": str(tmp_path_factory.mktemp("gcloud")),
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "1",
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{host}/",
        }
    finally:
        emulator.send_signal(signal.SIGKILL)  # it keeps nothing
        emulator.wait()


def ready(url: str) -> None:
    """Returns once the emulator answers."""
    for _ in range(int(BOOT / 0.1)):
        try:
            with urllib.request.urlopen(url, timeout=BOOT):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("the emulator does not start")


def pubsub(environment: dict[str, str], *arguments: str) -> str:
    """What `gcloud pubsub` prints; fails the test where it fails."""
    command = ["gcloud", "pubsub", *arguments, "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags(planned: dict[str, Any], push_account: str) -> Iterator[str]:
    """The arguments of `gcloud pubsub subscriptions create` for a planned subscription."""
    yield f"--topic={planned['topic']}"
    yield f"--ack-deadline={planned['ack_deadline_seconds']}"
    retention = min(int(planned["message_retention_duration"].rstrip("s")), RETENTION)
    yield f"--message-retention-duration={retention}s"
    yield "--expiration-period=never"
    if planned.get("filter"):
        yield f"--message-filter={planned['filter']}"
    for push in planned["push_config"]:
        yield f"--push-endpoint={push['push_endpoint']}"
        yield f"--push-auth-service-account={push_account}"
        yield f"--push-auth-token-audience={push['oidc_token'][0]['audience']}"
    for retry in planned["retry_policy"]:
        yield f"--min-retry-delay={retry['minimum_backoff']}"
        yield f"--max-retry-delay={retry['maximum_backoff']}"
    for dead in planned["dead_letter_policy"]:
        yield "--dead-letter-topic=dead"
        yield f"--max-delivery-attempts={dead['max_delivery_attempts']}"


@pytest.mark.slow
def test_the_emulator_accepts_every_topic_and_subscription(
    gcloud: dict[str, str], plan: dict[str, Any], outputs: dict[str, Any]
) -> None:
    pubsub(gcloud, "topics", "create", *resources(plan, "google_pubsub_topic"))
    planned = resources(plan, "google_pubsub_subscription")
    for each in planned.values():
        given = flags(each, outputs["push_service_account"])
        pubsub(gcloud, "subscriptions", "create", each["name"], *given)
    made = pubsub(gcloud, "subscriptions", "list", "--format=value(name.basename())")
    assert set(made.split()) == {each["name"] for each in planned.values()}
