"""The control: how the console of a local cloud breaks it on purpose, and reads its logs.

It answers under `/local/` on the gateway's port, which only this machine reaches, and only to
pages of its own. Deployed functions have nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from emulators import faults, journal, topology
from emulators.layout import Layout
from shared import errors, log, schemas, strictjson

LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
OURS = (None, "none", "same-origin")  # Sec-Fetch-Site of a request that no other site made
LONGEST = 60.0  # seconds of a freeze
TAIL = 4 * 1024 * 1024  # bytes of each log that are looked through
MOST = 200  # log lines of a task

Strike = Callable[[str, str, int, str], None]


class Control:
    """Takes what is asked under `/local/`; `strike` makes a fault happen on a subscription."""

    def __init__(self, layout: Layout, strike: Strike) -> None:
        self._layout, self._strike = layout, strike
        self._frozen: dict[str, asyncio.Task[None]] = {}  # by agent: what thaws it

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Raises nothing: what is refused is a problem document."""
        try:
            _check(request)
            _, _, verb, name = request.path.split("/", 3)
            body = strictjson.loads(await request.read()) if request.body_exists else {}
            if not isinstance(body, dict):
                raise errors.Malformed("the body: must be an object")
            return web.json_response(await self._done(request.method, verb, name, body))
        except errors.Error as error:
            return web.json_response(
                error.problem(), status=error.status, content_type="application/problem+json"
            )

    async def _done(
        self, method: str, verb: str, name: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        match method, verb:
            case "GET", "log":
                return {"log": await asyncio.to_thread(self._log, schemas.task_id(name))}
            case "POST", "kill":
                self._signal(name, signal.SIGKILL)
            case "POST", "freeze":
                self._freeze(name)
            case "POST", "thaw":
                self._thaw(name)
            case "POST", "fault":
                self._fault(name, body)
            case _:
                raise errors.NotFound(f"there is nothing at {method} /local/{verb}")
        log.event("broken on purpose", verb=verb, agent=name, asked=body)
        return {"done": verb, "agent": name}

    def _freeze(self, agent: str) -> None:
        """Stops the agent's process until it is thawed, if nobody does after a while by itself."""
        self._signal(agent, signal.SIGSTOP)
        if agent not in self._frozen:
            thaw = self._frozen[agent] = asyncio.create_task(self._thawed(agent))
            thaw.add_done_callback(lambda _: self._frozen.pop(agent))

    def _thaw(self, agent: str) -> None:
        """Lets the agent's process go on as if nothing had been."""
        if thaw := self._frozen.get(self._known(agent)):
            thaw.cancel()

    async def _thawed(self, agent: str) -> None:
        try:
            await asyncio.sleep(LONGEST)
        finally:
            self._signal(agent, signal.SIGCONT)

    def _fault(self, agent: str, asked: Mapping[str, Any]) -> None:
        kind, trace, times = asked.get("kind"), asked.get("traceId"), asked.get("times", 1)
        if kind not in faults.KINDS:
            errors.refuse([("kind", f"must be one of {', '.join(faults.KINDS)}")])
        if not isinstance(trace, str) or not trace:
            errors.refuse([("traceId", "must be that of the task to come")])
        if not isinstance(times, int) or not 1 <= times <= 100:
            errors.refuse([("times", "must be a whole number from 1 to 100")])
        self._strike(f"sub-{self._known(agent)}", kind, times, trace)

    def _signal(self, agent: str, number: signal.Signals) -> None:
        pid = self._layout.pid_file(topology.target(self._known(agent)))
        with suppress(FileNotFoundError, ProcessLookupError):
            os.killpg(int(pid.read_text()), number)

    def _known(self, agent: str) -> str:
        if agent not in topology.agents(self._layout.functions):
            raise errors.UnknownAgent(f"agent: there is no {agent!r}")
        return agent

    def _log(self, task_id: str) -> list[dict[str, Any]]:
        """What every process has logged of the task, the oldest first."""
        logs = sorted((self._layout.data / "logs").glob("*.log"))
        found = [
            _entry(line, each.stem)
            for each in logs
            if each.stem not in journal.SILENT
            for line in _tail(each).splitlines()
            if task_id in line and line.startswith("{")
        ]
        return sorted(found, key=lambda entry: str(entry["at"]))[-MOST:]


def _check(request: web.BaseRequest) -> None:
    """No other site's page, and no name that another site had point here, may use it."""
    if not LOOPBACK.fullmatch(request.headers.get("Host", "")):
        raise errors.Forbidden("only as localhost")
    if request.headers.get("Sec-Fetch-Site") not in OURS:
        raise errors.Forbidden("not from another site's page")


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode("utf-8", "replace")


def _entry(line: str, process: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = {"message": line}
    rest = {key: value for key, value in entry.items() if isinstance(value, (str, int, float))}
    return {
        **rest,
        "at": entry.get("time", ""),
        "from": entry.get("function", process),
        "event": entry.get("message", ""),
        "severity": entry.get("severity", "INFO"),
    }
