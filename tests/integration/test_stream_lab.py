"""The order lab's channels of ``/v1/stream``: records of an engine on one side, WebSocket clients on the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from itertools import count

import pytest

from services.contracts.lab import DepositFunds, PlaceOrder
from services.contracts.metrics import Metric
from tests.conftest import StartService
from tests.support import stream
from tests.support.asyncapi import messages_of, published
from tests.support.log import producer
from tests.support.polling import eventually
from tests.support.stream import START_NS, TIMEOUT_S, BookReader, Frame, LabBook, Log, StreamClient, execution, places
from tests.support.stream import StreamGateway as Gateway

pytestmark = pytest.mark.parts

DEMO = "DEMO-USD"

StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def log(bootstrap_servers: str) -> AsyncIterator[Log]:
    async with producer(bootstrap_servers) as client:
        yield Log(client)


@pytest.fixture
async def start_gateway(service: StartService, free_port: Callable[[], int]) -> StartGateway:
    async def start(**env: object) -> Gateway:
        return await stream.start_gateway(service, free_port(), **env)

    return start


async def follow_book(client: StreamClient, reader: BookReader) -> Frame:
    """Follow DEMO-USD. Returns the snapshot."""
    ack = await client.subscribe("book", DEMO, exchange="lab")
    assert ack["type"] == "ack", ack
    snapshot = await client.frame()
    assert snapshot["type"] == "snapshot"
    reader.take(snapshot)
    return snapshot


async def read_until(client: StreamClient, reader: BookReader, sequence: int) -> list[Frame]:
    frames = await client.until(lambda frame: frame.get("sequence") == sequence)
    for frame in frames:
        if frame["type"] in ("snapshot", "update"):
            reader.take(frame)
    return frames


async def test_executions_come_once_each_and_say_nothing_of_whose_they_are(
    start_gateway: StartGateway, log: Log
) -> None:
    gateway = await start_gateway()
    async with gateway.client() as client:
        assert (await client.subscribe("executions", DEMO, exchange="lab"))["type"] == "ack"
        assert (await client.frame())["data"] == {"executions": []}
        offsets = await log.lab(*(execution(number) for number in (1, 2, 3)))
        await log.lab(*(execution(number) for number in (1, 2, 3)))
        offsets += await log.lab(execution(4), execution(5, "OTHER-USD"))
        assert (await client.frame())["type"] == "snapshot", "the symbol is new"
        frames = await client.updates(4)
        assert places(frames) == [
            (offsets[0], None), (offsets[1], offsets[0]), (offsets[2], offsets[1]), (offsets[3], offsets[2]),
        ]  # fmt: skip
        assert [frame["data"]["execution_id"] for frame in frames] == ["0-1", "0-2", "0-3", "0-4"]
        assert frames[0]["data"].keys() == {"execution_id", "price", "quantity", "taker_side"}
        assert await client.silence() == []
        for frame in frames:
            assert messages_of(frame, "sendFrame", published()) == ["executionsUpdate"]
    async with gateway.client() as client:
        await client.subscribe("executions", "*")
        snapshots = [await client.frame(), await client.frame()]
        shown = {frame["product"]: frame["data"]["executions"] for frame in snapshots}
        assert {name: len(executions) for name, executions in shown.items()} == {DEMO: 4, "OTHER-USD": 1}
        for frame in snapshots:
            assert messages_of(frame, "sendFrame", published()) == ["executionsSnapshot"]


async def test_the_control_without_a_window_delivers_what_a_crash_repeated(
    start_gateway: StartGateway, log: Log
) -> None:
    gateway = await start_gateway(TICKPLANE_DEDUP_WINDOW=0)
    async with gateway.client() as client:
        await client.subscribe("executions", DEMO)
        await client.frame()
        await log.lab(execution(1), execution(1))
        await client.frame()
        assert len(await client.updates(2)) == 2


async def test_executions_are_resumed_from_memory_from_kafka_and_on_another_gateway(
    start_gateway: StartGateway, log: Log
) -> None:
    offsets = []
    for number in range(0, 400, 2):
        offsets += await log.lab(execution(number))
        await log.lab(execution(number + 1, f"OTHER-{number % 3}"))
    first = await start_gateway()
    forgetful = await start_gateway(TICKPLANE_STREAM_UPDATES_MAX=50, TICKPLANE_DEDUP_WINDOW=20)
    for gateway, source in ((first, "memory"), (forgetful, "kafka")):
        async with gateway.client() as client:
            ack = await client.resume("executions", offsets[40], DEMO, log_id=client.hello["log_id"])
            assert ack["type"] == "ack", ack
            assert places(await client.updates(159)) == list(zip(offsets[41:], offsets[40:], strict=False))
            assert await client.silence() == []
        assert await gateway.metric(Metric.GATEWAY_RESUMES, source=source) == 1
    async with first.client() as client:
        assert (await client.resume("executions", offsets[-1] + 1, DEMO, exchange="coinbase"))["code"] == "bad_request"


async def test_a_book_is_followed_from_its_depth_on(start_gateway: StartGateway, log: Log) -> None:
    numbers = count(1)
    book, quiet = LabBook(numbers=numbers), LabBook("QUIET-USD", numbers=numbers)
    quiet.change(("sell", 1_005, 7))
    await log.lab(quiet.snapshot(), book.snapshot(), *(book.change(("buy", 900 + n, n)) for n in range(1, 50)))
    gateway, reader = await start_gateway(), BookReader()
    async with gateway.client() as client:
        snapshot = await follow_book(client, reader)
        assert reader.shown() == book.shown()
        offsets = await log.lab(
            book.change(("buy", 949, 0), ("sell", 1_001, 5)), book.snapshot(), book.change(("sell", 1_001, 4))
        )
        frames = await read_until(client, reader, offsets[2])
        assert places(frames) == [(offsets[0], snapshot["sequence"]), (offsets[2], offsets[0])]
        assert (reader.known, reader.shown()) == (True, book.shown())
        assert await client.silence() == []
        await client.subscribe("book", "*", exchange="lab")
        other = await client.frame()
        assert (other["product"], other["data"]["asks"]) == ("QUIET-USD", [["10.05", "0.007"]])
        for frame in (snapshot, other):
            assert messages_of(frame, "sendFrame", published()) == ["bookSnapshot"]
        assert messages_of(frames[0], "sendFrame", published()) == ["bookUpdate"]


async def test_a_symbol_may_be_followed_before_the_log_shows_it(start_gateway: StartGateway, log: Log) -> None:
    gateway, book, reader = await start_gateway(), LabBook(), BookReader()
    async with gateway.client() as client:
        snapshot = await follow_book(client, reader)
        assert (snapshot["sequence"], snapshot["data"]) == (None, None)
        assert messages_of(snapshot, "sendFrame", published()) == ["bookSnapshot"]
        (*_, last) = await log.lab(book.snapshot(), book.change(("buy", 999, 1)))
        await read_until(client, reader, last)
        assert (reader.known, reader.shown()) == (True, book.shown())


async def test_a_book_that_lacks_a_change_is_shown_again_with_the_next_snapshot(
    start_gateway: StartGateway, log: Log
) -> None:
    gateway, book, reader = await start_gateway(), LabBook(), BookReader()
    await log.lab(book.snapshot())
    async with gateway.client() as client:
        await follow_book(client, reader)
        book.change(("buy", 999, 1))
        (offset,) = await log.lab(book.change(("buy", 998, 1)))
        await read_until(client, reader, offset)
        lost = await client.frame()
        reader.take(lost)
        assert (lost["type"], lost["data"], reader.known) == ("snapshot", None, False)
        async with gateway.client() as other:
            assert (await follow_book(other, BookReader()))["data"] is None
        await log.lab(book.snapshot())
        reader.take(await client.frame())
        assert (reader.known, reader.shown()) == (True, book.shown())
    assert await gateway.metric(Metric.GATEWAY_BOOK_LOSSES, reason="hole") == 1


async def test_a_slow_reader_of_a_book_is_sent_its_depth_in_place_of_what_it_missed(
    start_gateway: StartGateway, log: Log
) -> None:
    gateway, book = await start_gateway(), LabBook()
    await log.lab(book.snapshot())
    slow_reader, reader = BookReader(), BookReader()
    async with gateway.client() as quick, gateway.unreading() as slow:
        await follow_book(quick, reader)
        await follow_book(slow, slow_reader)
        number = 0

        async def is_slow() -> bool:
            nonlocal number
            await log.lab(*(book.change(("buy", 1 + (number + n) % 900, number + n + 1)) for n in range(1_000)))
            number += 1_000
            return await gateway.metric(Metric.GATEWAY_UPDATES_SKIPPED) > 0

        await eventually(is_slow)
        (last,) = await log.lab(book.change(("sell", 1_001, 1)))
        await read_until(quick, reader, last)
        frames = await read_until(slow, slow_reader, last)
        assert sum(frame.get("skipped", 0) for frame in frames if frame["type"] == "snapshot") == slow_reader.skipped
        assert slow_reader.skipped > 0
        assert reader.updates == slow_reader.updates + slow_reader.skipped == number + 1
        for one in (reader, slow_reader):
            assert (one.known, one.shown()) == (True, book.shown())
    assert await gateway.metric(Metric.GATEWAY_SLOW_CLIENT_CLOSES) == 0


async def test_a_slow_reader_of_executions_is_closed_with_4008(start_gateway: StartGateway, log: Log) -> None:
    gateway = await start_gateway(TICKPLANE_CLIENT_BUFFER_FRAMES_MAX=100)
    async with gateway.unreading() as slow:
        await slow.subscribe("executions", DEMO)
        await slow.frame()
        number = 0

        async def is_closed() -> bool:
            nonlocal number
            await log.lab(*(execution(number + n) for n in range(1_000)))
            number += 1_000
            return await gateway.metric(Metric.GATEWAY_SLOW_CLIENT_CLOSES) > 0

        await eventually(is_closed)
        frames, code = await slow.until_closed()
        assert code in (1006, 4008)
        updates = [frame for frame in frames if frame["type"] == "update"]
        assert [frame["previous"] for frame in updates[1:]] == [frame["sequence"] for frame in updates[:-1]]


async def test_a_book_is_resumed_with_its_changes_or_where_there_are_many_with_its_depth(
    start_gateway: StartGateway, log: Log
) -> None:
    gateway, book = await start_gateway(TICKPLANE_STREAM_UPDATES_MAX=400), LabBook()
    reader, watching = BookReader(), BookReader()
    await log.lab(book.snapshot())
    async with gateway.client() as watcher:
        await follow_book(watcher, watching)
        async with gateway.client() as client:
            await follow_book(client, reader)
            (kept,) = await log.lab(book.change(("buy", 999, 1)))
            await read_until(client, reader, kept)
        for missed, kinds in ((100, ["update"] * 100), (300, ["snapshot"]), (500, ["error", "snapshot"])):
            offsets = await log.lab(*(book.change(("sell", 1_001 + n, n + missed)) for n in range(missed)))
            await read_until(watcher, watching, offsets[-1])
            async with gateway.client() as client:
                assert (await client.resume("book", kept, DEMO))["type"] == "ack"
                frames = await client.silence()
                assert [frame["type"] for frame in frames] == kinds
                assert frames[0].get("skipped", 0) == (missed if kinds == ["snapshot"] else 0)
                assert frames[0].get("code") == ("too_old" if "error" in kinds else None)
                for frame in frames[kinds.count("error") :]:
                    reader.take(frame)
                assert (reader.known, reader.shown()) == (True, book.shown())
                (kept,) = await log.lab(book.change(("buy", 999, missed)))
                await read_until(client, reader, kept)


async def test_a_gateway_that_starts_finds_the_snapshot_of_a_quiet_book(start_gateway: StartGateway, log: Log) -> None:
    numbers = count(1)
    quiet, busy = LabBook("QUIET-USD", numbers=numbers), LabBook(numbers=numbers)
    quiet.change(("buy", 500, 3))
    await log.lab(quiet.snapshot())
    for _ in range(3):
        await log.lab(*(busy.change(("sell", 1_001, n + 1)) for n in range(1_000)), busy.snapshot())
    near, far = await asyncio.gather(
        start_gateway(TICKPLANE_DEDUP_WINDOW=100, TICKPLANE_BOOK_RECORDS_MAX=2_000),
        start_gateway(TICKPLANE_DEDUP_WINDOW=100, TICKPLANE_BOOK_RECORDS_MAX=10_000),
    )
    shown = {}
    for name, gateway in (("near", near), ("far", far)):
        async with gateway.client() as client:
            await client.subscribe("book", "QUIET-USD")
            shown[name] = (await client.frame())["data"]
            await client.subscribe("book", DEMO)
            assert (await client.frame())["data"]["asks"] == busy.shown()[1]
    assert (shown["near"], shown["far"]["bids"]) == (None, [["5", "0.003"]])


async def test_an_order_on_the_journal_is_an_execution_and_a_book_on_the_stream(
    service: StartService, start_gateway: StartGateway, log: Log
) -> None:
    await service("matching")
    gateway, reader = await start_gateway(), BookReader()
    executed: list[Frame] = []
    async with gateway.client() as client:
        await client.subscribe("executions", DEMO)
        await client.frame()
        await follow_book(client, reader)

        async def reads_until(asks: list[list[str]], executions: int) -> None:
            """Until the book is known, with these asks and no bids, and so many executions have come."""
            async with asyncio.timeout(TIMEOUT_S):
                while not reader.known or reader.shown() != ([], asks) or len(executed) < executions:
                    frame = await client.frame()
                    if frame.get("channel") == "book":
                        reader.take(frame)
                    elif frame["type"] == "update":
                        executed.append(frame)

        await reads_until([], 0)
        await log.orders(
            DepositFunds("alice", "d1", "USD", Decimal(1_000)),
            DepositFunds("bob", "d1", "DEMO", Decimal(10)),
            PlaceOrder("bob", "b1", DEMO, Decimal(1), START_NS, side="sell", price=Decimal("100.05")),
        )
        await reads_until([["100.05", "1"]], 0)
        await log.orders(
            PlaceOrder("alice", "a1", DEMO, Decimal("0.4"), START_NS, price=Decimal("100.1"), time_in_force="IOC")
        )
        await reads_until([["100.05", "0.6"]], 1)
        assert await client.silence() == []
    (data,) = [frame["data"] for frame in executed]
    assert (data["price"], data["quantity"], data["taker_side"]) == ("100.05", "0.4", "buy")
    assert await gateway.metric(Metric.GATEWAY_BOOK_LOSSES) == 0
