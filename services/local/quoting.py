"""What the market maker wants to have on the book. Pure: the same time and the same book, the same orders."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from services.contracts.lab import OrderSide

LEVELS = 5
STEP = Decimal("0.05")
"""Between two levels; prices are multiples of it, so that a small move of the market leaves most quotes as they are."""
HALF_SPREAD = Decimal("0.05")
LOT = Decimal("0.1")
"""The smallest quote, and what the others are multiples of."""
WAVES = ((0.02, 3_600), (0.002, 300))
"""The market's waves: how far each goes from the reference, as a part of it, and how long it takes in seconds."""


@dataclass(frozen=True, order=True)
class Quote:
    """A limit order that is wanted."""

    side: OrderSide
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True)
class Resting:
    """An order that is on the book. ``remaining`` is what of it is not filled."""

    id: str
    side: OrderSide
    price: Decimal
    remaining: Decimal


@dataclass(frozen=True)
class Changes:
    """What leads from the book to the quotes: the ids to cancel first, then what to place."""

    cancel: tuple[str, ...]
    place: tuple[Quote, ...]


def fair_price(reference: Decimal, time_s: float) -> Decimal:
    """What one is worth at this moment: waves around the reference that stay far inside a band of 10 %."""
    wave = sum(height * math.sin(math.tau * time_s / period_s) for height, period_s in WAVES)
    return reference * (1 + Decimal(wave))


def taken(number: int) -> tuple[OrderSide, Decimal]:
    """The side and the quantity of the ``number``th market order, by turns, so that nobody's balance runs out."""
    return ("buy", "sell")[number % 2], LOT * (1 + number // 2 % 3)


def quotes(fair: Decimal) -> list[Quote]:
    """``LEVELS`` a side around the price, the larger the further away, the best first."""
    bid = _step((fair - HALF_SPREAD) / STEP, ROUND_FLOOR)
    ask = _step((fair + HALF_SPREAD) / STEP, ROUND_CEILING)
    sizes = [LOT * (2 + level * level) for level in range(LEVELS)]
    bids = [Quote("buy", bid - level * STEP, size) for level, size in enumerate(sizes)]
    asks = [Quote("sell", ask + level * STEP, size) for level, size in enumerate(sizes)]
    return [*bids, *asks]


def changes(wanted: Iterable[Quote], resting: Iterable[Resting]) -> Changes:
    """Keep what rests at a wanted price and is not nearly used up; cancel everything else and place what is missing."""
    missing = {(quote.side, quote.price): quote for quote in wanted}
    cancel = []
    for order in resting:
        quote = missing.get((order.side, order.price))
        if quote is not None and 2 * order.remaining >= quote.quantity:
            del missing[order.side, order.price]
        else:
            cancel.append(order.id)
    return Changes(tuple(cancel), tuple(missing.values()))


def _step(steps: Decimal, rounding: str) -> Decimal:
    return STEP * steps.to_integral_value(rounding)
