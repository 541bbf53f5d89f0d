"""`emulators/up`: starts a local cloud, tells where it is, shows what flows, and cleans up."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from emulators import Refused, breaking, demo, extras, journal, lane, runner, topology
from emulators.cluster import Cluster
from emulators.faults import Faults
from emulators.layout import FRONT_AGENT, ROOT, Layout, Ports

LOOK = 0.1  # seconds between two looks at the logs
EXAMPLE = '{"agent":"light","payload":{"msg":"hi"},"ttlSeconds":60,"budgetCents":10}'


class Stopped(BaseException):
    """Ctrl-C, or SIGTERM."""


def main() -> int:
    """Returns the exit code."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    _bypass_proxy()
    try:
        return _run(options)
    except Refused as refused:
        print(f"zantara: {refused}", file=sys.stderr)
        return 1
    except Stopped:
        return 0
    except BrokenPipeError:  # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _bypass_proxy() -> None:
    """What the processes here say to each other must not go through an office's proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "localhost,127.0.0.1")))


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    _stop_once()
    raise Stopped


def _stop_once() -> None:
    """The end must not be cut short by another signal.

    To ignore them by SIG_IGN would have Python complain of one that came together with the first.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="emulators/up", description="The whole of Zantara on this machine, until Ctrl-C."
    )
    add = parser.add_argument
    add("--demo", action="store_true", help="send one task through every hop, show it, and end")
    add(
        "--break",
        type=_breaks,
        default=(),
        dest="breaks",
        metavar="WHAT,…",
        help=f"break it on purpose, show what holds, end: all, or {', '.join(breaking.ACTIONS)}",
    )
    add("--google", action="store_true", help="on Google's emulators, instead of SQLite")
    add("--reset", action="store_true", help="clear the local data first")
    add(
        "--ports",
        type=Ports.parse,
        default=Ports(),
        metavar="FIRST",
        help="four ports in a row: agent, gateway, Pub/Sub, Firestore (default: 8080)",
    )
    add("--data", type=Path, default=ROOT / ".zantara", help="where data and logs are (.zantara)")
    add(
        "--backoff",
        type=float,
        default=lane.BACKOFF,
        metavar="FACTOR",
        help="of the subscriptions' backoff, which is 10 s to 10 min (default: %(default)s)",
    )
    add(
        "--faults",
        type=_faults,
        default="",
        metavar="KIND=N,…",
        help="mistreat messages: duplicate, drop, drop-ack and reorder take a probability,"
        " delay takes seconds, seed any number",
    )
    return parser.parse_args()


def _faults(text: str) -> str:
    try:
        return Faults.parse(text).dumps()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _breaks(text: str) -> list[str]:
    try:
        return breaking.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    cluster = Cluster(
        options.data,
        google=options.google,
        ports=options.ports,
        functions=extras.functions(options.data),
        backoff=options.backoff,
        faults=options.faults,
        mourn=_mourn,
    )
    if options.reset:
        cluster.reset()
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    try:
        cluster.start()
        print(_banner(cluster.layout, time.monotonic() - began), flush=True)
        if options.demo:
            cluster.wait()
            return 0 if demo.run(cluster, colour) else 1
        if options.breaks:
            cluster.wait()
            return 0 if breaking.run(cluster.gateway_url, options.breaks) else 1
        extras.open_account(cluster.gateway_url)
        _follow(cluster, colour)
    finally:
        _stop_once()
        cluster.stop()


def _follow(cluster: Cluster, colour: bool) -> NoReturn:
    logs = journal.Journal(cluster.layout.data / "logs")
    while True:
        for entry in logs.news():
            print(journal.readable(entry, colour), flush=True)
        time.sleep(LOOK)


def _banner(layout: Layout, seconds: float) -> str:
    backend = "Google's emulators" if layout.google else "the embedded backend"
    front = layout.gateway_url
    names = sorted(topology.agents(layout.functions), key=lambda name: name != FRONT_AGENT)
    agents = ", ".join(f"{name} {layout.agent_url(name)}" for name in names)
    lines = [
        f"Zantara is up on {backend}, after {seconds:.1f} s; logs in {layout.data / 'logs'}",
        f"  console   {front}   open it, dispatch, break it; Ctrl-C here ends everything",
        f"  API       {front}   /dispatch  /task/ID  /task/ID/cancel  /tasks  /health",
        f"  agents    {agents}",
        f"  try       curl -s {front}/dispatch -H 'Content-Type: application/json' -d '{EXAMPLE}'",
    ]
    return "\n".join(lines)


def _mourn(death: runner.Death) -> None:
    again = f"in {death.again:g} s" if death.again else "at once"
    tail = "".join(f"\n    {line}" for line in death.tail.splitlines() if not line.startswith("{"))
    print(f"{death.name} ended (code {death.code}); started again {again}{tail}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
