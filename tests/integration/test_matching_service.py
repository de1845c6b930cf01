"""The matching service on the real parts: the journal in; Postgres, the topics and Redis out."""

from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest
import redis.asyncio as redis

from services.adapters.lab_trades import Trade, read_trade, trade_key
from services.adapters.postgres import sql
from services.adapters.redis import book_key
from services.contracts import lab
from services.contracts.topics import Group, Topic
from tests.conftest import StartService
from tests.support import journal
from tests.support.database import fetch
from tests.support.journal import deposit, order
from tests.support.log import records
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

FUNDS = [deposit(account, asset, 1_000_000) for account in ("alice", "bob") for asset in ("USD", "DEMO")]


async def listed(database_url: str) -> None:
    async def check() -> bool:
        rows = await fetch(database_url, "SELECT symbol FROM symbols ORDER BY symbol")
        assert [row["symbol"] for row in rows] == ["BTC-USD", "DEMO-USD"]
        return True

    await eventually(check)


async def started(service: StartService, database_url: str, **env: Any) -> Service:
    """The engine, with its symbols listed."""
    engine = await service("matching", TICKPLANE_ANONYMOUS_ACCOUNT="alice", **env)
    await engine.wait_ready()
    await listed(database_url)
    return engine


async def order_states(database_url: str) -> dict[str, str]:
    return {row["id"]: row["state"] for row in await fetch(database_url, "SELECT id, state FROM orders")}


async def expect_states(database_url: str, states: dict[str, str]) -> None:
    async def check() -> bool:
        assert await order_states(database_url) == states
        return True

    await eventually(check)


async def test_a_crossed_order_is_in_postgres_on_the_topics_and_in_redis(
    service: StartService, database_url: str, bootstrap_servers: str, redis_url: str
) -> None:
    await started(service, database_url)
    await journal.write(
        bootstrap_servers,
        [*FUNDS, order("alice", "a1", "buy", "2", "100.50"), order("bob", "b1", "sell", "0.5", "100.00")],
    )
    await expect_states(database_url, {"a1": "partially_filled", "b1": "filled"})
    (execution,) = await journal.executions(bootstrap_servers)
    assert (execution.price, execution.quantity, execution.taker_side) == (Decimal("100.50"), Decimal("0.5"), "sell")
    assert execution.taker_fee == Decimal("0.1005"), "20 basis points of 50.25"
    (row,) = await fetch(database_url, "SELECT * FROM executions")
    assert (row["sequence"], row["price"], row["maker_id"]) == (execution.sequence, Decimal("100.50"), "a1")
    (bought,) = await fetch(database_url, "SELECT * FROM orders WHERE id = 'a1'")
    assert (bought["remaining"], bought["filled"], bought["filled_quote"]) == (
        Decimal("1.5"),
        Decimal("0.5"),
        Decimal("50.25"),
    )
    steps = await fetch(database_url, "SELECT * FROM order_steps WHERE number = $1 ORDER BY time", bought["number"])
    assert [step["state"] for step in steps] == ["received", "accepted", "resting", "partially_filled"]
    assert steps[0]["time"] == bought["received_time"]
    async with redis.Redis.from_url(redis_url) as client:

        async def in_redis() -> bool:
            found = [await client.get(key) for key in (trade_key("alice", "a1"), "trade:a1", trade_key("bob", "b1"))]
            trades = [msgspec.json.decode(value or b"null", type=Trade) for value in found]
            assert [(trade.price, trade.qty) for trade in trades] == [("100.5", "0.5")] * 3
            assert trades[0].fills[0].execution_id == execution.execution_id
            assert await client.get("trade:b1") is None
            return True

        await eventually(in_redis)

        async def book_in_redis() -> bool:
            book: dict[str, Any] = msgspec.json.decode(await client.get(book_key("DEMO-USD")) or b"{}")
            assert book.get("bids") == [["100.50", "1.500"]]
            return True

        await eventually(book_in_redis)


async def test_what_redis_lost_is_read_from_postgres_the_same(
    service: StartService, database_url: str, bootstrap_servers: str, redis_url: str
) -> None:
    await started(service, database_url)
    sells = [order("bob", f"b{n}", "sell", "1", f"{100 + n}.00") for n in range(3)]
    await journal.write(bootstrap_servers, [*FUNDS, *sells, order("alice", "a1", "buy", "2.5", "105")])
    await expect_states(database_url, {"b0": "filled", "b1": "filled", "b2": "partially_filled", "a1": "filled"})
    connection = await asyncpg.connect(database_url)
    try:
        from_postgres = await read_trade(connection, "alice", "a1")
        assert await read_trade(connection, "alice", "b0") is None
    finally:
        await connection.close()
    async with redis.Redis.from_url(redis_url) as client:

        async def same() -> bool:
            value = await client.get(trade_key("alice", "a1"))
            assert msgspec.json.decode(value or b"null", type=Trade) == from_postgres
            return True

        await eventually(same)
    assert from_postgres is not None
    assert (from_postgres.price, from_postgres.qty) == ("100.8", "2.5")


async def test_malformed_records_are_dead_lettered_and_the_engine_goes_on(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await started(service, database_url)
    place = msgspec.json.encode(order("alice", "a1", "buy", "1", "100"))
    bad = {
        b"": "empty",
        place.replace(b'"a1"', b'"\xff"'): "utf8",
        b"{": "json",
        b"[]": "type",
        b'{"command":"steal"}': "type",
        place.replace(b'"1"', b'"NaN"'): "quantity",
        place.replace(b'"1"', b'"1e999999"'): "quantity",
        place.replace(b'"100"', b'"-1"'): "price",
        place.replace(b'"alice"', b'"world"'): "account",
        place.replace(b'"alice"', b'"al:ice"'): "account",
        place.replace(b'"a1"', b'"a\\u0000"'): "id",
        place.replace(b'"GTC"', b'"IOC"').replace(b'"post_only":false', b'"post_only":true'): "post_only",
        place[:-1] + b',"padding":"' + b"x" * 10_000 + b'"}': "too_big",
    }
    off = [order("alice", "off-tick", "buy", "1", "100.005"), order("alice", "off-lot", "buy", "0.0001", "100")]
    nowhere = msgspec.structs.replace(order("alice", "nowhere", "buy", "1", "100"), symbol="NO-USD")
    await journal.write(bootstrap_servers, [*FUNDS, *bad, *off, nowhere, order("alice", "a2", "buy", "1", "100")])
    await expect_states(
        database_url, {"off-tick": "rejected", "off-lot": "rejected", "nowhere": "rejected", "a2": "resting"}
    )
    rows = await fetch(database_url, "SELECT id, reason FROM orders WHERE state = 'rejected'")
    assert {row["id"]: row["reason"] for row in rows} == {
        "off-tick": "price",
        "off-lot": "quantity",
        "nowhere": "unknown_symbol",
    }
    letters = [msgspec.json.decode(record.value) for record in await records(bootstrap_servers, Topic.ORDERS_DLQ)]
    assert [letter["error_type"] for letter in letters] == list(bad.values())


async def test_transfers_and_balances_are_stored_and_the_sums_are_zero(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    engine = await started(service, database_url)
    await journal.write(
        bootstrap_servers,
        [
            *FUNDS,
            order("alice", "a1", "buy", "2", "100"),
            order("bob", "b1", "sell", "1", None),
            lab.WithdrawFunds("alice", "w1", "USD", Decimal(5_000_000)),
            lab.WithdrawFunds("alice", "w2", "USD", Decimal("0.5")),
        ],
    )

    async def stored() -> bool:
        rows = await fetch(database_url, "SELECT id, amount, refused FROM transfers WHERE id LIKE 'w%' ORDER BY id")
        assert [tuple(row) for row in rows] == [
            ("w1", Decimal(-5_000_000), "insufficient_balance"),
            ("w2", Decimal("-0.5"), None),
        ]
        return True

    await eventually(stored)
    sums = await fetch(database_url, "SELECT asset, sum(available + held) AS total FROM balances GROUP BY asset")
    assert {row["asset"]: row["total"] for row in sums} == {"USD": 0, "DEMO": 0}
    (held,) = await fetch(database_url, "SELECT held FROM balances WHERE account = 'alice' AND asset = 'USD'")
    assert held["held"] == Decimal("100.1"), "one at 100, and the maker's ten basis points"

    async def shown() -> bool:
        found = (await engine.metrics()).by("matching_conservation_units", "asset")
        assert found == {"USD": 0.0, "DEMO": 0.0}
        return True

    await eventually(shown, 20)


async def test_the_book_on_the_topic_follows_and_each_delta_goes_on_from_the_one_before(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await started(service, database_url)
    await journal.write(
        bootstrap_servers,
        [
            *FUNDS,
            order("bob", "b1", "sell", "1", "101"),
            order("bob", "b2", "sell", "1", "102"),
            order("alice", "a1", "buy", "3", "102"),
            lab.CancelAllOrders("alice"),
        ],
    )
    await expect_states(database_url, {"b1": "filled", "b2": "filled", "a1": "cancelled"})
    updates = [update for update in await journal.updates(bootstrap_servers) if update.symbol == "DEMO-USD"]
    assert updates[0].kind == "snapshot", "told when it is listed"
    sequence = updates[0].sequence
    for update in updates[1:]:
        assert update.previous == sequence
        sequence = update.sequence
    sweep = next(update for update in updates if len(update.asks) == 2)
    assert sweep.asks == ((Decimal("101.00"), Decimal(0)), (Decimal("102.00"), Decimal(0)))
    assert sweep.best_ask is None
    assert sweep.best_bid == (Decimal("102.00"), Decimal("1.000"))


async def test_an_engine_goes_on_from_its_snapshot_where_it_was(
    service: StartService, database_url: str, bootstrap_servers: str, redis_url: str
) -> None:
    engine = await started(service, database_url, TICKPLANE_SNAPSHOT_COMMANDS=10)
    first = [order("bob", f"b{n}", "sell", "1", f"{100 + n / 4}") for n in range(20)]
    await journal.write(bootstrap_servers, [*FUNDS, *first, order("alice", "a1", "buy", "0.4", "100")])
    await expect_states(
        database_url, {**{f"b{n}": "resting" for n in range(20)}, "b0": "partially_filled", "a1": "filled"}
    )

    async def snapshot() -> bool:
        rows = await fetch(database_url, "SELECT count(*) FROM matching_snapshots")
        assert rows[0][0] >= 1
        return True

    await eventually(snapshot)
    assert await engine.terminate() == 0
    await engine.start()
    await engine.wait_ready()
    await journal.write(bootstrap_servers, [order("alice", "a2", "buy", "0.6", "100"), lab.CancelOrder("bob", "b1")])

    async def gone_on() -> bool:
        states = await order_states(database_url)
        assert [states.get(name) for name in ("b0", "b1", "a2")] == ["filled", "cancelled", "filled"]
        return True

    await eventually(gone_on)
    whole = journal.replay(await journal.read(bootstrap_servers))
    assert [trade.execution for trade in whole.results.trades] == await journal.executions(bootstrap_servers)
    async with redis.Redis.from_url(redis_url) as client:

        async def both_fills() -> bool:
            value = await client.get(trade_key("bob", "b0"))
            assert msgspec.json.decode(value or b"null", type=Trade) == whole.trades()["bob", "b0"]
            return True

        await eventually(both_fills)


async def test_a_journal_made_anew_begins_with_empty_tables(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    engine = await started(service, database_url)
    await journal.write(bootstrap_servers, [*FUNDS, order("alice", "a1", "buy", "1", "100")])
    await expect_states(database_url, {"a1": "resting"})
    await engine.terminate()
    await fetch(database_url, sql("position_reset"), Group.MATCHING, Topic.ORDERS, 0, 0, await log_id(database_url))
    await fetch(database_url, "UPDATE orders SET id = 'of-before', state = 'filled'")
    await engine.start()
    await expect_states(database_url, {"a1": "resting"})


async def log_id(database_url: str) -> str:
    (row,) = await fetch(database_url, "SELECT log_id FROM positions WHERE consumer_group = 'matching'")
    return str(row["log_id"])
