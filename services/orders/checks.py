"""The rules an order can be held against without any state: those of its symbol. Pure."""

from decimal import Decimal

from services.contracts.lab import PlaceOrder
from services.domain.orders import Misfit, Place
from services.domain.symbols import PRICE_MAX_TICKS, QUANTITY_MAX_LOTS, Symbol
from services.orders.problems import against_rules, misshapen


def check_order(order: PlaceOrder, symbol: Symbol, quantity_path: str) -> None:
    """Raise Refusal: 400 for a rule of the symbol, 422 for fields that do not go together.

    What needs the book, the account or the time is the engine's to say: band, balance, post-only, expiry.
    ``quantity_path`` is what the client calls the quantity.
    """
    lots = check_quantity(order.quantity, symbol, quantity_path)
    price = check_price("price", order.price, symbol)
    stop_price = check_price("stop_price", order.stop_price, symbol)
    try:
        Place(
            order.account,
            order.id,
            order.symbol,
            lots,
            order.side,
            order.type,
            price,
            stop_price,
            order.time_in_force,
            order.post_only,
            order.self_trade,
            order.expire_time,
        )
    except Misfit as error:
        raise misshapen(error.field, f"does not go with a {order.type} order, {order.time_in_force}") from None
    if not symbol.min_quantity <= lots <= symbol.max_quantity:
        lowest, highest = symbol.quantity(symbol.min_quantity), symbol.quantity(symbol.max_quantity)
        raise against_rules("quantity", quantity_path, f"{symbol.symbol} trades from {lowest} to {highest} at once")
    if price is not None:
        _check_notional(price * lots, symbol, quantity_path)


def check_quantity(quantity: Decimal, symbol: Symbol, path: str) -> int:
    """The quantity in lots. Raises Refusal."""
    lots = symbol.lots(quantity)
    if lots is None or lots > QUANTITY_MAX_LOTS:
        raise against_rules(
            "lot_size", path, f"must be a multiple of {symbol.lot_size}, {symbol.quantity(QUANTITY_MAX_LOTS)} at most"
        )
    return lots


def check_price(path: str, price: Decimal | None, symbol: Symbol) -> int | None:
    """The price in ticks. Raises Refusal."""
    if price is None:
        return None
    ticks = symbol.ticks(price)
    if ticks is None or ticks > PRICE_MAX_TICKS:
        raise against_rules(
            "tick_size", path, f"must be a multiple of {symbol.tick_size}, {symbol.price(PRICE_MAX_TICKS)} at most"
        )
    return ticks


def _check_notional(notional: int, symbol: Symbol, path: str) -> None:
    lowest, highest = symbol.notional_bounds()
    if not lowest <= notional <= highest:
        limits = f"at least {symbol.min_notional}"
        if symbol.max_notional is not None:
            limits += f" and at most {symbol.max_notional}"
        raise against_rules("notional", path, f"price times quantity must be {limits} {symbol.quote}")
