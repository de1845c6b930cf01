"""Parse and normalise: our venues beside cryptofeed 3, on the same frames, in this process.

All of it is computing, so the thread's own CPU time is taken: what else runs on the machine does not count.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from services.adapters.venues.base import Trades, Venue
from services.adapters.venues.binance import Binance
from services.adapters.venues.coinbase import Coinbase
from services.adapters.venues.kraken import Kraken
from services.contracts.events import Trade
from services.domain.gaps import GapTracker
from services.domain.trades import check
from services.runtime.clock import NS_PER_S
from tests.bench import frames
from tests.bench.report import Figure, median

BENCH = "parse"
ROUNDS = 5
TRADES_MAX = 15_000
RECEIVED_NS = 1_723_200_000 * NS_PER_S
"""Half a day after the recorded trades."""
FUTURE_NS = 60 * NS_PER_S

Work = Callable[[Iterable[Trade]], None]


@dataclass(frozen=True)
class Case:
    """``theirs`` are the same frames; only an event's name is another where cryptofeed reads another stream."""

    venue: type[Venue]
    product: str
    ours: Sequence[str]
    theirs: Sequence[str]
    peer: str
    pairs: dict[str, str]


async def run(*, quick: bool) -> list[Figure]:
    folder = frames.recorded_folder()
    if folder is None:
        return [_skipped("no recorded frames: set TICKPLANE_RECORDED")]
    try:
        import cryptofeed  # noqa: F401
    except ImportError:
        return [_skipped("cryptofeed is not installed: `make bench` installs it")]
    rounds, trades_max = (1, 1_000) if quick else (ROUNDS, TRADES_MAX)
    cases = _cases(folder, trades_max)
    # cryptofeed's handlers are coroutines: they get an event loop of their own, with nothing else in it.
    return [figure for case in cases for figure in await asyncio.to_thread(_measure, case, rounds)]


def _cases(folder: Path, trades_max: int) -> list[Case]:
    rows = frames.recorded_trades(folder, trades_max)
    recorded = frames.binance(folder, trades_max)
    aggregated = [f.replace('"e":"trade"', '"e":"aggTrade"').replace('"t":', '"a":') for f in recorded]
    aggregated = [f.replace("@trade", "@aggTrade") for f in aggregated]
    coinbase, kraken = frames.advanced_trade(rows), frames.kraken(rows)
    return [
        Case(Binance, "BTC-USDT", recorded, aggregated, "Binance", {"BTC-USDT": "BTCUSDT"}),
        Case(Coinbase, "BTC-USD", coinbase, coinbase, "Coinbase", {"BTC-USD": "BTC-USD"}),
        Case(Kraken, "BTC-USD", kraken, kraken, "Kraken", {"BTC-USD": "BTC/USD"}),
    ]


def _measure(case: Case, rounds: int) -> list[Figure]:
    peer, bare, checked, whole = [], [], [], []
    # In turn, so that a neighbour on this machine disturbs each of them alike.
    for _ in range(rounds):
        peer.append(_peer_s(case))
        bare.append(_ours_s(case, None))
        checked.append(_ours_s(case, _id_check_and_encode()))
        whole.append(_ours_s(case, _all_checks_and_encode()))
    theirs_us = median(peer) * 1e6
    name = case.venue.name

    def ratio(what: str, seconds: list[float], target: float | None) -> Figure:
        ours_us = median(seconds) * 1e6
        note = f"{ours_us:.2f} against {theirs_us:.2f} µs of CPU a trade; median of {rounds}"
        return Figure(BENCH, f"{name}: {what}", "× cryptofeed 3", theirs_us / ours_us, target, note=note)

    return [
        ratio("parse + normalise", bare, 1.5),
        ratio("with id check and encode", checked, 1.2),
        ratio("with every check of the feed", whole, None),
    ]


def _id_check_and_encode() -> Work:
    tracker = GapTracker()
    encode = msgspec.json.Encoder().encode

    def work(trades: Iterable[Trade]) -> None:
        for trade in trades:
            number = trade.trade_number
            assert number is not None
            if tracker.is_new(number):
                encode(trade)
                tracker.published(number, trade.time, RECEIVED_NS)

    return work


def _all_checks_and_encode() -> Work:
    id_check_and_encode = _id_check_and_encode()

    def work(trades: Iterable[Trade]) -> None:
        for trade in trades:
            check(trade, future_ns=FUTURE_NS)
        id_check_and_encode(trades)

    return work


def _ours_s(case: Case, work: Work | None) -> float:
    """CPU seconds a trade."""
    venue = case.venue([case.product])
    venue.on_open(0)
    count = 0
    gc.collect()
    began = time.thread_time()
    for frame in case.ours:
        for event in venue.on_frame(frame, RECEIVED_NS):
            if type(event) is Trades:
                count += len(event.trades)
                if work is not None:
                    work(event.trades)
    return (time.thread_time() - began) / count


def _peer_s(case: Case) -> float:
    """CPU seconds a trade, from its handler's call to its callback's end."""
    from cryptofeed import exchanges
    from cryptofeed.defines import TRADES
    from cryptofeed.symbols import Symbols

    count = 0

    async def on_trade(_trade: object, _received: float) -> None:
        nonlocal count
        count += 1

    class Connection:
        uuid = "bench"

    async def feed_all(exchange: Any) -> float:
        began = time.thread_time()
        for frame in case.theirs:
            await exchange.message_handler(frame, Connection, RECEIVED_NS / NS_PER_S)
        return time.thread_time() - began

    peer = getattr(exchanges, case.peer)
    Symbols.set(peer.id, dict(case.pairs), {"instrument_type": dict.fromkeys(case.pairs, "spot")})
    exchange = peer(symbols=[case.product], channels=[TRADES], callbacks={TRADES: on_trade})
    gc.collect()
    taken_s = asyncio.run(feed_all(exchange))
    return taken_s / count


def _skipped(reason: str) -> Figure:
    return Figure(BENCH, "parse + normalise", "× cryptofeed 3", target=1.5, skipped=reason)
