"""The smoke test: one task through every hop, sent as a client would.

    python3 infra/deploy/smoke.py DISPATCH_URL GET_TASK_URL [PATIENCE]

It prints the task's timeline, and fails unless the task succeeds. New bindings take a minute to be
known everywhere, so refusals are retried for PATIENCE seconds (120). Standard library alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

PAUSE = 5.0  # seconds between two tries
LONGEST = 90.0  # seconds one request may take
PASSING = (401, 403, 404, 429, 500, 502, 503, 504)  # what a new service may answer for a while


def main(dispatch: str, get_task: str, patience: str = "120") -> None:
    """Sends the task, waits for its end and shows it; exits with a message where it fails."""
    task = {"agent": "light", "payload": {"msg": "smoke"}, "ttlSeconds": 120, "budgetCents": 10}
    deadline = time.monotonic() + float(patience)
    key = {"idempotencyKey": f"smoke-{uuid.uuid4()}"}  # a retried request makes no second task
    accepted = call(f"{dispatch}/dispatch", dispatch, deadline, {**task, **key})
    url = f"{get_task}/task/{accepted['taskId']}?wait=60"
    ended = call(url, get_task, deadline)
    for event in ended.get("timeline", []):
        rest = {name: value for name, value in event.items() if name not in ("event", "at")}
        print(event["at"], event["event"], *(f"{name}={value}" for name, value in rest.items()))
    if ended["status"] != "succeeded":
        sys.exit(f"Task {ended['taskId']} is {ended['status']}: {ended.get('error', 'no result')}")
    print(f"Task {ended['taskId']} succeeded for {ended['costCents']} cents.")


def call(url: str, audience: str, deadline: float, body: Any = None) -> dict[str, Any]:
    """The JSON that the service answers; tries again until the deadline while that may help."""
    while True:
        request = urllib.request.Request(
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token(audience)}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=LONGEST) as answer:
                read: dict[str, Any] = json.load(answer)
                return read
        except urllib.error.HTTPError as error:
            problem = f"{url} answers {error.code}: {error.read(2000).decode(errors='replace')}"
            if error.code not in PASSING or time.monotonic() + PAUSE > deadline:
                if error.code in (401, 403):
                    problem += "\nName yourself in `callers` of infra/terraform/terraform.tfvars."
                sys.exit(problem)
        except OSError as error:
            if time.monotonic() + PAUSE > deadline:
                sys.exit(f"{url} cannot be reached: {error}")
        time.sleep(PAUSE)


def token(audience: str) -> str:
    """An identity token of gcloud's account; only a service account's can name its audience."""
    account = gcloud("config", "get-value", "account")
    robot = account.endswith(".gserviceaccount.com")
    return gcloud("auth", "print-identity-token", *([f"--audiences={audience}"] if robot else []))


def gcloud(*arguments: str) -> str:
    """What gcloud prints; it explains its own failures."""
    answer = subprocess.run(["gcloud", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.returncode)
    return answer.stdout.strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
