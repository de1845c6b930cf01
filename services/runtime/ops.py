"""The ops port of every process: ``/health``, ``/ready``, ``/metrics``, and ``/status`` where a service has one.

``/health`` is answered on the event loop that does the work: where that is stuck nobody answers, which is what a
liveness probe has to find out. ``/ready?scope=self``: started (schema and topics are there), and not draining.

A few hundred bytes of HTTP/1.1 by hand would be our own code for nothing, and FastAPI costs each process 25 MB: uvicorn
with a plain ASGI function is in between, and is there already.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn

from services.runtime.health import Health
from services.runtime.metrics import exposition

Status = Callable[[], dict[str, object]]
_JSON = b"application/json"


class Ops:
    def __init__(self, health: Health, host: str, port: int, status: Status | None) -> None:
        self._health = health
        self._status = status
        self._server = HttpServer(self._app, host, port)

    async def start(self) -> None:
        await self._server.start()

    async def run(self) -> None:
        await self._server.run()

    async def stop(self) -> None:
        await self._server.stop()

    async def _app(
        self, scope: dict[str, Any], _receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope["path"], scope["query_string"])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: bytes) -> tuple[int, bytes, bytes]:
        if path == "/health":
            return 200, _JSON, b'{"status":"ok"}'
        if path == "/ready":
            ready = self._health.ready_self() if query == b"scope=self" else self._health.ready()
            return (200 if ready else 503), _JSON, msgspec.json.encode(self._health.document())
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", exposition()
        if path == "/status" and self._status is not None:
            return 200, _JSON, msgspec.json.encode(self._status())
        return 404, _JSON, b'{"detail":"not found"}'


class HttpServer:
    """uvicorn as a component: signals stay with ``serve``, a taken port is an error at start."""

    def __init__(self, app: Any, host: str, port: int, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "log_config": None,
            "access_log": False,
            "lifespan": "off",
            "interface": "asgi3",
            "proxy_headers": False,
        }
        self._server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, **{**defaults, **options}))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise OSError(f"cannot listen on {self._server.config.host}:{self._server.config.port}")
            await asyncio.sleep(0.005)

    async def run(self) -> None:
        assert self._task is not None
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
