"""The proxy: stands before Google's emulators, and fails calls before or after they took effect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import grpc
import grpc.aio

When = Literal["before", "after", "late", "slow"]
SERVER_STREAMS = ("BatchGetDocuments", "RunQuery", "RunAggregationQuery")
BOTH_STREAM = ("Listen", "Write", "StreamingPull")
HOP_BY_HOP = ("user-agent", "te", "content-type")
CALL = 30.0  # seconds the emulator may take: now and then it forgets to answer
LARGEST = 64 * 1024 * 1024  # bytes of a message

Context = grpc.aio.ServicerContext[bytes, bytes]
Unary = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
ServerStream = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
BothStream = grpc.aio.StreamStreamMultiCallable[bytes, bytes]


@dataclass(frozen=True)
class Call:
    """A call on its way to the emulator."""

    path: str  # /package.Service/Method
    request: bytes
    metadata: Sequence[tuple[str, Any]] = ()

    @property
    def method(self) -> str:
        """Its name alone: `Commit`."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What becomes of a call.

    `before`: it never arrives. `after`: it takes effect, the caller sees the error. `late`: the
    caller sees the error at once, the effect follows after `delay`. `slow`: it arrives late, and
    is answered as it should be.
    """

    when: When
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    delay: float = 0.0  # seconds


Plan = Callable[[Call], Fault | None]
Witness = Callable[[Call, list[bytes]], None]


class Proxy:
    """Forwards bytes, whatever the service; `plan` decides on each call, `witness` sees effects.

    Both are called in the proxy's own thread, and must be quick.
    """

    def __init__(self, upstream: str, *, port: int = 0) -> None:
        self.plan: Plan = lambda call: None
        self.witness: Witness = lambda call, answers: None
        self._upstream, self._port = upstream, port
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.host = ""

    def __enter__(self) -> Proxy:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        started.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        options = [("grpc.max_receive_message_length", LARGEST)]
        self._channel = grpc.aio.insecure_channel(self._upstream, options=options)
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((_Handler(self),))
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.host = f"127.0.0.1:{self._port}"
        await self._server.start()

    async def _stop(self) -> None:
        await self._server.stop(0)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CALL)
        await self._channel.close()

    async def forward(self, method: str, request: bytes, context: Context) -> list[bytes]:
        """The emulator's answers, or the fault that the plan has for this call."""
        call = Call(method, request, _metadata(context))
        fault = self.plan(call)
        if fault is None:
            return await self._effect(call, context)
        if fault.when in ("slow", "late"):
            effect = self._later(fault.delay, call, context)
        elif fault.when == "after":
            effect = self._effect(call, context)
        if fault.when == "slow":
            return await effect
        if fault.when == "after":
            await effect
        elif fault.when == "late":
            self._keep(effect)
        return await context.abort(fault.code, f"a fault on purpose: {fault.when}")

    async def _later(self, delay: float, call: Call, context: Context) -> list[bytes]:
        await asyncio.sleep(delay)
        return await self._effect(call, context)

    async def _effect(self, call: Call, context: Context) -> list[bytes]:
        """Once it has left it is seen through, even if the caller is gone: so it is witnessed."""
        try:
            return await asyncio.shield(self._keep(self._sent(call)))
        except grpc.aio.AioRpcError as error:
            return await context.abort(
                error.code(), error.details() or "", tuple(error.trailing_metadata() or ())
            )

    async def _sent(self, call: Call) -> list[bytes]:
        if call.method in SERVER_STREAMS:
            stream: ServerStream = self._channel.unary_stream(call.path)
            asked = stream(call.request, metadata=call.metadata, timeout=CALL)
            answers = [answer async for answer in asked]
        else:
            unary: Unary = self._channel.unary_unary(call.path)
            try:
                answers = [await unary(call.request, metadata=call.metadata, timeout=CALL)]
            except grpc.aio.AioRpcError:
                self.witness(call, [])
                raise
        self.witness(call, answers)
        return answers

    def _keep(self, coroutine: Awaitable[list[bytes]]) -> asyncio.Task[list[bytes]]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it hears of it

    async def stream(
        self, method: str, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        """A stream both ways; a fault ends it at once, or `after` its first answer."""
        fault = self.plan(Call(method, b""))
        if fault and fault.when == "before":
            await context.abort(fault.code, "a fault on purpose: before")
        stream: BothStream = self._channel.stream_stream(method)
        async for answer in stream(requests, metadata=_metadata(context)):
            yield answer
            if fault:
                await context.abort(fault.code, "a fault on purpose: after")


class _Handler(grpc.GenericRpcHandler):
    """Takes every method of every service, as bytes."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        method, proxy = handler_call_details.method, self._proxy
        name = method.rpartition("/")[2]

        async def unary(request: bytes, context: Context) -> bytes:
            [answer] = await proxy.forward(method, request, context)
            return answer

        async def server_stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
            for answer in await proxy.forward(method, request, context):
                yield answer

        async def both_stream(
            requests: AsyncIterator[bytes], context: Context
        ) -> AsyncIterator[bytes]:
            async for answer in proxy.stream(method, requests, context):
                yield answer

        if name in BOTH_STREAM:
            return grpc.stream_stream_rpc_method_handler(both_stream)
        if name in SERVER_STREAMS:
            return grpc.unary_stream_rpc_method_handler(server_stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def _metadata(context: Context) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in context.invocation_metadata() or ()
        if not name.startswith((":", "grpc-")) and name not in HOP_BY_HOP
    ]
