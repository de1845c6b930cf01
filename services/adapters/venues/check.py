"""The contract that every venue keeps, ours and third parties', as one function: ``tickplane venue check`` runs it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import get_args
from urllib.parse import urlsplit

from services.adapters.venues.base import Action, Emit, Event, HistoryRequest, Send, Trades, Venue
from services.contracts.errors import PeerError
from services.contracts.events import Trade
from services.domain import trades
from services.runtime.clock import NS_PER_MS, NS_PER_S

Frame = str | bytes

NOW_NS = 1_800_000_000 * NS_PER_S
FUTURE_NS = 60 * NS_PER_S
TICKS = 600
TICK_NS = 100 * NS_PER_MS
MUTATIONS_PER_FRAME = 200
FINDINGS_PER_RULE_MAX = 5

GARBAGE: tuple[Frame, ...] = (
    "",
    b"",
    "null",
    "5",
    '"text"',
    "[]",
    "[1]",
    "{}",
    "NaN",
    '{"a":',
    "[" * 10_000,
    '{"data":[{}]}',
    '{"type":5,"channel":{},"events":"x","e":[],"method":null}',
    b"\xff\xfe\x00",
    '{"a":"\ud800"}',
    "x" * 100_000,
)
"""What no exchange sends and what sockets bring all the same."""


@dataclass(frozen=True)
class Finding:
    """One rule that a venue breaks."""

    rule: str
    message: str


@dataclass
class _Check:
    venue_class: type[Venue]
    products: tuple[str, ...]
    frames: tuple[Frame, ...]
    findings: list[Finding] = field(default_factory=list)

    def require(self, holds: bool, rule: str, message: str) -> None:
        """Note a broken rule, with a few of its messages."""
        if holds:
            return
        finding = Finding(rule, message)
        noted = [known for known in self.findings if known.rule == rule]
        if finding not in noted and len(noted) < FINDINGS_PER_RULE_MAX:
            self.findings.append(finding)

    def opened(self, exchange: str | None = None) -> Venue:
        venue = self.venue_class(self.products, exchange=exchange)
        venue.on_open(NOW_NS)
        return venue

    def read(self, venue: Venue, frame: Frame) -> list[Event]:
        """What the venue makes of a frame. It must never raise."""
        try:
            events = venue.on_frame(frame, NOW_NS)
        except Exception as error:
            self.require(False, "frame", f"on_frame({frame[:80]!r}) raised {type(error).__name__}: {error!s:.200}")
            return []
        known = isinstance(events, list) and all(isinstance(event, get_args(Event)) for event in events)
        self.require(known, "frame", f"on_frame({frame[:80]!r}) returned something else than a list of events")
        return events if known else []


def check_venue(
    venue_class: type[Venue], *, products: Sequence[str] = ("BTC-USD", "ETH-USD"), frames: Sequence[Frame] = ()
) -> list[Finding]:
    """Everything that the venue does wrong; empty is good.

    ``frames`` are some that the exchange sends for these products, trades among them. Without them the venue is only
    shown garbage.
    """
    check = _Check(venue_class, tuple(products), tuple(frames))
    _attributes(check)
    if check.findings:
        return check.findings
    for rule in (_opens, _ticks, _survives_garbage, _survives_mutations, _trades_are_good, _repeats, _history):
        try:
            rule(check)
        except Exception as error:
            check.require(False, rule.__name__.strip("_"), f"raised {type(error).__name__}: {error!s:.200}")
    return check.findings


def _attributes(check: _Check) -> None:
    venue = check.venue_class
    for name in ("name", "exchange"):
        text = getattr(venue, name, None)
        check.require(isinstance(text, str) and trades.is_label(text), "attributes", f"{name} is {text!r}")
    endpoint = getattr(venue, "endpoint", "")
    is_url = isinstance(endpoint, str) and urlsplit(endpoint).scheme in ("ws", "wss")
    check.require(endpoint is None or is_url, "attributes", f"endpoint is {endpoint!r}: a ws or wss URL, or None")
    silence = getattr(venue, "silence_limit_s", 0)
    check.require(isinstance(silence, int | float) and silence > 0, "attributes", f"silence_limit_s is {silence!r}")
    contiguous = getattr(venue, "ids_contiguous", None)
    check.require(isinstance(contiguous, bool), "attributes", f"ids_contiguous is {contiguous!r}")
    budget = venue.history_budget
    check.require(budget.requests > 0 and budget.per_s > 0, "attributes", f"history_budget is {budget!r}")


def _opens(check: _Check) -> None:
    venue = check.venue_class(check.products)
    actions = [*venue.on_open(NOW_NS), *venue.on_tick(NOW_NS + TICK_NS)]
    wanted = Emit if venue.endpoint is None else Send
    message = f"neither on_open nor the first on_tick returned a {wanted.__name__}"
    check.require(any(isinstance(action, wanted) for action in actions), "open", message)


def _ticks(check: _Check) -> None:
    venue = check.opened()
    for tick in range(TICKS):
        actions = venue.on_tick(NOW_NS + tick * TICK_NS)
        known = isinstance(actions, list) and all(isinstance(action, get_args(Action)) for action in actions)
        check.require(known, "ticks", "on_tick returned something else than a list of actions")


def _survives_garbage(check: _Check) -> None:
    venue = check.opened()
    for frame in GARBAGE:
        for event in check.read(venue, frame):
            check.require(not isinstance(event, Trades), "garbage", f"on_frame({frame[:80]!r}) made trades")


def _survives_mutations(check: _Check) -> None:
    venue = check.opened()
    for frame in check.frames:
        for mutated in mutations(frame, MUTATIONS_PER_FRAME):
            check.read(venue, mutated)


def _trades_are_good(check: _Check) -> None:
    """Each names what it is, and a label given at the start is the one in the data."""
    venue = check.opened(exchange="another")
    seen = 0
    for event in _events(check, venue):
        numbers: dict[str, int] = {}
        for trade in event.trades if isinstance(event, Trades) else ():
            seen += 1
            _trade_is_good(check, trade, numbers)
    check.require(seen > 0 or not check.frames, "trades", "the frames given hold no trade")


def _trade_is_good(check: _Check, trade: Trade, numbers: dict[str, int]) -> None:
    try:
        trades.check(trade, future_ns=FUTURE_NS)
    except PeerError as error:
        check.require(False, "trades", f"{error.error_type}: {error}")
    names = (trade.exchange, trade.venue)
    check.require(names == ("another", check.venue_class.name), "trades", f"exchange and venue are {names}")
    check.require(trade.product_id in check.products, "trades", f"{trade.product_id!r} was not asked for")
    check.require(trade.trade_id != "", "trades", "a trade has no id")
    if trade.trade_number is not None:
        below = numbers.get(trade.product_id, -1)
        check.require(trade.trade_number > below, "order", "trades of one frame are not in the order of their numbers")
        numbers[trade.product_id] = trade.trade_number
    check.require(
        trade.trade_number is not None or not check.venue_class.ids_contiguous,
        "order",
        "ids_contiguous, and a trade has no number",
    )


def _repeats(check: _Check) -> None:
    """The same frames give the same trades again, and another connection's frames change nothing."""
    alone = _trades_of(check, check.opened())
    venue, other = check.opened(), check.opened()
    for frame in GARBAGE:
        check.read(other, frame)
    check.require(_trades_of(check, venue) == alone, "repeats", "one connection's frames change another's trades")
    if check.venue_class.endpoint is not None:
        check.require(_trades_of(check, venue) == alone, "repeats", "repeated frames do not give the same trades")


def _history(check: _Check) -> None:
    venue = check.opened()
    product = check.products[0]
    if venue.endpoint is None and venue.history_endpoint is None and venue.ids_contiguous:
        numbers = [trade.trade_number for trade in venue.history_local(product, 10, 12, NOW_NS, "repair")]
        check.require(numbers == [10, 11, 12], "history", f"history_local of 10 to 12 gave {numbers}")
    if venue.history_endpoint is None:
        return
    request = venue.history_request(product, 10, 12, before_time_ns=NOW_NS - NS_PER_S, after_time_ns=NOW_NS)
    check.require(isinstance(request, HistoryRequest), "history", f"history_request returned {request!r}")
    for garbage in GARBAGE:
        if isinstance(garbage, bytes):
            _history_is_refused(check, venue, request, garbage)


def _history_is_refused(check: _Check, venue: Venue, request: HistoryRequest, body: bytes) -> None:
    try:
        venue.on_history(check.products[0], request, body, {}, NOW_NS, first=10, last=12, origin="repair")
    except PeerError:
        return
    except Exception as error:
        check.require(False, "history", f"on_history({body[:80]!r}) raised {type(error).__name__}, not PeerError")
        return
    check.require(False, "history", f"on_history({body[:80]!r}) did not raise PeerError")


def _events(check: _Check, venue: Venue) -> Iterator[Event]:
    for frame in check.frames:
        yield from check.read(venue, frame)
    for action in venue.on_tick(NOW_NS + NS_PER_S):
        if isinstance(action, Emit):
            yield from action.events


def _trades_of(check: _Check, venue: Venue) -> list[Trade]:
    return [trade for event in _events(check, venue) if isinstance(event, Trades) for trade in event.trades]


def mutations(frame: Frame, count: int) -> Iterator[Frame]:
    """The frame broken in ``count`` ways, the same at every run."""
    source = frame.encode() if isinstance(frame, str) else frame
    choose = random.Random(len(source))
    for _ in range(count):
        first, last = sorted(choose.randrange(len(source) + 1) for _ in range(2))
        scrap = choose.choice(
            (b"", b"null", b"-1", b'"', b"1e999", b"[]", b"\xff", source[first:last], b"{}", b'"NaN"')
        )
        end = choose.choice((first, first + 1, last))
        broken = source[:first] + scrap + source[end:]
        yield broken if choose.random() < 0.5 else broken.decode(errors="replace")
