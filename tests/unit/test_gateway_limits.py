"""Who may connect, and what of the log may be shown."""

import msgspec
import pytest

from services.adapters.http.origins import Origins
from services.contracts.errors import PeerError
from services.contracts.events import Indicators
from services.gateway.addresses import Addresses
from services.gateway.records import candle as read_candle
from services.gateway.records import indicators as read_indicators
from services.gateway.records import validated as read_validated
from tests.support.stream import BTC, START_NS, candle, validated

EDGE = "10.0.0.0/8,::1"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("1.2.3.4", None, "1.2.3.4"),
        ("1.2.3.4", "8.8.8.8", "1.2.3.4"),
        ("10.0.0.1", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", "6.6.6.6, 8.8.8.8, 10.0.0.2", "8.8.8.8"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("::1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("10.0.0.1", "nonsense", "unknown"),
        ("", None, "unknown"),
    ],
)
def test_only_the_edge_is_believed_about_who_the_client_is(peer: str, forwarded_for: str | None, client: str) -> None:
    assert Addresses(EDGE, 1).client(peer, forwarded_for) == client


def test_connections_are_counted_by_address() -> None:
    addresses = Addresses(EDGE, 2)
    assert [addresses.enter("a") for _ in range(3)] == [True, True, False]
    assert addresses.enter("b")
    addresses.leave("a")
    addresses.leave("a")
    assert addresses.enter("a")


@pytest.mark.parametrize(
    ("allowed", "origin", "allows"),
    [
        ("*", "https://anything.example", True),
        ("https://a.example, https://b.example/", "https://B.example", True),
        ("https://a.example", "https://evil.example", False),
        ("https://a.example", "http://a.example", False),
        ("", "https://a.example", False),
        ("", None, True),
        ("", "https://Tickplane.example:8080", True),
        ("", "https://tickplane.example", False),
        ("", "https://[", False),
    ],
)
def test_origins(allowed: str, origin: str | None, allows: bool) -> None:
    assert Origins(allowed).allow(origin, "tickplane.example:8080") is allows


KEY = b"coinbase:BTC-USD"
GOOD = Indicators(*BTC, "trade", START_NS, {"ema_12": 1.0}, 1)


def test_good_records_are_read() -> None:
    bar = candle(0, closed=True, count=1, sequence=1)
    assert read_candle(KEY, msgspec.json.encode(bar)) == bar
    assert read_indicators(KEY, msgspec.json.encode(GOOD)) == GOOD
    tick = validated("a")
    assert read_validated(b"AAPL", msgspec.json.encode(tick)) == tick


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume", "quote_volume"])
@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "1e99"])
def test_bars_that_cannot_be_shown_are_refused(name: str, amount: str) -> None:
    document = msgspec.to_builtins(candle(0, closed=True, count=1, sequence=1)) | {name: amount}
    with pytest.raises(PeerError):
        read_candle(KEY, msgspec.json.encode(document))


@pytest.mark.parametrize("change", [{"time": -1}, {"time": 10**30}, {"input_sequence": -1}, {"exchange": "kraken"}])
def test_indicators_that_cannot_be_shown_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(PeerError):
        read_indicators(KEY, msgspec.json.encode(msgspec.to_builtins(GOOD) | change))


@pytest.mark.parametrize(
    "change", [{"timestamp_ns": 1 << 64}, {"instrument_id": ""}, {"instrument_id": "MSFT"}, {"status": "MAYBE"}]
)
def test_verdicts_that_cannot_be_shown_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(PeerError):
        read_validated(b"AAPL", msgspec.json.encode(msgspec.to_builtins(validated("a")) | change))


@pytest.mark.parametrize("timestamp_ns", [-(1 << 63) + 1, -1, 0, (1 << 63) - 1])
def test_a_tick_of_any_time_is_shown(timestamp_ns: int) -> None:
    tick = msgspec.structs.replace(validated("a"), timestamp_ns=timestamp_ns)
    assert read_validated(b"AAPL", msgspec.json.encode(tick)) == tick
