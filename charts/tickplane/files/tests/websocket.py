"""``helm test``: the gateway takes WebSockets, knows what the API knows, and delivers what is traded now."""

# ruff: noqa: T201

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

UNKNOWN_PRODUCT = 4504
NOBODY_HAS = {"exchange": "helm-test", "product_id": "NOTHING-USD"}
LIVE = timedelta(minutes=1)


def main() -> None:
    refuses(NOBODY_HAS)
    products = httpx.get(f"{os.environ['API_URL']}/markets", timeout=20).raise_for_status().json()["products"]
    since = (datetime.now(UTC) - LIVE).isoformat()
    live = [product for product in products if (product["last_trade_time"] or "") > since]
    print(f"{len(live)} of {len(products)} products traded in the last minute")
    if live:
        delivers(live[0])


def refuses(product: dict[str, Any]) -> None:
    code = None
    with connect(_url(product), open_timeout=20) as socket:
        try:
            while True:
                print(socket.recv(timeout=20))
        except ConnectionClosed as closed:
            code = closed.rcvd and closed.rcvd.code
    if code != UNKNOWN_PRODUCT:
        raise SystemExit(f"a product that nobody has is closed with {code}, not {UNKNOWN_PRODUCT}")


def delivers(product: dict[str, Any]) -> None:
    with connect(_url(product), open_timeout=20) as socket:
        frame = json.loads(socket.recv(timeout=20))
    print(frame)
    if "price" not in frame:
        raise SystemExit(f"{product} is traded, but the gateway sends {frame}")


def _url(product: dict[str, Any]) -> str:
    return f"{os.environ['GATEWAY_URL']}/crypto/{quote(product['product_id'])}?exchange={quote(product['exchange'])}"


main()
