"""A gRPC server on the service's own event loop, for streams of many small messages.

``grpc.aio`` hands every message to the loop through a thread and a future, which is good for 10,000 messages a second.
Here the loop takes what has happened from gRPC's completion queue itself, as long as there is something, and only what
comes first after a pause comes by a thread: 35,000. It stands on ``cygrpc``, on which both of grpcio's own servers
stand, so HTTP/2, TLS, keepalive and flow control are gRPC's; the price is that grpcio calls that module its own.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.adapters.grpc import GrpcSettings, options, server_credentials
from services.contracts.errors import ConfigError
from services.contracts.metrics import Metric
from services.contracts.proto import RESTARTING
from services.runtime import logging
from services.runtime.metrics import counter, gauge
from services.runtime.serve import Resource

TURN_S = 0.002
"""How long the loop is kept for gRPC's events before others have their turn."""
FINISH_PATIENCE_S = 5.0
"""How long a client may take at the end to read what is left for it."""
NO_FLAGS = 0
UNKNOWN_METHOD = "unknown"

Method = Callable[["Call", bytes], None]
"""Is given each message of a call, and answers by ``call.send``. What it raises ends the call with ``INTERNAL``."""


class Call:
    """One call, of any shape. It ends with ``OK`` once the client has sent all and has read its answers."""

    def __init__(self, server: "GrpcServer", call: Any, name: str, method: Method) -> None:
        self.name = name
        self.stays_open = False
        """Whether it goes on when the client has nothing more to say."""
        self.when_ended: list[Callable[[], None]] = []
        self._server = server
        self._call = call
        self._method = method
        self._answers: deque[bytes] = deque()
        self._sending = False
        self._reading = False
        self._status: tuple[grpc.StatusCode, str] | None = None
        self._ended = False
        # Made once: each is a tag, which gRPC gives back with what has happened.
        self._on_received, self._on_sent = self._received, self._sent

    def begin(self) -> None:
        self._start(cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS), self._closed)
        self._start(cygrpc.SendInitialMetadataOperation((), NO_FLAGS), self._nothing)

    def send(self, message: bytes) -> None:
        """In order. What the client does not read waits here, and stops the reading of its messages."""
        if self._ended:
            return
        if self._sending:
            self._answers.append(message)
        else:
            self._sending = True
            self._start(cygrpc.SendMessageOperation(message, NO_FLAGS), self._on_sent)

    def finish(self, code: grpc.StatusCode, details: str = "") -> None:
        """End the call, once what was sent has been read. What the client sends from now on is not looked at."""
        if self._status is None:
            self._status = (code, details)
            self._end_if_sent()

    def read(self) -> None:
        """Ask for the next message, unless there is no room for what it would cause: then later."""
        if self._reading or self._ended or self._status is not None:
            return
        if len(self._answers) < self._server.answers_waiting_max and self._server.may_read(self):
            self._reading = True
            self._start(cygrpc.ReceiveMessageOperation(NO_FLAGS), self._on_received)

    def _received(self, event: Any) -> None:
        self._reading = False
        message = event.batch_operations[0].message()
        if self._ended or self._status is not None:
            return
        if message is None:
            if not self.stays_open:
                self.finish(grpc.StatusCode.OK)
            return
        try:
            self._method(self, message)
        except Exception as error:
            logging.logger().error("grpc_method_failed", method=self.name, error=str(error), exc_info=True)
            self.finish(grpc.StatusCode.INTERNAL, type(error).__name__)
        self.read()

    def _sent(self, event: Any) -> None:
        self._sending = False
        if self._ended:
            return
        if not event.success:
            self._end(grpc.StatusCode.CANCELLED)
        elif self._answers:
            self.send(self._answers.popleft())
            self.read()
        else:
            self._end_if_sent()

    def _end_if_sent(self) -> None:
        if self._status is None or self._sending or self._ended:
            return
        code, details = self._status
        status = cygrpc.SendStatusFromServerOperation((), code.value[0], details.encode(), NO_FLAGS)
        self._start(status, lambda _: self._end(code))

    def _closed(self, event: Any) -> None:
        if event.batch_operations[0].cancelled():
            self._end(grpc.StatusCode.CANCELLED)

    def _nothing(self, _event: Any) -> None:
        return None

    def _start(self, operation: Any, tag: Callable[[Any], None]) -> None:
        if self._call.start_server_batch((operation,), tag) != cygrpc.CallError.ok:
            self._end(grpc.StatusCode.CANCELLED)

    def _end(self, code: grpc.StatusCode) -> None:
        if self._ended:
            return
        self._ended = True
        self._answers.clear()
        self._server.ended(self, code)
        for callback in self.when_ended:
            callback()
        # They refer to us: without them there is no cycle to be found later, and gRPC's own memory goes at once.
        del self._on_received, self._on_sent, self.when_ended


class GrpcServer(Resource):
    """Listens from ``start`` until ``stop``, which tells clients to come back elsewhere.

    ``methods`` are by path, as in ``/package.Service/Method``. While ``has_room`` says no, no message is read; call
    ``go_on`` once it says yes again.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        methods: Mapping[str, Method],
        *,
        streams_max: int,
        answers_waiting_max: int,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.port = 0
        self.answers_waiting_max = answers_waiting_max
        self._settings = settings
        self._methods = methods
        self._streams_max = streams_max
        self._has_room = has_room
        self._calls: set[Call] = set()
        self._waiting: set[Call] = set()
        self._stopping = False
        self._all_ended = asyncio.Event()
        self._closed: asyncio.Future[None] | None = None
        self._taken = threading.Semaphore(0)

    async def start(self) -> None:
        """Raises ConfigError where the address cannot be had, or the certificates are missing."""
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()
        self._queue = cygrpc.CompletionQueue()
        # Two servers on one port would each have some of the clients.
        self._server = cygrpc.Server([*options(self._settings), ("grpc.so_reuseport", 0)], False)
        self._server.register_completion_queue(self._queue)
        self.port = self._bind()
        self._server.start()
        self._request()
        self._thread = threading.Thread(target=self._wait_for_events, name="grpc", daemon=True)
        self._thread.start()

    async def run(self) -> None:
        """Raises what an event led to: to go on would be to leave some call without an answer."""
        assert self._closed is not None, "used before start"
        await self._closed

    async def stop(self) -> None:
        """Answers what was read, then ends every call with ``UNAVAILABLE``."""
        assert self._closed is not None, "used before start"
        if self._closed.done():
            return
        self._stopping = True
        self._server.shutdown(self._queue, self._shut_down)
        for call in list(self._calls):
            call.finish(grpc.StatusCode.UNAVAILABLE, RESTARTING)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_PATIENCE_S):
                await self._all_ended.wait()
        self._server.cancel_all_calls()
        await self._closed
        await asyncio.to_thread(self._thread.join)

    def go_on(self) -> None:
        """Read again what waited for room."""
        waiting, self._waiting = self._waiting, set()
        for call in waiting:
            call.read()

    def may_read(self, call: Call) -> bool:
        if self._has_room():
            return True
        self._waiting.add(call)
        return False

    def ended(self, call: Call, code: grpc.StatusCode) -> None:
        self._calls.discard(call)
        self._waiting.discard(call)
        gauge(Metric.VALIDATOR_STREAMS).labels(call.name).dec()
        counter(Metric.VALIDATOR_CALLS).labels(call.name, code.name).inc()

    def _bind(self) -> int:
        address = self._settings.grpc_server_address.encode()
        credentials = server_credentials(self._settings)
        secured = [] if credentials is None else [credentials._credentials]  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):
            port = self._server.add_http2_port(address, *secured)
            if port:
                return int(port)
        raise ConfigError(f"cannot listen on GRPC_SERVER_ADDRESS {self._settings.grpc_server_address}")

    # ---- events

    def _wait_for_events(self) -> None:
        """In a thread: wait for the first event, and while the loop takes those that follow, for the loop."""
        while True:
            event = self._queue.poll()
            is_last = event.completion_type == cygrpc.CompletionType.queue_shutdown
            self._loop.call_soon_threadsafe(self._take, event)
            # A reference that stays would keep a call alive.
            del event
            if is_last:
                return
            self._taken.acquire()

    def _take(self, event: Any) -> None:
        """Everything that has happened, for as long as a turn may take."""
        assert self._closed is not None
        end = time.monotonic() + TURN_S
        try:
            while event.completion_type == cygrpc.CompletionType.operation_complete:
                event.tag(event)
                if time.monotonic() > end:
                    self._loop.call_soon(self._take_more)
                    return
                event = self._queue.poll(deadline=0)
        except Exception as error:
            self._closed.set_exception(error)
            return
        # The end may be seen twice: here, and by the thread.
        if event.completion_type == cygrpc.CompletionType.queue_shutdown and not self._closed.done():
            self._closed.set_result(None)
        self._taken.release()

    def _take_more(self) -> None:
        self._take(self._queue.poll(deadline=0))

    def _request(self) -> None:
        self._server.request_call(self._queue, self._queue, self._requested)

    def _requested(self, event: Any) -> None:
        """A call has come, or, at the end, none will."""
        if not event.success:
            return
        path = event.call_details.method.decode("utf-8", "replace")
        method = self._methods.get(path)
        call = Call(self, event.call, UNKNOWN_METHOD if method is None else path, method or _no_method)
        self._calls.add(call)
        gauge(Metric.VALIDATOR_STREAMS).labels(call.name).inc()
        call.begin()
        if self._stopping:
            call.finish(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            return
        self._request()
        if method is None:
            call.finish(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
        elif len(self._calls) > self._streams_max:
            call.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._streams_max} streams are open already")
        else:
            call.read()

    def _shut_down(self, _event: Any) -> None:
        """No call is left."""
        self._all_ended.set()
        self._server.destroy()
        self._queue.shutdown()


def _no_method(_call: Call, _message: bytes) -> None:
    return None
