"""A Google Cloud in one JSON file: stands in for gcloud, terraform and python3.

It records every command that it is given, answers from the project's state as the real one would,
and fails, with the words of SAID, where the environment variable FAIL is a pattern that matches the
command.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(os.environ["FAKE_CLOUD"])
FRESH: dict[str, Any] = {
    "apis": ["storage"],
    "identities": [],  # the service agents that there are
    "bucket": None,  # or whether it is versioned
    "functions": {},  # name -> [hash, state]
    "audiences": {},  # name -> its custom audiences
    "applied": None,  # the variables of the last apply
    "databases": [],
    "secret": "",  # that signs callbacks
}


def main(tool: str, *arguments: str) -> int:
    """Runs one command; returns its exit status."""
    line = " ".join((tool, *arguments))
    with (HERE / "record").open("a") as record:  # one short write, which appends whole
        record.write(json.dumps([tool, *arguments]) + "\n")
    if os.environ.get("FAIL") and re.search(os.environ["FAIL"], line):
        print(os.environ.get("SAID") or f"ERROR: ({tool}) staged failure", file=sys.stderr)
        return 1
    if " show " in line:
        print((HERE / "plan.json").read_text())
        return 0
    if tool == "python3":  # the real one, but for the smoke test, which has nobody to talk to
        return "smoke.py" not in line and subprocess.call([sys.executable, *arguments])
    with (HERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # builds run side by side
        return answer(tool, line, arguments)


def answer(tool: str, line: str, arguments: tuple[str, ...]) -> int:
    """What the command says and does."""
    path = HERE / "state"
    state = {**FRESH, **(json.loads(path.read_text()) if path.exists() else {})}
    status = {"gcloud": gcloud, "terraform": terraform}[tool](state, line, arguments)
    path.write_text(json.dumps(state))
    return status


def gcloud(state: dict[str, Any], line: str, arguments: tuple[str, ...]) -> int:
    """As far as deploy.sh knows it."""
    read: dict[str, Callable[[], str]] = {
        "auth print-access-token": lambda: "token",
        "config get-value account": lambda: "you@example.com",
        "projects describe": lambda: "123456789012",
        "billing projects": lambda: "True",
        "services list": lambda: "\n".join(f"{api}.googleapis.com" for api in state["apis"]),
        "run regions": lambda: "europe-west1\nus-central1",
        "run services list": lambda: "\n".join(
            f"{name}\t{state['audiences'].get(name, '')}" for name in state["functions"]
        ),
        "firestore databases": lambda: "\n".join(state["databases"]),
        "secrets versions list": lambda: state["secret"] and "1",
        "functions list": lambda: "\n".join(
            f"{name},{','.join(is_)}" for name, is_ in state["functions"].items()
        ),
    }
    for command, answer in read.items():
        if line.startswith(f"gcloud {command}"):
            print(answer())
            return 0
    return change(state, line, arguments)


def change(state: dict[str, Any], line: str, arguments: tuple[str, ...]) -> int:
    """The commands of gcloud that change something."""
    if line.startswith("gcloud services enable"):
        apis = [name.partition(".")[0] for name in arguments[2:] if not name.startswith("--")]
        state["apis"] = sorted({*state["apis"], *apis})
    elif line.startswith("gcloud storage buckets describe"):
        if state["bucket"] is None:
            return 1
        print(state["bucket"])
    elif line.startswith("gcloud storage buckets"):
        state["bucket"] = arguments[2] == "update"
    elif line.startswith("gcloud secrets versions add"):
        state["secret"] = sys.stdin.read()
    elif line.startswith("gcloud functions deploy"):
        label = re.search(r"--update-labels=zantara_bundle=(\w+)", line)
        assert label
        state["functions"][arguments[2]] = [label[1], "ACTIVE"]
    elif line.startswith("gcloud functions delete"):
        del state["functions"][arguments[2]]
    elif line.startswith("gcloud beta services identity create"):
        agent = re.search(r"--service=(\w+)", line)
        assert agent
        state["identities"] = sorted({*state["identities"], agent[1]})
    elif line.startswith("gcloud run services update"):
        audiences = re.search(r"--add-custom-audiences=(\S+)", line)
        assert audiences
        state["audiences"][arguments[3]] = json.dumps([audiences[1]])
    else:
        raise AssertionError(f"unforeseen: {line}")
    return 0


def terraform(state: dict[str, Any], line: str, arguments: tuple[str, ...]) -> int:
    """Plans against the variables of the last apply."""
    variables = sorted(each for each in arguments if re.match("-var=(?!existing)", each))
    if " plan " in line:
        [file] = [each.removeprefix("-out=") for each in arguments if each.startswith("-out=")]
        Path(file).write_text(json.dumps(variables))
        print("Plan: 100 to add, 0 to change, 0 to destroy.")
        return 0 if variables == state["applied"] else 2
    if " destroy " in line:
        state["applied"] = None
    elif " apply " in line:
        if state["identities"] != ["cloudscheduler", "pubsub"]:
            print("Error 400: Service account service-… does not exist.", file=sys.stderr)
            return 1
        state["applied"] = variables or json.loads(Path(arguments[-1]).read_text())
        state["apis"] = sorted({*state["apis"], "run", "cloudfunctions", "firestore"})
        state["databases"] = ["(default)"]
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
