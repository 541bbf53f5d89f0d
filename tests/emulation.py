"""Google's emulators, for as long as tests or a measurement take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulators import cloudsdk, reaper, runner, topology
from emulators.layout import Layout, Ports

BOOT = 120.0  # seconds they may take on a busy machine


@contextmanager
def running(data: Path) -> Iterator[Layout]:
    """Where they listen; raises `Refused` where they are missing."""
    layout = Layout(
        data=data, functions=topology.FUNCTIONS, ports=Ports.free(), internal={}, google=True
    )
    with reaper.Reaper() as undertaker:
        processes = [
            runner.Process(program, undertaker, print) for program in cloudsdk.programs(layout)
        ]
        try:
            for process in processes:
                process.start()
            until = time.monotonic() + BOOT
            while not all(process.ready() for process in processes):
                if time.monotonic() > until:
                    raise TimeoutError("Google's emulators did not start")
                time.sleep(0.02)
            yield layout
        finally:
            for process in processes:
                process.stop()
            for process in processes:
                process.join()
