"""The ``api`` as a process, on a real Postgres, Valkey and Kafka, with rows made by SQL."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import msgspec
import pytest
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.adapters.kafka import Producer
from services.adapters.redis import indicator_key, price_key
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.domain.candles import NS_PER_MINUTE
from services.runtime.clock import SystemClock, rfc3339
from services.runtime.health import Health
from services.runtime.settings import KafkaSettings
from tests.conftest import StartService
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

MINUTE_0 = 1_767_225_600_000_000_000
NS_PER_DAY = 86_400_000_000_000
UNLIMITED = 10_000_000
CANDLE_FIELDS = [
    "exchange", "product_id", "timestamp", "open", "high", "low", "close", "volume", "quote_volume", "vwap",
    "trade_count", "first_trade_id", "last_trade_id", "closed", "complete", "revision",
]  # fmt: skip


def bar(minute: int, *, exchange: str = "coinbase", closed: bool = True) -> tuple[Any, ...]:
    prices = (Decimal("100.50"), Decimal(102), Decimal(99), Decimal("101.00"))
    sums = (Decimal(3), Decimal(301), 4, f"{minute}-1", f"{minute}-4")
    start = MINUTE_0 + minute * NS_PER_MINUTE
    return (
        exchange, "BTC-USD", "1m", start, *prices, *sums, closed, closed, int(closed), minute, start, 1, start, 4, 1, 4
    )  # fmt: skip


def trade(number: int) -> tuple[Any, ...]:
    """Two trades share each time: the cursor has to look at the id too."""
    time = MINUTE_0 + (number // 2) * 1_000
    return (
        "coinbase",
        "BTC-USD",
        f"t{number:04}",
        number,
        Decimal("100.50"),
        Decimal(1),
        "BUY",
        time,
        time,
        "live",
        "v",
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def filled(database: asyncpg.Connection) -> None:
    """Bars of two exchanges, 25 trades, a product, gaps and a position."""
    await database.copy_records_to_table(
        "candles", records=[*(bar(minute, closed=minute < 9) for minute in range(10)), bar(3, exchange="kraken")]
    )
    await database.execute("SELECT make_trades_partition($1)", MINUTE_0 // NS_PER_DAY)
    await database.copy_records_to_table("trades", records=[trade(number) for number in range(25)])
    await database.execute(
        "INSERT INTO feed_products VALUES ('coinbase', 'BTC-USD', 'coinbase', 24, $1, $1, 1, $1)", MINUTE_0
    )
    await database.executemany(
        "INSERT INTO gaps VALUES ('coinbase', 'BTC-USD', $1, $1, 1, $2, 'why', $3, $4)",
        [(100, "open", MINUTE_0, None), (200, "void", MINUTE_0 + 1, MINUTE_0 + 2)],
    )
    await database.execute("INSERT INTO positions VALUES ('raw_consumer', 'market_trades', 0, 1, 3, 'log')")


class Api:
    """One replica and a client of it."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.port = port
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def json(self, path: str) -> Any:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


StartApi = Callable[..., Any]


@pytest.fixture
async def start_api(service: StartService, free_port: Callable[[], int]) -> AsyncIterator[StartApi]:
    started: list[Api] = []

    async def start(**env: object) -> Api:
        port = free_port()
        usual: dict[str, Any] = {"RATE_LIMIT_PER_MINUTE": UNLIMITED, "TICKPLANE_DEPENDENCY_CHECK_INTERVAL_S": 0.3}
        process = await service("api", **(usual | env), TICKPLANE_API_PORT=port)
        api = Api(process, port)
        started.append(api)
        await process.wait_ready()
        return api

    yield start
    for api in started:
        await api.client.aclose()


@pytest.fixture
async def api(start_api: StartApi, filled: None) -> Api:
    one: Api = await start_api()
    return one


async def test_candles_are_newest_first_with_the_open_bar(api: Api) -> None:
    candles = await api.json("/candles/BTC-USD/1m?limit=3")
    assert [candle["timestamp"] for candle in candles] == [
        "2026-01-01T00:09:00Z", "2026-01-01T00:08:00Z", "2026-01-01T00:07:00Z"
    ]  # fmt: skip
    assert [candle["closed"] for candle in candles] == [False, True, True]
    assert list(candles[1]) == CANDLE_FIELDS
    assert candles[1] == {
        "exchange": "coinbase", "product_id": "BTC-USD", "timestamp": "2026-01-01T00:08:00Z", "open": "100.5",
        "high": "102", "low": "99", "close": "101", "volume": "3", "quote_volume": "301", "vwap": "100.333333333333",
        "trade_count": 4, "first_trade_id": "8-1", "last_trade_id": "8-4", "closed": True, "complete": True,
        "revision": 1,
    }  # fmt: skip
    assert await api.json("/v1/candles/BTC-USD/1m?limit=3") == candles


async def test_a_range_has_its_start_and_not_its_end(api: Api) -> None:
    path = "/candles/BTC-USD/1m?start=2026-01-01T00:02:00Z&end=2026-01-01T02:05:00%2B02:00"
    assert [candle["timestamp"][14:16] for candle in await api.json(path)] == ["04", "03", "02"]
    assert len(await api.json("/candles/BTC-USD/1m?exchange=kraken")) == 1
    assert len(await api.json("/candles/BTC-USD/1m")) == 10


ASKED: list[tuple[str, int]] = [
    ("/candles/BTC-USD/2m", 400),
    ("/candles/BTC-USD/1M", 400),
    ("/candles/BTC-USD/%00", 400),
    ("/candles/BTC-USD/1m?limit=0", 422),
    ("/candles/BTC-USD/1m?limit=-1", 422),
    ("/candles/BTC-USD/1m?limit=1001", 422),
    ("/candles/BTC-USD/1m?limit=abc", 422),
    (f"/candles/BTC-USD/1m?limit={'9' * 5_000}", 422),
    ("/candles/BTC-USD/1m?limit=1", 200),
    ("/candles/BTC-USD/1m?limit=1000", 200),
    ("/candles/BTC-USD/1m?start=yesterday", 422),
    ("/candles/BTC-USD/1m?start=2026-01-01T00:00:00", 422),
    ("/candles/NONE-USD/1m", 200),
    (f"/candles/{'X' * 10_000}/1m", 200),
    ("/candles/BTC-USD/1m?exchange=%00", 200),
    ("/candles/%F0%9F%92%A9/1m", 200),
    ("/candles/%FF%FE/1m", 200),
    ("/candles/*/1m", 200),
    ("/v1/trades", 422),
    ("/v1/trades?product_id=X&cursor=nonsense", 422),
    ("/v1/trades?product_id=X&format=xml", 422),
    ("/v1/gaps?status=closed", 422),
    ("/nothing", 404),
    ("/metrics", 404),
]


async def test_what_is_asked_wrongly_is_told_so(api: Api) -> None:
    for path, status in ASKED:
        answer = await api.get(path)
        assert answer.status_code == status, path[:100]
        assert answer.headers["content-type"] == "application/json"
        assert status == 200 or answer.json()["detail"], path[:100]


async def test_trades_page_through_equal_times_without_a_hole_or_a_repeat(api: Api) -> None:
    path = "/v1/trades?product_id=BTC-USD&limit=4"
    seen: list[str] = []
    page = await api.json(path)
    while True:
        seen += [trade["trade_id"] for trade in page["trades"]]
        if page["next_cursor"] is None:
            break
        page = await api.json(f"{path}&cursor={quote(page['next_cursor'])}")
    assert seen == [f"t{number:04}" for number in reversed(range(25))]


async def test_a_range_streams_as_ndjson_and_csv(start_api: StartApi, filled: None) -> None:
    api = await start_api(TICKPLANE_STREAM_PAGE_ROWS=4)
    path = f"/v1/trades?product_id=BTC-USD&start={rfc3339(MINUTE_0 + 2_000)}&end={rfc3339(MINUTE_0 + 10_000)}"
    expected = (await api.json(f"{path}&limit=1000"))["trades"]
    assert [trade["trade_number"] for trade in expected] == list(range(19, 3, -1))
    ndjson = await api.get(f"{path}&format=ndjson")
    assert ndjson.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in ndjson.text.splitlines()] == expected
    rows = list(csv.DictReader(io.StringIO((await api.get(f"{path}&format=csv")).text)))
    assert rows == [{name: str(value) for name, value in trade.items()} for trade in expected]


async def test_the_ticker_is_redis_and_postgres_where_redis_has_none(api: Api, redis_url: str) -> None:
    (missed,) = await api.json("/v1/ticker?product_id=BTC-USD")
    assert (missed["price"], missed["time"]) == ("100.5", rfc3339(MINUTE_0 + 12_000))
    newest: dict[Any, Any] = {"price": "7", "size": "1", "side": "SELL", "time": str(MINUTE_0), "trade_id": "9"}
    async with redis.Redis.from_url(redis_url) as cache:
        await cache.hset(price_key("coinbase", "BTC-USD"), mapping=newest)
        await cache.hset(
            indicator_key("coinbase", "BTC-USD"), mapping={"ema_12": "1.5", "sma_20@1m": "2", "time": str(MINUTE_0)}
        )
    (found,) = await api.json("/v1/ticker")
    assert (found["price"], found["side"]) == ("7", "SELL")
    assert await api.json("/v1/indicators?product_id=BTC-USD") == [
        {"exchange": "coinbase", "product_id": "BTC-USD", "time": "2026-01-01T00:00:00Z",
         "values": {"ema_12": 1.5, "sma_20@1m": 2.0}}
    ]  # fmt: skip
    assert await api.json("/v1/ticker?product_id=NONE") == []


async def test_gaps_and_status_say_what_is_missing(api: Api, bootstrap_servers: str) -> None:
    gaps = await api.json("/v1/gaps")
    assert [(gap["first"], gap["status"], gap["closed_time"] is None) for gap in gaps] == [
        (200, "void", False), (100, "open", True)
    ]  # fmt: skip
    assert [gap["first"] for gap in await api.json("/v1/gaps?status=open")] == [100]
    producer = Producer(KafkaSettings.load(kafka_bootstrap_servers=bootstrap_servers), Health("test", SystemClock()))
    await producer.start()
    sends = [await producer.send(Topic.MARKET_TRADES, b"k", b"{}", partition=0) for _ in range(5)]
    await producer.acknowledged(sends)
    await producer.stop()

    async def lag() -> Any:
        status = await api.json("/v1/status")
        return status["lag"][0]["lag"] == 2 and status

    status = await eventually(lag)
    assert status["lag"][0]["consumer_group"] == "raw_consumer"
    assert status["gaps"] == [{"status": "open", "gaps": 1, "missing": 1}, {"status": "void", "gaps": 1, "missing": 1}]
    assert status["feeds"][0]["contiguous_number"] == 24
    assert set(status["dependencies"]) == {"kafka", "postgres", "redis"}


async def test_the_examples_of_markets_answer(api: Api) -> None:
    markets = await api.json("/markets")
    assert markets["exchanges"] == ["coinbase"]
    assert markets["products"][0]["product_id"] == "BTC-USD"
    assert markets["resolutions"] == ["1m", "5m", "15m", "1h", "4h", "1d"]
    for name in ("candles", "trades", "ticker"):
        document = await api.json(markets["examples"][name])
        assert document not in ([], {"trades": [], "next_cursor": None})
    assert markets["examples"]["crypto"] == f"ws://127.0.0.1:{api.port}/crypto/BTC-USD?exchange=coinbase"


async def test_a_request_id_goes_in_out_and_into_the_log(api: Api) -> None:
    answer = await api.get("/markets", **{"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    await eventually(lambda: '"request_id": "mine-1"' in api.service.log.read_text())
    made = (await api.get("/markets")).headers["x-request-id"]
    assert made != (await api.get("/markets")).headers["x-request-id"]


async def test_metrics_name_routes_and_not_what_was_asked(api: Api) -> None:
    for product in ("A", "B", "C"):
        await api.get(f"/candles/{product}/1m")
        await api.get(f"/nothing/{product}")
    metrics = (await api.client.get(f"{api.service.ops_url}/metrics")).text
    name = Metric.HTTP_REQUESTS.value.name
    route = "/candles/{product}/{resolution}"
    assert f'{name}{{method="GET",route="{route}",service="api",status="200"}} 3.0' in metrics
    assert f'{name}{{method="GET",route="unmatched",service="api",status="404"}} 3.0' in metrics
    assert 'route="/nothing' not in metrics


async def test_cors_is_a_setting(start_api: StartApi) -> None:
    page = {"Origin": "https://page.example"}
    closed, opened = await start_api(), await start_api(TICKPLANE_CORS_ORIGINS="https://page.example")
    assert "access-control-allow-origin" not in (await closed.get("/health", **page)).headers
    assert (await opened.get("/health", **page)).headers["access-control-allow-origin"] == page["Origin"]


async def test_two_replicas_share_a_clients_requests(start_api: StartApi) -> None:
    first, second = await start_api(RATE_LIMIT_PER_MINUTE=10), await start_api(RATE_LIMIT_PER_MINUTE=10)
    statuses = [(await api.get("/markets")).status_code for _ in range(6) for api in (first, second)]
    assert statuses == [200] * 10 + [429] * 2
    refused = await first.get("/markets")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "too many" in refused.json()["detail"]
    assert {(await second.get(path)).status_code for path in ("/health", "/ready") for _ in range(20)} == {200}


async def test_without_redis_each_replica_limits_alone_and_counts_it(start_api: StartApi, parts: Parts) -> None:
    first, second = await start_api(RATE_LIMIT_PER_MINUTE=5), await start_api(RATE_LIMIT_PER_MINUTE=5)
    await parts.valkey.stop()
    for api in (first, second):
        statuses = [(await api.get("/markets")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        counted = (await api.client.get(f"{api.service.ops_url}/metrics")).text
        assert f'{Metric.RATE_LIMIT_LOCAL.value.name}{{service="api"}} 7.0' in counted
        assert (await api.get("/ready")).status_code == 503
        assert (await api.get("/ready?scope=self")).status_code == 200
    await parts.valkey.start()

    async def shared_again() -> bool:
        return [(await first.get(path)).status_code for path in ("/ready", "/markets")] == [200, 200]

    await eventually(shared_again)


@pytest.mark.parametrize(("trusted", "statuses"), [("", {200, 429}), ("127.0.0.0/8", {200})])
async def test_a_forwarded_address_is_believed_from_the_edge_only(
    start_api: StartApi, trusted: str, statuses: set[int]
) -> None:
    api = await start_api(RATE_LIMIT_PER_MINUTE=2, TICKPLANE_TRUSTED_PROXIES=trusted)
    answers = [await api.get("/markets", **{"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(6)]
    assert {answer.status_code for answer in answers} == statuses


async def test_what_a_client_put_before_the_edges_own_word_is_not_believed(start_api: StartApi) -> None:
    api = await start_api(RATE_LIMIT_PER_MINUTE=2, TICKPLANE_TRUSTED_PROXIES="127.0.0.1")
    answers = [
        await api.get("/markets", **{"X-Forwarded-For": f"192.0.2.{number}, 2001:db8::{number}"})
        for number in range(1, 5)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]


async def test_postgres_away_is_a_503_that_heals(start_api: StartApi, filled: None, parts: Parts) -> None:
    api = await start_api()
    parts.postgres.kill()
    await parts.postgres.process.wait()
    answers = [await api.get("/candles/BTC-USD/1m"), await api.get("/v1/trades?product_id=BTC-USD&format=csv")]
    for answer in answers:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "postgres" in answer.json()["detail"]
    ready = await api.get("/ready")
    assert ready.status_code == 503
    assert not ready.json()["dependencies"]["postgres"]["up"]
    await parts.postgres.start()

    async def answers_again() -> bool:
        return bool((await api.get("/candles/BTC-USD/1m")).status_code == 200)

    await eventually(answers_again)


async def test_kafka_away_is_said_and_hurts_no_reader(start_api: StartApi, filled: None, parts: Parts) -> None:
    api = await start_api()
    await parts.kafka.stop()

    async def known() -> bool:
        return not (await api.get("/ready")).json()["dependencies"]["kafka"]["up"]

    await eventually(known)
    assert (await api.json("/v1/status"))["lag"][0]["lag"] is None
    assert len(await api.json("/candles/BTC-USD/1m")) == 10


async def test_the_probe_measures_what_the_stores_and_the_log_say(
    start_api: StartApi, database: asyncpg.Connection, bootstrap_servers: str
) -> None:
    limited, unlimited = await start_api(TICKPLANE_POSTGRES_SIZE_LIMIT_GB=1.5), await start_api()
    size = await database.fetchval("SELECT pg_database_size(current_database())")
    connections_max = await database.fetchval("SELECT current_setting('max_connections')::int")
    metrics = await limited.service.metrics()
    assert metrics.by("probe_up", "dependency") == {"postgres": 1, "redis": 1, "kafka": 1}
    assert all(0 < took_s < 5 for took_s in metrics.by("probe_duration_seconds", "dependency").values())
    assert metrics.total("postgres_database_size_bytes") == pytest.approx(size, rel=0.1)
    assert metrics.total("postgres_database_size_limit_bytes") == 1.5e9
    assert 3 <= metrics.total("postgres_connections") < metrics.total("postgres_connections_max") == connections_max
    assert 0 < metrics.total("redis_memory_used_bytes") < metrics.total("redis_memory_max_bytes") == 256 << 20
    assert metrics.by("kafka_topic_healthy", "topic") == dict.fromkeys(Topic, 1)
    assert "postgres_database_size_limit_bytes" not in (await unlimited.service.metrics()).names()

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.delete_topics([Topic.BOOK])
    await admin.close()

    async def seen() -> bool:
        healthy = (await limited.service.metrics()).by("kafka_topic_healthy", "topic")
        assert healthy == dict.fromkeys(Topic, 1) | {Topic.BOOK: 0}
        return True

    await eventually(seen)


PROBED = {
    "postgres": {"postgres_database_size_bytes", "postgres_connections", "postgres_connections_max"},
    "redis": {"redis_memory_used_bytes", "redis_memory_max_bytes"},
    "kafka": {"kafka_topic_healthy"},
}


async def test_the_probe_says_nothing_of_what_is_away(start_api: StartApi, parts: Parts) -> None:
    api = await start_api()
    everything = set[str]().union(*PROBED.values())

    def says(up: dict[str, float]) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            metrics = await api.service.metrics()
            assert metrics.by("probe_up", "dependency") == up
            away = set[str]().union(*(PROBED[dependency] for dependency in up if not up[dependency]))
            assert metrics.names() & everything == everything - away
            return True

        return check

    up = dict.fromkeys(PROBED, 1.0)
    await eventually(says(up))
    for dependency, part in {"postgres": parts.postgres, "redis": parts.valkey, "kafka": parts.kafka}.items():
        await part.stop()
        await eventually(says(up | {dependency: 0}))
        await part.start()
        await eventually(says(up), timeout_s=60)


async def test_sigterm_lets_a_request_end_and_exits_0(api: Api) -> None:
    requests = [asyncio.create_task(api.get("/candles/BTC-USD/1m")) for _ in range(20)]
    await asyncio.gather(*requests)
    assert await api.service.terminate() == 0


ODD_TEXT = st.one_of(
    st.text(max_size=50),
    st.sampled_from(["BTC-USD", "coinbase", "1m", "\0", "X" * 10_000, "*", "../..", "%", "'; --", "\u202e\U0001f4a9"]),
    st.integers(-(10**40), 10**40).map(str),
    st.sampled_from(["1", "1000", "json", "csv", "open", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "NaN"]),
    st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "replace")),
)


async def test_no_parameter_of_any_path_breaks_it(api: Api) -> None:
    operations = (await api.json("/openapi.json"))["paths"].items()
    client = httpx.Client(base_url=str(api.client.base_url))

    @settings(max_examples=400, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        path, methods = data.draw(st.sampled_from(sorted(operations)))
        query: list[tuple[str, Any]] = []
        for parameter in methods["get"].get("parameters", ()):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(data.draw(ODD_TEXT), safe=""))
            elif data.draw(st.booleans()):
                query.append((parameter["name"], data.draw(ODD_TEXT)))
        answer = client.get(path, params=query)
        assert answer.status_code < 500, (path, query, answer.text)
        if answer.headers["content-type"] == "application/json":
            msgspec.json.decode(answer.content)

    with client:
        await asyncio.to_thread(fuzz)
