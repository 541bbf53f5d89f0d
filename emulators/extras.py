"""What the local cloud has beside what is deployed: the agent `demo`, and an account to try."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from emulators import topology

AGENTS = Path(__file__).resolve().parent / "agents"
ACCOUNT, LIMIT = "demo", {"limitCents": 1000, "window": "day"}
PATIENCE = 30.0  # seconds that an answer may take while everything starts


def functions(data: Path) -> Path:
    """One folder with the project's functions and the local agents, as links."""
    folder = data.resolve() / "functions"
    folder.mkdir(parents=True, exist_ok=True)
    for link in folder.iterdir():
        link.unlink()
    for main in (*topology.FUNCTIONS.glob("*/main.py"), *AGENTS.glob("*/main.py")):
        (folder / main.parent.name).symlink_to(main.parent, target_is_directory=True)
    return folder


def open_account(gateway: str) -> None:
    """Opens the account, unless there is one; in the background, for nothing waits for it."""
    threading.Thread(target=_open_account, args=(gateway,), daemon=True).start()


def _open_account(gateway: str) -> None:
    url = f"{gateway}/account/{ACCOUNT}"
    with suppress(urllib.error.URLError, OSError):
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except urllib.error.HTTPError as missing:
            if missing.code != 404:
                return
            request = urllib.request.Request(url, json.dumps(LIMIT).encode(), method="PUT")
            request.add_header("Content-Type", "application/json")
            urllib.request.urlopen(request, timeout=PATIENCE).close()
