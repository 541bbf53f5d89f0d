"""The edge: what stands around the functions, gateway and bridge, in one process."""

from __future__ import annotations

import asyncio
import sys

from emulators import bridge, control, faults, push, tokens
from emulators.gateway import Gateway
from emulators.lane import Hop, Terms
from emulators.layout import PUSHER, Layout
from shared import config


def hops(layout: Layout, settings: config.Config) -> list[Hop]:
    """Every hop, pushed straight to its function's process."""
    return [
        Hop(
            subscription=each,
            topic=bridge.topic(each.topic, settings),
            url=layout.function_url(each.function) + each.path,
            audience=layout.audience(each),
        )
        for each in layout.subscriptions()
    ]


async def _serve(layout: Layout, backoff: float, mishaps: faults.Faults) -> None:
    settings, issuer = config.load(), tokens.Issuer(layout.data)
    signer = push.Signer(issuer, PUSHER)
    terms = Terms(project=settings.gcp_project, signer=signer, backoff=backoff, faults=mishaps)
    pushes = bridge.Bridge(bridge.source(settings), hops(layout, settings), terms)
    await pushes.open()
    breaking = control.Control(layout, pushes.strike)
    async with Gateway(layout, issuer, signer, pushes.kick, breaking):
        await bridge.until_stopped(pushes)


if __name__ == "__main__":
    described, backoff, mishaps = sys.argv[1:]
    asyncio.run(_serve(Layout.loads(described), float(backoff), faults.Faults.parse(mishaps)))
