"""A way to the API server that can go wrong: requests held up or refused, events of a watch lost though it goes on."""

import asyncio
import contextlib
import json
from typing import Self

import yaml
from aiohttp import ClientError, ClientResponse, ClientTimeout, web

from market_operator.connection import kopf_login

KEPT_HEADERS = ("Content-Type", "Accept")
HOST = "127.0.0.1"


class Proxy:
    """Plain HTTP on this machine, with the administrator's rights behind it."""

    def __init__(self) -> None:
        self.deaf: set[str] = set()
        """Resources (plural) whose watches bring bookmarks and nothing else."""
        self.away = False
        """Whether every request is answered 503, and every watch is cut off."""
        self.flowing = asyncio.Event()
        """Unset, requests are not answered at all."""
        self.flowing.set()
        self._streams: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Self:
        self._behind = await kopf_login()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await self._runner.cleanup()
        await self._behind.aiohttp_session.close()

    def kubeconfig(self, namespace: str) -> str:
        """The text of a kubeconfig that goes this way."""
        _, port = self._runner.addresses[0][:2]
        names = {"name": "proxy"}
        document = {
            "clusters": [{**names, "cluster": {"server": f"http://{HOST}:{port}"}}],
            "users": [{**names, "user": {"token": "none"}}],
            "contexts": [{**names, "context": {"cluster": "proxy", "user": "proxy", "namespace": namespace}}],
            "current-context": "proxy",
        }
        return yaml.safe_dump(document)

    def cut(self) -> None:
        """End every connection that is open."""
        for transport in list(self._streams):
            transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await self.flowing.wait()
        if self.away:
            return web.Response(status=503)
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        async with self._behind.aiohttp_session.request(
            request.method,
            f"{self._behind.server}{request.path_qs}",
            headers=headers,
            data=await request.read() or None,
            timeout=ClientTimeout(total=None),
        ) as behind:
            if "watch" not in request.query:
                return web.Response(status=behind.status, body=await behind.read(), content_type=behind.content_type)
            response = web.StreamResponse(status=behind.status, headers={"Content-Type": behind.content_type})
            with contextlib.suppress(ClientError, ConnectionError):
                await self._stream(request, behind, response)
            return response

    async def _stream(self, request: web.Request, behind: ClientResponse, response: web.StreamResponse) -> None:
        transport = request.transport
        assert transport is not None
        self._streams.add(transport)
        try:
            await response.prepare(request)
            async for line in behind.content:
                if not self._is_lost(request, line):
                    await response.write(line)
        finally:
            self._streams.discard(transport)

    def _is_lost(self, request: web.Request, line: bytes) -> bool:
        resource = request.path.rpartition("/")[2]
        return resource in self.deaf and json.loads(line)["type"] != "BOOKMARK"
