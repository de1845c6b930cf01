"""``python fastapi_server.py PORT SOCKET``: FastAPI and uvicorn on ``websockets``, on uvloop.

Sends each trade that it reads as a line from SOCKET to every client that subscribed: made into text once, one send a
client.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

LINE_BYTES_MAX = 1 << 20

port, source = sys.argv[1:]
clients: set[WebSocket] = set()
sequence: int | None = None


def update(trade: dict[str, Any]) -> dict[str, Any]:
    global sequence
    previous, sequence = sequence, 0 if sequence is None else sequence + 1
    return {
        "type": "update",
        "channel": "trades",
        "exchange": trade["exchange"],
        "product": trade["product_id"],
        "sequence": sequence,
        "previous": previous,
        "time": datetime.fromtimestamp(trade["time"] / 1e9, UTC).isoformat(),
        "data": {name: trade[name] for name in ("trade_id", "price", "size", "side", "origin")},
    }


async def deliver() -> None:
    reader, _writer = await asyncio.open_unix_connection(source, limit=LINE_BYTES_MAX)
    while line := await reader.readline():
        text = json.dumps(update(json.loads(line)))
        for client in list(clients):
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await client.send_text(text)


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    delivering = asyncio.create_task(deliver())
    print("ready", flush=True)
    yield
    delivering.cancel()


app = FastAPI(lifespan=lifespan)


@app.websocket("/v1/stream")
async def stream(client: WebSocket) -> None:
    await client.accept()
    try:
        asked = await client.receive_json()
        await client.send_json(asked | {"type": "ack"})
        await client.send_json({"type": "snapshot", "sequence": sequence, "data": None})
        clients.add(client)
        while True:
            await client.receive_text()
    except WebSocketDisconnect:
        clients.discard(client)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        backlog=4096,
        log_level="error",
    )
