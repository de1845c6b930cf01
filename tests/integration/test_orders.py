"""``orders`` as a process, on a real Postgres, Valkey and Kafka; with ``matching`` where orders have to be matched."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
import redis.asyncio as redis

from services.adapters.api_keys import Scope, create_key, key_hash, revoke_key
from services.adapters.lab_trades import trade_key
from services.adapters.redis import book_key
from services.contracts.lab import OrderCommand, PlaceOrder
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.orders.journal import FREE_NS, RETRY_NS
from services.runtime.clock import NS_PER_S, parse_rfc3339
from tests.conftest import StartService
from tests.support.database import fetch
from tests.support.log import records
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

ORDER: dict[str, Any] = {"id": "a-1", "symbol": "DEMO-USD", "price": 100.5, "qty": 2}
AMOUNTS = {"USD": "1000000", "DEMO": "1000"}


class Orders:
    """One replica and a client of it."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15)

    async def ask(self, method: str, path: str, key: str = "", body: Any = None, **headers: str) -> httpx.Response:
        """``body`` is sent as JSON, or as it is where it is bytes."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if key:
            headers["X-API-Key"] = key
        return await self.client.request(method, path, content=content, headers=headers)

    async def get(self, path: str, key: str = "") -> Any:
        answer = await self.ask("GET", path, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def place(self, key: str = "", **changed: Any) -> httpx.Response:
        return await self.ask("POST", "/place_order", key, ORDER | changed)


StartOrders = Callable[..., Awaitable[Orders]]
Key = Callable[..., Awaitable[str]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def symbols(database: asyncpg.Connection) -> None:
    """What ``matching`` would have listed."""
    await database.execute(
        "INSERT INTO symbols VALUES ('DEMO-USD', 0, 'DEMO', 'USD', 0.01, 0.001, 100, NULL, 10000, 0, NULL, 1000, 10, "
        "20, false), ('BTC-USD', 0, 'BTC', 'USD', 0.01, 0.00001, 60000, NULL, NULL, 0, NULL, 1000, 10, 20, false)"
    )


@pytest.fixture
def key(database: asyncpg.Connection) -> Key:
    async def make(account: str, *scopes: Scope) -> str:
        return await create_key(database, account, scopes or ("read", "trade"))

    return make


@pytest.fixture
async def start_orders(service: StartService, free_port: Callable[[], int]) -> AsyncIterator[StartOrders]:
    started: list[Orders] = []

    async def start(**env: object) -> Orders:
        port = free_port()
        usual: dict[str, Any] = {
            "TICKPLANE_ANONYMOUS_ACCOUNT": "alice",
            "TICKPLANE_DEPENDENCY_CHECK_INTERVAL_S": 0.3,
            "TICKPLANE_SYMBOLS_REFRESH_S": 0.2,
        }
        process = await service("orders", **(usual | env), TICKPLANE_ORDERS_PORT=port)
        orders = Orders(process, port)
        started.append(orders)
        await process.wait_ready()
        await eventually(lambda: orders.get("/v1/symbols"))
        return orders

    yield start
    for orders in started:
        await orders.client.aclose()


@pytest.fixture
async def orders(start_orders: StartOrders, symbols: None) -> Orders:
    """A replica that takes orders which nobody matches."""
    return await start_orders()


@pytest.fixture
async def lab(start_orders: StartOrders, service: StartService, key: Key) -> Orders:
    """A replica, the engine, and money for alice and bob."""
    await (await service("matching", TICKPLANE_ANONYMOUS_ACCOUNT="alice")).wait_ready()
    one = await start_orders()
    admin = await key("root", "admin")
    for account in ("alice", "bob"):
        for asset, amount in AMOUNTS.items():
            deposit = {"id": f"first-{asset}", "asset": asset, "amount": amount}
            answer = await one.ask("POST", f"/v1/accounts/{account}/deposits", admin, deposit)
            assert answer.status_code == 202, answer.text
    await eventually(lambda: has_balances(one, "bob", admin))
    return one


async def has_balances(orders: Orders, account: str, admin: str) -> bool:
    return len((await orders.get(f"/v1/accounts/{account}", admin))["balances"]) == len(AMOUNTS)


async def journal(bootstrap_servers: str) -> list[OrderCommand]:
    """Every command on it, in order."""
    return [msgspec.json.decode(r.value, type=OrderCommand) for r in await records(bootstrap_servers, Topic.ORDERS)]


async def test_an_order_is_on_the_journal_with_its_digits_when_it_is_answered(
    orders: Orders, bootstrap_servers: str
) -> None:
    body = b'{"id": "a-1", "symbol": "DEMO-USD", "price": 100.10, "qty": 0.123, "time_in_force": "IOC", "side": "sell"}'
    answer = await orders.ask("POST", "/place_order", body=body)
    assert answer.status_code == 202
    received = answer.json()
    assert received == {
        "status": "received",
        "id": "a-1",
        "account": "alice",
        "symbol": "DEMO-USD",
        "received_time": received["received_time"],
    }
    (record,) = await records(bootstrap_servers, Topic.ORDERS)
    assert (record.partition, record.key) == (0, b"0")
    assert msgspec.json.decode(record.value, type=OrderCommand) == PlaceOrder(
        "alice",
        "a-1",
        "DEMO-USD",
        Decimal("0.123"),
        parse_rfc3339(received["received_time"]),
        "sell",
        price=Decimal("100.1"),
        time_in_force="IOC",
    )


def raw(**changed: Any) -> bytes:
    return json.dumps(ORDER | changed).encode()


BAD: list[tuple[bytes, int, str, str]] = [
    (raw(symbol="NONE-USD"), 400, "unknown_symbol", "symbol"),
    (raw(price="100.001"), 400, "tick_size", "price"),
    (raw(qty="0.0001"), 400, "lot_size", "qty"),
    (raw(qty=10_001), 400, "quantity", "qty"),
    (raw(qty=0), 422, "invalid_request", "qty"),
    (raw(qty=-1), 422, "invalid_request", "qty"),
    (raw(qty="NaN"), 422, "invalid_request", "qty"),
    (raw().replace(b'"qty": 2', b'"qty": 1e400'), 422, "invalid_request", "qty"),
    (raw().replace(b'"qty": 2', b'"qty": NaN'), 422, "invalid_request", ""),
    (raw(qty="1" * 39), 422, "invalid_request", "qty"),
    (raw().replace(b'"qty": 2', b'"qty": 0.' + b"1" * 4_000), 422, "invalid_request", "qty"),
    (raw(price=None), 422, "invalid_request", "price"),
    (raw(side="up"), 422, "invalid_request", "side"),
    (raw(expire_time="2026-01-01T00:00:00Z"), 422, "invalid_request", "expire_time"),
    (raw(expire_time="tomorrow", time_in_force="GTD"), 422, "invalid_request", "expire_time"),
    (raw(id=7), 422, "invalid_request", "id"),
    (raw(id=""), 422, "invalid_request", "id"),
    (raw(id="x" * 65), 422, "invalid_request", "id"),
    (raw(id="a b"), 422, "invalid_request", "id"),
    (raw(id="a:b"), 422, "invalid_request", "id"),
    (raw(id="a\n"), 422, "invalid_request", "id"),
    (raw(id="\0"), 422, "invalid_request", "id"),
    (raw(id="💩"), 422, "invalid_request", "id"),
    (raw(nonsense=1), 422, "invalid_request", "nonsense"),
    (raw(account="bob"), 403, "forbidden", ""),
    (b"", 422, "invalid_request", ""),
    (b"[]", 422, "invalid_request", ""),
    (b'{"id":' + b"[" * 10_000, 422, "invalid_request", "id"),
    (b" " * 16_385, 413, "body_too_large", ""),
    (b"x" * 5_000_000, 413, "body_too_large", ""),
]


async def test_bad_orders_are_told_why_and_are_never_on_the_topic(
    orders: Orders, key: Key, bootstrap_servers: str, database_url: str
) -> None:
    for body, status, code, path in BAD:
        answer = await orders.ask("POST", "/place_order", body=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code), (body[:100], answer.text)
        assert [field["path"] for field in error["fields"]] == ([path] if status in (400, 422) else []), body[:100]
        assert error["message"]
    admin = await key("root", "admin")
    for account in ("world", "fees", "World"):
        answer = await orders.place(admin, account=account)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "reserved_account")
    assert await records(bootstrap_servers, Topic.ORDERS) == []
    assert await fetch(database_url, "SELECT * FROM order_ids") == []


ODD: list[tuple[str, str, int]] = [
    ("GET", "/trade/none", 200),
    ("GET", "/trade/", 200),
    ("GET", "/trade/a/b", 200),
    ("GET", "/trade/%00", 200),
    ("GET", "/trade/%F0%9F%92%A9", 200),
    ("GET", "/trade/%FF", 200),
    ("GET", f"/trade/{'x' * 10_000}", 200),
    ("GET", "/v1/orders/none", 404),
    ("GET", "/v1/orders/%00", 404),
    ("GET", "/v1/orders?state=half", 422),
    ("GET", "/v1/orders?limit=0", 422),
    ("GET", "/v1/orders?limit=1001", 422),
    ("GET", "/v1/orders?cursor=nonsense", 422),
    ("GET", "/v1/orders?symbol=%00", 200),
    ("GET", "/v1/executions?scope=all", 422),
    ("GET", "/v1/executions?symbol=NONE", 200),
    ("GET", "/v1/book/NONE", 404),
    ("GET", "/v1/book/DEMO-USD?depth=101", 422),
    ("GET", "/v1/accounts/bob", 403),
    ("GET", "/v1/conservation", 403),
    ("GET", "/nothing", 404),
    ("GET", "/place_order", 405),
    ("DELETE", "/v1/orders/none", 404),
    ("DELETE", "/v1/orders/%00", 404),
    ("DELETE", "/v1/orders?symbol=NONE", 404),
    ("PATCH", "/v1/orders/none", 422),
    ("POST", "/v1/symbols/DEMO-USD/halt", 403),
    ("POST", "/v1/accounts/alice/deposits", 403),
]


async def test_odd_requests_have_the_one_envelope_and_are_never_on_the_topic(
    orders: Orders, bootstrap_servers: str
) -> None:
    for method, path, status in ODD:
        answer = await orders.ask(method, path)
        assert answer.status_code == status, (method, path[:100], answer.text)
        assert answer.headers["content-type"] == "application/json"
        if status != 200:
            assert set(answer.json()["error"]) == {"code", "message", "fields"}
    assert (await orders.get("/trade/%F0%9F%92%A9")) == {"found": False, "order_id": "💩"}
    assert await records(bootstrap_servers, Topic.ORDERS) == []


async def test_the_same_id_is_the_same_order_whichever_replica_is_asked(
    start_orders: StartOrders, symbols: None, bootstrap_servers: str
) -> None:
    first, second = await start_orders(), await start_orders()
    answers = [await replica.place() for replica in (first, second, first)]
    answers.append(
        await second.ask("POST", "/place_order", body=b'{"qty":"2.0","price":"100.50","symbol":"DEMO-USD","id":"a-1"}')
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len({record.value for record in await records(bootstrap_servers, Topic.ORDERS)}) == 1
    assert len(await journal(bootstrap_servers)) == len(answers)
    other = await second.place(qty=3)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "id_in_use")
    assert len(await journal(bootstrap_servers)) == len(answers)


async def test_one_id_at_the_same_moment_on_two_replicas_is_one_order(
    start_orders: StartOrders, symbols: None, bootstrap_servers: str
) -> None:
    replicas = [await start_orders(), await start_orders()]
    same = await asyncio.gather(*(replica.place(id=f"s{n}") for n in range(20) for replica in replicas))
    assert {answer.status_code for answer in same} == {202}
    assert len({record.value for record in await records(bootstrap_servers, Topic.ORDERS)}) == 20
    rivals = await asyncio.gather(*(r.place(id=f"r{n}", qty=2 + i) for n in range(20) for i, r in enumerate(replicas)))
    assert sorted(answer.status_code for answer in rivals) == [202] * 20 + [409] * 20


async def test_ids_age_kept_for_retries_then_refused_then_free_then_pruned(
    start_orders: StartOrders, symbols: None, database: asyncpg.Connection, bootstrap_servers: str
) -> None:
    orders = await start_orders(TICKPLANE_ORDER_IDS_PRUNE_INTERVAL_S=1)

    async def aged(by_ns: int) -> httpx.Response:
        await database.execute("UPDATE order_ids SET received_time = received_time - $1", by_ns)
        return await orders.place()

    first = await orders.place()
    assert (await aged(RETRY_NS - 60 * NS_PER_S)).status_code == 202
    late = await aged(120 * NS_PER_S)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "too_late_to_retry")
    assert len(await journal(bootstrap_servers)) == 2
    await database.execute("UPDATE order_ids SET received_time = received_time - $1", FREE_NS - RETRY_NS)

    async def pruned() -> bool:
        return not await database.fetch("SELECT FROM order_ids")

    await eventually(pruned)
    fresh = await orders.place(qty=3)
    assert fresh.status_code == 202
    assert fresh.json()["received_time"] > first.json()["received_time"]


async def test_an_id_whose_order_is_still_open_is_not_free_however_old_it_is(
    orders: Orders, database: asyncpg.Connection
) -> None:
    await database.execute(
        "INSERT INTO orders VALUES (0, 1, 'alice', 'a-1', 'DEMO-USD', 'buy', 'limit', 'GTC', false, 'cancel_newest', "
        "100, NULL, NULL, 1, 1, 0, 0, 0, 'resting', NULL, 1, 1)"
    )
    assert (await orders.place()).json()["error"]["code"] == "id_in_use"
    await database.execute("UPDATE orders SET state = 'cancelled', updated_time = $1", time.time_ns())
    assert (await orders.place()).json()["error"]["code"] == "id_in_use", "Redis may still have what has traded of it"
    await database.execute("UPDATE orders SET updated_time = 1")
    assert (await orders.place()).status_code == 202


async def test_keys_are_needed_scoped_and_gone_soon_after_they_are_revoked(
    start_orders: StartOrders, symbols: None, key: Key, database: asyncpg.Connection
) -> None:
    orders = await start_orders(TICKPLANE_API_KEY_REFRESH_S=0.2, TICKPLANE_ANONYMOUS_ACCOUNT="alice")
    strict = await start_orders(TICKPLANE_ANONYMOUS_ACCOUNT="bob")
    reader, trader, admin = await key("bob", "read"), await key("bob", "trade"), await key("root", "admin")
    assert (await orders.place("nonsense")).status_code == 401
    assert (await orders.ask("GET", "/whoami", "nonsense")).status_code == 401
    assert (await orders.place(reader)).json()["error"]["code"] == "forbidden"
    assert (await orders.ask("GET", "/v1/orders", trader)).status_code == 403
    assert (await orders.place(trader)).json()["account"] == "bob"
    assert (await orders.place(admin, account="carol")).json()["account"] == "carol"
    assert (await orders.place(trader, account="carol")).status_code == 403
    whoami = await orders.get("/whoami", reader)
    assert (whoami["service"], whoami["account"], whoami["scopes"]) == ("orders", "bob", ["read"])
    assert whoami["instance"] != (await strict.get("/whoami"))["instance"]
    assert (await orders.get("/whoami"))["account"] == "alice"
    await revoke_key(database, key_hash(trader).hex()[:16])

    async def gone() -> bool:
        return (await orders.place(trader)).status_code == 401

    await eventually(gone, timeout_s=5)


async def test_a_known_key_is_let_in_though_others_at_its_address_ask_too_much(
    start_orders: StartOrders, symbols: None, key: Key
) -> None:
    orders = await start_orders(TICKPLANE_ORDERS_RATE_LIMIT_PER_MINUTE=20, TICKPLANE_API_KEY_REFRESH_S=0.1)
    bob = await key("bob")
    assert (await orders.ask("GET", "/whoami", bob)).status_code == 200
    while (await orders.ask("GET", "/whoami", "a guess")).status_code != 429:
        pass
    for _ in range(5):
        assert (await orders.ask("GET", "/whoami", bob)).status_code == 200
        await asyncio.sleep(0.1)


async def test_without_an_anonymous_account_a_key_is_needed(
    service: StartService, symbols: None, free_port: Callable[[], int]
) -> None:
    port = free_port()
    orders = Orders(await service("orders", TICKPLANE_ORDERS_PORT=port), port)
    await orders.service.wait_ready()
    for method, path in (
        ("POST", "/place_order"),
        ("GET", "/trade/a"),
        ("GET", "/v1/symbols"),
        ("DELETE", "/v1/orders"),
    ):
        answer = await orders.ask(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    assert (await orders.get("/whoami"))["account"] is None
    await orders.client.aclose()


async def test_an_account_has_its_requests_of_the_minute_over_all_replicas(
    start_orders: StartOrders, symbols: None, key: Key
) -> None:
    replicas = [await start_orders(TICKPLANE_ORDERS_RATE_LIMIT_PER_MINUTE=10) for _ in range(2)]
    bob, carol = await key("bob"), await key("carol")
    statuses = [(await replica.ask("GET", "/whoami", bob)).status_code for _ in range(6) for replica in replicas]
    assert statuses == [200] * 10 + [429] * 2
    refused = await replicas[0].ask("GET", "/whoami", bob)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["code"] == "too_many_requests"
    assert (await replicas[0].ask("GET", "/whoami", carol)).status_code == 200
    guesses = [(await replicas[0].ask("GET", "/whoami", f"guess-{n}")).status_code for n in range(12)]
    assert guesses[0] == 401
    assert guesses[-1] == 429


async def test_while_kafka_is_away_it_says_so_and_the_same_request_later_is_the_same_order(
    start_orders: StartOrders, symbols: None, parts: Parts, bootstrap_servers: str
) -> None:
    orders = await start_orders(TICKPLANE_ORDER_PUBLISH_TIMEOUT_S=1)
    assert (await orders.place(id="before")).status_code == 202
    await parts.kafka.stop()
    refused = await orders.place(id="during")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert (await orders.ask("GET", "/whoami")).status_code == 200
    await parts.kafka.start()

    async def taken() -> bool:
        return (await orders.place(id="during")).status_code == 202

    await eventually(taken)
    placed = {command.id: command for command in await journal(bootstrap_servers) if isinstance(command, PlaceOrder)}
    assert set(placed) == {"before", "during"}
    await orders.service.wait_ready()


async def test_while_postgres_is_away_nothing_is_taken_and_what_redis_has_is_read(
    start_orders: StartOrders, symbols: None, parts: Parts, redis_url: str, bootstrap_servers: str
) -> None:
    orders = await start_orders(TICKPLANE_QUERY_TIMEOUT_S=1)
    async with redis.Redis.from_url(redis_url) as cache:
        await cache.set(trade_key("alice", "a-1"), '{"price":"1","qty":"2","ts":"t","fills":[]}')
    await parts.postgres.stop()
    refused = await orders.place()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert (await orders.get("/trade/a-1"))["trade"]["qty"] == "2"
    assert (await orders.ask("GET", "/trade/a-2")).status_code == 503
    await parts.postgres.start()

    async def taken() -> bool:
        return (await orders.place()).status_code == 202

    await eventually(taken)
    assert len(await journal(bootstrap_servers)) == 1


async def settled(lab: Orders, order_id: str, state: str, key: str = "") -> Any:
    """The order, once it is in that state."""

    async def check() -> Any:
        answer = await lab.ask("GET", f"/v1/orders/{order_id}", key)
        assert answer.status_code == 200, answer.text
        order = answer.json()
        assert order["state"] == state, order
        return order

    return await eventually(check)


async def test_an_order_is_matched_and_everything_says_so(
    lab: Orders, key: Key, redis_url: str, database_url: str
) -> None:
    bob, admin = await key("bob"), await key("root", "admin")
    assert (await lab.place(id="a-1", price="100.50", qty="2")).status_code == 202
    assert await lab.get("/trade/a-1") == {"found": False, "order_id": "a-1"}
    await settled(lab, "a-1", "resting")
    sell = {"id": "b-1", "symbol": "DEMO-USD", "side": "sell", "type": "market", "quantity": "0.5"}
    assert (await lab.ask("POST", "/v1/orders", bob, sell)).status_code == 202
    order = await settled(lab, "a-1", "partially_filled")
    assert [step["state"] for step in order["steps"]] == ["received", "accepted", "resting", "partially_filled"]
    assert order["steps"][0]["time"] == order["received_time"]
    (execution,) = order["executions"]
    expected = {
        "order_id": "a-1",
        "role": "maker",
        "side": "buy",
        "price": "100.5",
        "quantity": "0.5",
        "fee": "0.05025",
    }
    assert execution == execution | expected | {"symbol": "DEMO-USD", "taker_side": "sell"}
    assert [(order["filled"], order["remaining"], order["filled_quote"])] == [("0.5", "1.5", "50.25")]

    async def traded() -> Any:
        found = await lab.get("/trade/a-1")
        assert found["found"]
        return found

    found = await eventually(traded)
    assert (found["order_id"], found["trade"]["price"], found["trade"]["qty"]) == ("a-1", "100.5", "0.5")
    assert found["trade"]["ts"] == execution["time"]
    assert found["trade"]["fills"] == [
        {"price": "100.5", "qty": "0.5", "ts": execution["time"], "execution_id": execution["execution_id"]}
    ]
    assert await lab.get("/trade/a-1", bob) == {"found": False, "order_id": "a-1"}
    async with redis.Redis.from_url(redis_url) as cache:
        await cache.flushall()
        assert await lab.get("/trade/a-1") == found
        assert await cache.get(trade_key("alice", "a-1")) is not None
        assert await lab.get("/trade/a-1") == found
        book = await lab.get("/v1/book/DEMO-USD")
        assert (book["bids"], book["asks"]) == ([["100.5", "1.5"]], [])

    (taken,) = (await lab.get("/v1/executions", bob))["executions"]
    assert (taken["order_id"], taken["role"], taken["side"], taken["fee"]) == ("b-1", "taker", "sell", "0.1005")
    (public,) = (await lab.get("/v1/executions?scope=public&symbol=DEMO-USD", bob))["executions"]
    assert set(public) == {"execution_id", "symbol", "price", "quantity", "taker_side", "time"}
    balances = {b["asset"]: b for b in (await lab.get("/v1/accounts/alice"))["balances"]}
    assert balances["DEMO"]["available"] == "1000.5"
    assert balances["USD"]["held"] == "150.90075"
    sums = await lab.get("/v1/conservation", admin)
    assert {row["asset"]: row["sum"] for row in sums} == {"DEMO": "0", "USD": "0"}


async def test_open_orders_are_replaced_cancelled_and_listed(lab: Orders, key: Key) -> None:
    for number in range(5):
        assert (await lab.place(id=f"o-{number}", price=f"{95 + number}.00")).status_code == 202
    await settled(lab, "o-4", "resting")
    changed = await lab.ask("PATCH", "/v1/orders/o-0", body={"quantity": "1.5", "price": 96.5})
    assert (changed.status_code, changed.json()["command"]) == (202, "replace")
    bad: list[tuple[Any, int]] = [
        ({"price": 96.555}, 400),
        ({"quantity": "0.00001"}, 400),
        ({}, 422),
        ({"qty": 1}, 422),
    ]
    for body, status in bad:
        assert (await lab.ask("PATCH", "/v1/orders/o-0", body=body)).status_code == status, body
    assert (await lab.ask("DELETE", "/v1/orders/o-1")).json() == {
        "status": "received", "command": "cancel", "account": "alice", "id": "o-1", "symbol": "DEMO-USD"
    }  # fmt: skip
    cancelled = await settled(lab, "o-1", "cancelled")
    assert cancelled["reason"] == "requested"
    replaced = await settled(lab, "o-0", "resting")
    assert (replaced["price"], replaced["quantity"]) == ("96.5", "1.5")
    assert (await lab.ask("DELETE", "/v1/orders/o-1", await key("bob"))).status_code == 404

    pages, cursor = [], ""
    while cursor is not None:
        page = await lab.get(f"/v1/orders?limit=2{cursor and '&cursor=' + cursor}")
        pages += [order["id"] for order in page["orders"]]
        cursor = page["next_cursor"]
    assert pages == ["o-4", "o-3", "o-2", "o-1", "o-0"]
    assert [o["id"] for o in (await lab.get("/v1/orders?state=closed"))["orders"]] == ["o-1"]
    assert len((await lab.get("/v1/orders?state=open&symbol=DEMO-USD"))["orders"]) == 4
    assert (await lab.get("/v1/orders?state=open&symbol=BTC-USD"))["orders"] == []
    assert (await lab.ask("DELETE", "/v1/orders?symbol=DEMO-USD")).status_code == 202
    for number in (0, 2, 3, 4):
        await settled(lab, f"o-{number}", "cancelled")


async def test_what_needs_state_is_the_engines_and_becomes_a_rejection(lab: Orders) -> None:
    refused: dict[str, Any] = {
        "poor": {"qty": 9_999, "price": 105},
        "far": {"price": 50},
        "short": {"side": "sell", "qty": 1_001},
    }
    for order_id, changed in refused.items():
        assert (await lab.place(id=order_id, **changed)).status_code == 202
    reasons = {order_id: (await settled(lab, order_id, "rejected"))["reason"] for order_id in refused}
    assert reasons == {"poor": "insufficient_balance", "far": "price_band", "short": "insufficient_balance"}


async def test_the_admin_moves_money_and_halts_symbols(lab: Orders, key: Key) -> None:
    admin = await key("root", "admin")
    withdrawal = {"id": "w-1", "asset": "USD", "amount": "0.1"}
    answers = [await lab.ask("POST", "/v1/accounts/bob/withdrawals", admin, withdrawal) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].text == answers[1].text
    assert (await lab.ask("POST", "/v1/accounts/bob/deposits", admin, withdrawal)).status_code == 409
    unknown = await lab.ask("POST", "/v1/accounts/bob/deposits", admin, withdrawal | {"id": "w-2", "asset": "EUR"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_asset")
    assert (await lab.ask("POST", "/v1/accounts/world/deposits", admin, withdrawal)).status_code == 400

    async def withdrawn() -> Any:
        return [t for t in (await lab.get("/v1/accounts/bob/transfers", admin))["transfers"] if t["id"] == "w-1"]

    (done,) = await eventually(withdrawn)
    assert (done["asset"], done["amount"], done["refused"]) == ("USD", "-0.1", None)
    assert (await lab.ask("POST", "/v1/symbols/NONE/halt", admin)).status_code == 404
    for command, halted in (("halt", True), ("resume", False)):
        assert (await lab.ask("POST", f"/v1/symbols/DEMO-USD/{command}", admin)).status_code == 202

        async def seen(wanted: bool = halted) -> bool:
            symbols = await lab.get("/v1/symbols")
            return bool(next(s for s in symbols if s["symbol"] == "DEMO-USD")["halted"] == wanted)

        await eventually(seen)


async def test_the_book_is_redis_and_postgres_where_redis_has_none(orders: Orders, redis_url: str) -> None:
    assert (await orders.get("/v1/book/DEMO-USD"))["sequence"] is None
    stored = {
        "symbol": "DEMO-USD", "sequence": 7, "time": 1_767_225_600_000_000_000, "checksum": 5,
        "bids": [["100.50", "1.500"], ["100.40", "2.000"]], "asks": [["100.60", "1.000"]],
        "tick_size": "0.01", "lot_size": "0.001",
    }  # fmt: skip
    async with redis.Redis.from_url(redis_url) as cache:
        await cache.set(book_key("DEMO-USD"), json.dumps(stored))
        assert await orders.get("/v1/book/DEMO-USD?depth=1") == {
            "symbol": "DEMO-USD", "sequence": 7, "time": "2026-01-01T00:00:00Z", "bids": [["100.5", "1.5"]],
            "asks": [["100.6", "1"]], "tick_size": "0.01", "lot_size": "0.001", "checksum": 5,
        }  # fmt: skip
        await cache.set(book_key("DEMO-USD"), "nonsense")
        assert (await orders.get("/v1/book/DEMO-USD"))["bids"] == []


async def test_symbols_are_told_with_their_rules_and_without_exponents(orders: Orders) -> None:
    btc, demo = await orders.get("/v1/symbols")
    assert (btc["reference_price"], btc["lot_size"], btc["max_quantity"]) == ("60000", "0.00001", None)
    assert (demo["symbol"], demo["max_quantity"], demo["taker_fee_bps"], demo["halted"]) == (
        "DEMO-USD",
        "10000",
        20,
        False,
    )


async def test_metrics_count_commands_refusals_and_where_reads_were_found(orders: Orders) -> None:
    await orders.place()
    await orders.place()
    await orders.place(qty=0)
    await orders.get("/trade/none")
    text = (await orders.client.get(f"{orders.service.ops_url}/metrics")).text
    commands, refusals = Metric.ORDERS_COMMANDS.value.name, Metric.ORDERS_REFUSALS.value.name
    assert f'{commands}{{command="place",result="received"}} 1.0' in text
    assert f'{commands}{{command="place",result="repeated"}} 1.0' in text
    assert f'{refusals}{{code="invalid_request"}} 1.0' in text
    assert f'{Metric.ORDERS_READS.value.name}{{source="nothing",what="trade"}} 1.0' in text
    assert 'route="/place_order"' in text


async def test_a_page_of_another_origin_may_trade_where_a_setting_lets_it(
    start_orders: StartOrders, symbols: None
) -> None:
    page = "https://page.example"
    orders = await start_orders(TICKPLANE_CORS_ORIGINS=page)
    asked = {"Origin": page, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-api-key"}
    preflight = await orders.ask("OPTIONS", "/v1/orders/a", **asked)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert (await orders.ask("GET", "/v1/orders", Origin=page)).status_code == 200


async def test_a_page_of_another_origin_has_no_account_without_a_key(orders: Orders, key: Key) -> None:
    """A browser sends a form of any page here, and its text may be JSON."""
    page = "https://page.example"
    bob = await key("bob")
    assert (await orders.ask("DELETE", "/v1/orders", Origin=page)).status_code == 401
    assert (await orders.ask("DELETE", "/v1/orders", bob, Origin=page)).status_code == 202
    assert (await orders.ask("DELETE", "/v1/orders", Origin=str(orders.client.base_url).rstrip("/"))).status_code == 202


async def test_keys_are_made_listed_and_taken_back_by_the_tool(orders: Orders, service: StartService) -> None:
    async def tool(*words: str) -> tuple[int, str]:
        process = await service("tool", start=False)
        process.module = ("services", "keys", *words)
        await process.start()
        return await process.wait(), process.last_output()

    code, made = await tool("create", "--account", "carol", "--scope", "trade", "--scope", "read", "--label", "a bot")
    assert code == 0, made
    assert (await orders.get("/whoami", made))["scopes"] == ["read", "trade"]
    shown = key_hash(made).hex()[:16]
    code, listed = await tool("list")
    assert code == 0
    assert all(text in listed for text in (shown, "carol", "read, trade", "a bot"))
    assert made not in listed
    assert (await tool("revoke", shown))[0] == 0

    async def gone() -> bool:
        return (await orders.ask("GET", "/whoami", made)).status_code == 401

    await eventually(gone)
    for words in (("revoke", "0000000000"), ("revoke", "00"), ("create", "--account", "world", "--scope", "read")):
        assert (await tool(*words))[0] == 2, words
