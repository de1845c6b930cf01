"""Every venue keeps the contract, and the contract's check finds one that does not."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.adapters.venues.base import Action, Alive, Emit, Event, Trades, Venue
from services.adapters.venues.binance import Binance
from services.adapters.venues.check import Frame, check_venue, mutations
from services.adapters.venues.coinbase import Coinbase
from services.adapters.venues.coinbase_exchange import CoinbaseExchange
from services.adapters.venues.demo import Demo
from services.adapters.venues.kraken import Kraken
from services.cli.venue import app
from services.contracts.errors import PeerError
from tests.support import frames as documented
from tests.support.frames import NOW_NS

ROOT = Path(__file__).parents[2]

PRODUCTS = ("BTC-USD", "ETH-USD", "MATIC-USD", "BNB-BTC")

FRAMES: dict[type[Venue], list[Frame]] = {
    Coinbase: [
        documented.coinbase_subscriptions("ETH-USD"),
        documented.coinbase_trades(documented.coinbase_trade("5"), documented.coinbase_trade("4"), sequence=1),
        documented.coinbase_trades(documented.coinbase_trade("3"), kind="snapshot", sequence=2),
        documented.coinbase_heartbeat(3),
        '{"type":"error","message":"failure to subscribe"}',
    ],
    CoinbaseExchange: [
        documented.EXCHANGE_SUBSCRIPTIONS,
        documented.exchange_match("last_match"),
        documented.exchange_match(),
        documented.EXCHANGE_HEARTBEAT,
        documented.EXCHANGE_REFUSAL,
    ],
    Kraken: [
        documented.KRAKEN_STATUS,
        documented.KRAKEN_ANSWER,
        documented.KRAKEN_SNAPSHOT,
        documented.KRAKEN_UPDATE,
        documented.KRAKEN_HEARTBEAT,
        documented.KRAKEN_REFUSAL,
        documented.KRAKEN_PONG,
    ],
    Binance: [
        documented.BINANCE_ANSWER,
        documented.binance_combined(documented.binance_trade()),
        documented.text(documented.binance_trade(t=12346)),
        documented.binance_combined(documented.BINANCE_SHUTDOWN, "!serverShutdown"),
        documented.BINANCE_REFUSAL,
    ],
    Demo: [],
}

HISTORIES: dict[type[Venue], bytes] = {
    Coinbase: documented.EXCHANGE_HISTORY,
    CoinbaseExchange: documented.EXCHANGE_HISTORY,
    Kraken: documented.KRAKEN_HISTORY,
    Binance: documented.BINANCE_HISTORY,
}


class Broken(Venue):
    """Raises on what it does not understand, forgets the label, and numbers trades by what it saw before."""

    name = "broken"
    exchange = "broken"
    endpoint = "wss://127.0.0.1"
    silence_limit_s = 10.0
    ids_contiguous = True
    seen = 0

    def on_open(self, now_ns: int) -> list[Action]:
        return []

    def on_tick(self, now_ns: int) -> list[Action]:
        return []

    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        if frame[:1] not in ("{", b"{"):
            raise ValueError("what is this?")
        Broken.seen += 1
        made = Demo(("BTC-USD",)).history_local("BTC-USD", Broken.seen, Broken.seen, received_ns, "live")
        return [Trades(made), Alive()]


@pytest.mark.parametrize("venue", FRAMES, ids=lambda venue: venue.name)
def test_a_venue_keeps_the_contract(venue: type[Venue]) -> None:
    assert check_venue(venue, products=PRODUCTS, frames=FRAMES[venue]) == []


def test_a_broken_venue_is_found() -> None:
    rules = {finding.rule for finding in check_venue(Broken, products=PRODUCTS, frames=['{"trade":1}'])}
    assert rules >= {"open", "frame", "garbage", "trades", "repeats"}


def test_a_venue_that_declares_nothing_is_found() -> None:
    nameless = type("Nameless", (Demo,), {"name": "", "silence_limit_s": 0, "endpoint": "https://x"})
    assert {finding.rule for finding in check_venue(nameless)} == {"attributes"}


def test_frames_without_a_trade_are_found() -> None:
    findings = check_venue(Kraken, products=PRODUCTS, frames=[documented.KRAKEN_HEARTBEAT])
    assert [finding.message for finding in findings] == ["the frames given hold no trade"]


@pytest.mark.parametrize("venue", [venue for venue in FRAMES if FRAMES[venue]], ids=lambda venue: venue.name)
@given(data=st.data())
def test_any_damage_to_a_frame_is_an_event(venue: type[Venue], data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from(FRAMES[venue]))
    source = frame.encode() if isinstance(frame, str) else frame
    first = data.draw(st.integers(0, len(source)))
    last = data.draw(st.integers(first, len(source)))
    scrap = data.draw(st.binary(max_size=12) | st.sampled_from([b"null", b"1e999", b'"NaN"', b"[]", b"{}", b"-1"]))
    broken = source[:first] + scrap + source[last:]
    opened = venue(PRODUCTS)
    opened.on_open(NOW_NS)
    for variant in (broken, broken.decode(errors="surrogateescape")):
        events = opened.on_frame(variant, NOW_NS)
        assert events
        opened.on_tick(NOW_NS)


@pytest.mark.parametrize("venue", HISTORIES, ids=lambda venue: venue.name)
def test_any_damage_to_a_history_is_a_page_or_a_peer_error(venue: type[Venue]) -> None:
    opened = venue(PRODUCTS)
    request = opened.history_request("BTC-USD", 10, 20, before_time_ns=NOW_NS, after_time_ns=None)
    refused = 0
    for damaged in mutations(HISTORIES[venue], 500):
        body = damaged if isinstance(damaged, bytes) else damaged.encode()
        try:
            opened.on_history("BTC-USD", request, body, {"cb-after": "x"}, NOW_NS, first=10, last=20, origin="repair")
        except PeerError:
            refused += 1
    assert refused > 100


def test_every_venue_is_registered_under_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, target in project["entry-points"]["tickplane.venues"].items():
        module, _, class_name = target.partition(":")
        assert getattr(import_module(module), class_name).name == name


def test_the_command_checks_a_module(tmp_path: Path) -> None:
    lines = tmp_path / "frames.txt"
    lines.write_text("\n".join(str(frame).replace("\n", "") for frame in FRAMES[Kraken]))
    arguments = ["check", "services.adapters.venues.kraken", "--frames", str(lines), "--products", "MATIC-USD"]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, "Kraken keeps the contract" in result.output) == (0, True), result.output
    result = CliRunner().invoke(app, ["check", f"{__name__}:Broken"])
    assert (result.exit_code, "what is this?" in result.output) == (1, True), result.output
    assert CliRunner().invoke(app, ["check", "no.such.module"]).exit_code == 2
    assert CliRunner().invoke(app, ["check", __name__ + ":NotThere"]).exit_code == 2


def test_the_documented_example_is_a_venue() -> None:
    """The code block of docs/venues.md, run as a reader would."""
    _, _, rest = (ROOT / "docs" / "venues.md").read_text().partition("```python\n")
    code, _, after = rest.partition("```")
    assert code.count("\n") <= 100
    namespace: dict[str, object] = {}
    exec(compile(code, "docs/venues.md", "exec"), namespace)
    example = namespace["Example"]
    assert isinstance(example, type)
    assert issubclass(example, Venue)
    sample = after.partition("```json\n")[2].partition("```")[0].splitlines()
    assert check_venue(example, frames=sample) == []
    opened = example(("BTC-USD", "ETH-USD"))
    assert any(isinstance(event, Trades) for frame in sample for event in opened.on_frame(frame, NOW_NS))
    assert not any(isinstance(action, Emit) for action in opened.on_open(NOW_NS))
