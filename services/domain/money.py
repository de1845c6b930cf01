"""Exact decimals. Price, size and volume are never rounded but in one place: ``vwap``."""

import decimal
from decimal import ROUND_HALF_EVEN, Decimal

DIGITS_MAX = 38
"""Digits of a price or a size in all; the product of two and the sums of many fit below."""

PLACES_MAX = 18

_EXACT = decimal.Context(
    prec=200, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
)
_ordinary = decimal.Context(
    prec=PLACES_MAX + 1, Emin=0, Emax=DIGITS_MAX - 1, traps=[decimal.Rounded, decimal.Overflow]
).plus
"""Holds exactly what has at most 19 digits, 18 places and 38 digits before the point: nearly every amount. To ask it
costs a tenth of looking at the digits, and every trade is asked twice."""
_ZERO = decimal.Decimal(0)
_VWAP = decimal.Context(prec=200, rounding=ROUND_HALF_EVEN)
_VWAP_QUANTUM = Decimal("1e-12")


def trap_inexact() -> None:
    """Make every rounding of this process an error. Called once, before the event loop starts its tasks."""
    decimal.DefaultContext.prec = _EXACT.prec
    decimal.DefaultContext.traps = _EXACT.traps
    decimal.setcontext(_EXACT.copy())


def is_amount(value: Decimal) -> bool:
    """Whether a price or a size can be used: finite, above zero, and of bounded digits and places."""
    if not value.is_finite() or value <= _ZERO:
        return False
    try:
        _ordinary(value)
    except decimal.Rounded:
        _sign, digits, exponent = value.as_tuple()
        return (
            len(digits) <= DIGITS_MAX and -PLACES_MAX <= int(exponent) <= DIGITS_MAX and value.adjusted() < DIGITS_MAX
        )
    return True


def vwap(quote_volume: Decimal, volume: Decimal) -> Decimal:
    """``quote_volume / volume``, half even to 12 places: the one rounding, made when read."""
    return _VWAP.divide(quote_volume, volume).quantize(_VWAP_QUANTUM, context=_VWAP)


def plain(value: Decimal) -> str:
    """Without an exponent and without trailing zeros: ``1E+2`` is ``100``, ``1.50`` is ``1.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
