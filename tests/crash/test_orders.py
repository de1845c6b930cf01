"""A replica of ``orders`` dies under load: what it acknowledged is matched once, what it did not can be sent again."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from services.adapters.api_keys import create_key
from services.contracts.lab import OrderCommand, PlaceOrder
from services.contracts.topics import Topic
from tests.conftest import StartService
from tests.support import journal
from tests.support.database import fetch
from tests.support.log import records
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

ORDERS = 3_000
CLIENTS = 16
DEATHS_MIN = 2
ASSETS = ("USD", "DEMO")
AWAY: tuple[type[Exception], ...] = (httpx.TransportError,)
"""What a client sees of a replica that dies, before or after it has published."""


@dataclass
class Outcome:
    """What clients know: the ids that were acknowledged, and those that had to be sent again before they were."""

    acked: set[str] = field(default_factory=set)
    retried: set[str] = field(default_factory=set)


def body(number: int) -> dict[str, object]:
    """Alice buys and bob sells at one price, so that every order trades with another one."""
    account, side = ("alice", "buy") if number % 2 else ("bob", "sell")
    return {
        "id": f"o-{number}",
        "account": account,
        "side": side,
        "symbol": "DEMO-USD",
        "price": "100",
        "quantity": "1",
    }


class Load:
    """Clients that take the next order when the one before it is acknowledged, or (``once``) was tried once."""

    def __init__(self, ports: list[int], key: str, *, once: bool) -> None:
        self._urls = [f"http://127.0.0.1:{port}/v1/orders" for port in ports]
        self._headers = {"X-API-Key": key}
        self._once = once
        self._numbers = iter(range(ORDERS))
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        async with httpx.AsyncClient(timeout=20, headers=self._headers) as client, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(client))
        return self.outcome

    async def _client(self, client: httpx.AsyncClient) -> None:
        for number in self._numbers:
            order_id = f"o-{number}"
            while not await self._sent(client, number):
                self.outcome.retried.add(order_id)
                if self._once:
                    break
                await asyncio.sleep(0.02)
            else:
                self.outcome.acked.add(order_id)

    async def _sent(self, client: httpx.AsyncClient, number: int) -> bool:
        try:
            answer = await client.post(random.choice(self._urls), json=body(number))
        except AWAY:
            return False
        assert answer.status_code in (202, 503), answer.text
        return answer.status_code == 202


async def admin_key(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    try:
        return await create_key(connection, "root", ["admin"])
    finally:
        await connection.close()


async def under_load(
    service: StartService, free_port: Callable[[], int], database_url: str, bootstrap_servers: str, *, once: bool
) -> Outcome:
    """Two replicas under load, one of which dies again and again, and is started again."""
    await service("matching")
    ports = [free_port(), free_port()]
    limit: dict[str, Any] = {"TICKPLANE_ORDERS_RATE_LIMIT_PER_MINUTE": 10_000_000}
    dying = await service("orders", start=False, TICKPLANE_ORDERS_PORT=ports[0], **limit)
    dying.module = ("tests.crash.dying_orders",)
    await dying.start()
    await service("orders", TICKPLANE_ORDERS_PORT=ports[1], **limit)
    key = await admin_key(database_url)
    for port in ports:
        await eventually(lambda: lists_symbols(port, key))  # noqa: B023
    funds = [journal.deposit(account, asset, 10**9) for account in ("alice", "bob") for asset in ASSETS]
    await journal.write(bootstrap_servers, funds)
    load = Load(ports, key, once=once)
    running = asyncio.create_task(load.run())
    deaths = await started_again(dying, running)
    assert deaths >= DEATHS_MIN
    return await running


async def lists_symbols(port: int, key: str) -> bool:
    """Whether the replica knows what the engine has listed."""
    async with httpx.AsyncClient(headers={"X-API-Key": key}) as client:
        return len((await client.get(f"http://127.0.0.1:{port}/v1/symbols")).json()) == 2


async def started_again(replica: Service, running: "asyncio.Task[Outcome]") -> int:
    """Start the replica each time it has died, until the load is over. Returns how often."""
    deaths = 0
    while not running.done():
        if not replica.running:
            deaths += 1
            await replica.start()
        await asyncio.sleep(0.05)
    return deaths


async def placed(bootstrap_servers: str) -> Counter[str]:
    """How often each id is on the journal."""
    commands = [msgspec.json.decode(r.value, type=OrderCommand) for r in await records(bootstrap_servers, Topic.ORDERS)]
    return Counter(command.id for command in commands if isinstance(command, PlaceOrder))


async def test_every_acknowledged_order_is_matched_once_and_every_other_can_be_sent_again(
    service: StartService, free_port: Callable[[], int], database_url: str, bootstrap_servers: str
) -> None:
    outcome = await under_load(service, free_port, database_url, bootstrap_servers, once=False)
    assert len(outcome.acked) == ORDERS
    assert outcome.retried

    async def matched() -> bool:
        rows = await fetch(database_url, "SELECT state FROM orders")
        return Counter(row["state"] for row in rows) == {"filled": ORDERS}

    await eventually(matched, 60)
    times = await placed(bootstrap_servers)
    assert set(times) == outcome.acked
    # Some were published twice: it is the engine that made them one.
    assert times.total() > ORDERS
    (sums,) = await fetch(database_url, "SELECT count(*) AS executions, sum(quantity) AS quantity FROM executions")
    assert (sums["executions"], sums["quantity"]) == (ORDERS // 2, ORDERS // 2)
    rows = await fetch(database_url, "SELECT asset, sum(available + held) AS sum FROM balances GROUP BY asset")
    assert {row["asset"]: row["sum"] for row in rows} == dict.fromkeys(ASSETS, 0)


async def test_control_clients_that_do_not_send_again_lose_orders_but_none_that_was_acknowledged(
    service: StartService, free_port: Callable[[], int], database_url: str, bootstrap_servers: str
) -> None:
    outcome = await under_load(service, free_port, database_url, bootstrap_servers, once=True)
    times = await placed(bootstrap_servers)
    assert outcome.acked <= set(times)
    assert len(outcome.acked) < ORDERS
    assert set(times.values()) == {1}
