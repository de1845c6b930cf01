"""The edge: what goes where, and who says who the client is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.local.parts import Caddy
from services.local.ports import LOOPBACK, free_port

FORGED = {"X-Forwarded-For": "8.8.8.8", "Forwarded": "for=8.8.8.8", "X-Real-IP": "8.8.8.8"}


async def echo(name: str) -> tuple[asyncio.Server, int]:
    """An HTTP server that answers with its name and the request as it came."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = f"{name}\n".encode() + request.lower()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    return server, int(server.sockets[0].getsockname()[1])


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    echoes = {name: await echo(name) for name in ("api", "gateway", "orders")}
    api, gateway, orders = (port for _, port in echoes.values())
    caddy = Caddy(tmp_path / "caddy", LOOPBACK, free_port(), api=api, gateway=gateway, orders=orders)
    await caddy.start()
    async with httpx.AsyncClient(base_url=caddy.url) as client:
        yield client
    await caddy.stop()
    for server, _ in echoes.values():
        server.close()


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "gateway"),
        ("/crypto/BTC-USD", "gateway"),
        ("/indicators/BTC-USD", "gateway"),
        ("/v1/stream", "gateway"),
        ("/ws/marketdata", "gateway"),
        ("/place_order", "orders"),
        ("/trade/1", "orders"),
        ("/v1/orders", "orders"),
        ("/v1/orders/1", "orders"),
        ("/v1/orders?state=open", "orders"),
        ("/v1/executions", "orders"),
        ("/v1/book/DEMO-USD?depth=5", "orders"),
        ("/v1/symbols", "orders"),
        ("/v1/symbols/DEMO-USD/halt", "orders"),
        ("/v1/accounts/alice/deposits", "orders"),
        ("/v1/conservation", "orders"),
        ("/whoami", "orders"),
        ("/markets", "api"),
        ("/v1/trades", "api"),
        ("/v1/indicators", "api"),
        ("/candles/BTC-USD/1m?limit=2", "api"),
        ("/ready", "api"),
    ],
)
async def test_paths_go_to_their_service(edge: httpx.AsyncClient, path: str, service: str) -> None:
    answer = (await edge.get(path)).text
    assert answer.startswith(f"{service}\nget {path.lower()} ")


@pytest.mark.parametrize("path", ["/", "/markets"])
async def test_a_client_cannot_say_who_it_is(edge: httpx.AsyncClient, path: str) -> None:
    answer = (await edge.get(path, headers=FORGED)).text
    assert "8.8.8.8" not in answer
    assert "x-forwarded-for: 127.0.0.1\r\n" in answer
