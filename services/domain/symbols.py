"""What may be traded and how: a symbol's rules, and its integers.

Inside the order lab a price is a number of ticks, a quantity a number of lots and an amount of an asset a number of
units of 10⁻¹⁸ (``UNITS_PER_ONE``), all integers. What one tick times one lot is worth is exact by construction: a
symbol for which it would not be is refused when it is made.
"""

import decimal
from decimal import Decimal

import msgspec

from services.contracts.lab import SymbolRules
from services.domain.money import PLACES_MAX, is_amount

UNITS_PER_ONE = 10**18
BPS_PER_ONE = 10_000
QUANTITY_MAX_LOTS = 1 << 53
"""So that every quantity survives a reader that has doubles only."""
PRICE_MAX_TICKS = 1 << 53

_UNIT = Decimal("1e-18")
_EXACT = decimal.Context(prec=200, traps=[decimal.Inexact, decimal.InvalidOperation])


class Symbol(msgspec.Struct, frozen=True, gc=False):
    """One market's rules.

    Quantities are in lots, prices in ticks, notionals in the quote asset. ``band_bps`` is how far from the reference
    (the last trade's price, before the first trade ``reference_price``) a limit may be, and a market order may trade.
    Fees are in basis points of the notional, charged in the quote asset.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    reference_price: int
    min_quantity: int = 1
    max_quantity: int = QUANTITY_MAX_LOTS
    min_notional: Decimal = Decimal(0)
    max_notional: Decimal | None = None
    band_bps: int = 1_000
    maker_fee_bps: int = 0
    taker_fee_bps: int = 0

    def __post_init__(self) -> None:
        if self.base == self.quote:
            raise ValueError(f"{self.symbol}: base and quote are the same asset")
        if self.tick_size <= 0 or self.lot_size <= 0:
            raise ValueError(f"{self.symbol}: tick_size and lot_size must be above zero")
        exact_units(self.lot_size)
        exact_units(_EXACT.multiply(self.tick_size, self.lot_size))
        lowest, highest = self.notional_bounds()
        if not 0 <= lowest <= highest:
            raise ValueError(f"{self.symbol}: 0 <= min_notional <= max_notional does not hold")
        if not 1 <= self.min_quantity <= self.max_quantity <= QUANTITY_MAX_LOTS:
            raise ValueError(f"{self.symbol}: 1 <= min_quantity <= max_quantity <= {QUANTITY_MAX_LOTS} does not hold")
        if not 1 <= self.reference_price <= PRICE_MAX_TICKS:
            raise ValueError(f"{self.symbol}: reference_price must be from 1 to {PRICE_MAX_TICKS} ticks")
        if not 1 <= self.band_bps < BPS_PER_ONE:
            raise ValueError(f"{self.symbol}: band_bps must be from 1 to {BPS_PER_ONE - 1}")
        if not (0 <= self.maker_fee_bps <= BPS_PER_ONE and 0 <= self.taker_fee_bps <= BPS_PER_ONE):
            raise ValueError(f"{self.symbol}: fees must be from 0 to {BPS_PER_ONE} basis points")

    @property
    def base_units(self) -> int:
        """Units of the base asset in one lot."""
        return exact_units(self.lot_size)

    @property
    def quote_units(self) -> int:
        """Units of the quote asset that one lot costs at a price of one tick."""
        return exact_units(_EXACT.multiply(self.tick_size, self.lot_size))

    def ticks(self, price: Decimal) -> int | None:
        """The price in ticks, or None off the tick."""
        return multiple(price, self.tick_size)

    def lots(self, quantity: Decimal) -> int | None:
        """The quantity in lots, or None off the lot."""
        return multiple(quantity, self.lot_size)

    def price(self, ticks: int) -> Decimal:
        return _EXACT.multiply(ticks, self.tick_size)

    def quantity(self, lots: int) -> Decimal:
        return _EXACT.multiply(lots, self.lot_size)

    def band(self, reference: int) -> tuple[int, int]:
        """The lowest and the highest price, in ticks, that the band around ``reference`` ticks has within it."""
        lowest = -(-reference * (BPS_PER_ONE - self.band_bps) // BPS_PER_ONE)
        highest = reference * (BPS_PER_ONE + self.band_bps) // BPS_PER_ONE
        return lowest, highest

    def notional_bounds(self) -> tuple[int, int]:
        """The smallest and the largest notional, in ticks times lots."""
        lowest = -(-exact_units(self.min_notional) // self.quote_units)
        if self.max_notional is None:
            return lowest, PRICE_MAX_TICKS * QUANTITY_MAX_LOTS
        return lowest, exact_units(self.max_notional) // self.quote_units

    def keeps_its_money(self, other: "Symbol") -> bool:
        """Whether open orders and their holds mean the same under ``other``: only bounds differ."""
        return all(getattr(self, name) == getattr(other, name) for name in _FIXED)


def symbol_of(rules: SymbolRules) -> Symbol:
    """The rules as the order lab's integers. Raises ValueError where they do not go together."""
    for name in ("tick_size", "lot_size", "reference_price"):
        if not is_amount(getattr(rules, name)):
            raise ValueError(f"{rules.symbol}: {name} must be above zero, with at most {PLACES_MAX} places")
    return Symbol(
        rules.symbol,
        rules.base,
        rules.quote,
        rules.tick_size,
        rules.lot_size,
        _steps(rules, "reference_price", rules.tick_size, 0),
        _steps(rules, "min_quantity", rules.lot_size, 1),
        _steps(rules, "max_quantity", rules.lot_size, QUANTITY_MAX_LOTS),
        rules.min_notional,
        rules.max_notional,
        rules.band_bps,
        rules.maker_fee_bps,
        rules.taker_fee_bps,
    )


def _steps(rules: SymbolRules, name: str, step: Decimal, default: int) -> int:
    value = getattr(rules, name)
    steps = default if value is None else multiple(value, step)
    if steps is None:
        raise ValueError(f"{rules.symbol}: {name} is not a multiple of {step}")
    return steps


_FIXED = ("symbol", "base", "quote", "tick_size", "lot_size", "maker_fee_bps", "taker_fee_bps")


def exact_units(amount: Decimal) -> int:
    """An amount of an asset in units. Raises ValueError where it is not a whole number of them."""
    units = multiple(amount, _UNIT)
    if units is None:
        raise ValueError(f"{amount} is not a multiple of one unit, 10^-18")
    return units


def amount_of(units: int) -> Decimal:
    """The amount of an asset that so many units are."""
    return _EXACT.multiply(units, _UNIT)


def multiple(value: Decimal, step: Decimal) -> int | None:
    """``value / step`` by integers: no context can round it."""
    numerator, denominator = value.as_integer_ratio()
    step_numerator, step_denominator = step.as_integer_ratio()
    quotient, rest = divmod(numerator * step_denominator, denominator * step_numerator)
    return quotient if rest == 0 else None
