"""Trades for tests: deterministic, in the order a log holds them, with everything that goes wrong with trades."""

import random
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from services.contracts.events import Origin, Side, Trade

NS_PER_S = 1_000_000_000
START_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01T00:00:00Z, a whole day."""
LATE_S = (1, 600, 172_800)
"""How old a late trade is: within its minute mostly, some bars back, and before everything else."""


@dataclass(frozen=True)
class Mix:
    """Of what the trades are made; shares are of 1."""

    products: int = 20
    span_s: float = 12_000
    """Event time from the first trade to the last: 200 minutes."""
    missing: float = 0.001
    """Ids that never come."""
    repeated: float = 0.01
    """Trades that come again, a little or much later."""
    delayed: float = 0.01
    """Trades that come after others with higher ids: reordered, or repaired."""
    delay_trades: int = 500
    late: float = 0.005
    """Trades whose time is one of ``LATE_S`` before that of their neighbours."""
    same_time: float = 0.05
    """Trades with exactly the time of the one before."""
    exchange: str = "test"


DEFAULT_MIX = Mix()


def generate(count: int, mix: Mix = DEFAULT_MIX, *, seed: int = 0, start_ns: int = START_NS) -> list[Trade]:
    """Some ``count`` trades in log order, repeats among them. Ids start at 1 and are contiguous but for the missing."""
    chance = random.Random(seed)
    made = _in_order(count, mix, chance, start_ns)
    placed = [(position, trade) for position, trade in enumerate(made) if chance.random() >= mix.missing]
    log = []
    for position, trade in placed:
        delay = chance.uniform(1, mix.delay_trades) if chance.random() < mix.delayed else 0.0
        log.append((position + delay, trade))
        if chance.random() < mix.repeated:
            again = msgspec.structs.replace(trade, origin=_repeat_origin(chance))
            log.append((position + delay + chance.uniform(0.5, 3 * mix.delay_trades), again))
    log.sort(key=lambda item: item[0])
    return [trade for _, trade in log]


def _in_order(count: int, mix: Mix, chance: random.Random, start_ns: int) -> list[Trade]:
    """By event time but for the late ones. Products differ in how often they trade: the last ones have silences."""
    products = [f"P{index}-USD" for index in range(mix.products)]
    chosen = chance.choices(products, weights=[1 / (index + 1) for index in range(mix.products)], k=count)
    cents = {product: 10_000 + 997 * index for index, product in enumerate(products)}
    numbers = dict.fromkeys(products, 0)
    step_ns = mix.span_s * NS_PER_S / count
    time = start_ns
    trades = []
    for index, product in enumerate(chosen):
        if chance.random() >= mix.same_time:
            time = start_ns + int((index + chance.random()) * step_ns)
        numbers[product] += 1
        cents[product] = max(1, cents[product] + chance.randint(-25, 25))
        shown = time - chance.choice(LATE_S) * NS_PER_S if chance.random() < mix.late else time
        trades.append(_trade(mix.exchange, product, numbers[product], cents[product], shown, time, chance))
    return trades


def _trade(
    exchange: str, product: str, number: int, cents: int, time: int, received_time: int, chance: random.Random
) -> Trade:
    side: Side = "BUY" if chance.random() < 0.5 else "SELL"
    return Trade(
        exchange=exchange,
        product_id=product,
        trade_id=str(number),
        trade_number=number,
        price=Decimal(cents).scaleb(-2),
        size=Decimal(chance.randint(1, 10**9)).scaleb(-8),
        side=side,
        time=time,
        received_time=received_time,
        origin="live",
        venue=exchange,
    )


def _repeat_origin(chance: random.Random) -> Origin:
    return "snapshot" if chance.random() < 0.5 else "repair"
