"""What a trade must be to enter the log and to leave it again. Called for every trade, so written to be quick."""

import re

import msgspec

from services.contracts.errors import PeerError
from services.contracts.events import Trade, product_key
from services.domain.decoding import decoded
from services.domain.money import is_amount

EARLIEST_NS = 1_230_768_000_000_000_000
"""2009-01-01: no exchange of ours is older."""
LATEST_NS = 7_258_118_400_000_000_000
"""2200-01-01: within 63 bits, which is what the stores have."""
NUMBER_MAX = 2**63 - 1
FUTURE_NS_MAX = 3_600_000_000_000
"""How far beyond its receipt a trade on the topic may be: the upper bound of the feeds' own, stricter setting."""
TEXT_MAX = 128
"""Characters of an exchange's label, a product, a trade id or a venue's name."""
VALUE_BYTES_MAX = 64 * 1024
"""A trade is some 250 bytes. What is larger is not looked into."""
NAMES_MAX = 10_000
"""Good names remembered, so that each is looked at once: a few for every product."""

_PRODUCT = re.compile(r"[A-Za-z0-9._/-]+")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]*")
_decode = msgspec.json.Decoder(Trade).decode
_known_names: set[tuple[str, str, str] | tuple[str, str, str, bytes | None]] = set()
_newest_names: dict[bytes | None, tuple[str, str, str]] = {}
"""What stood in the newest good record of each key: to compare four names costs a fifth of looking them up."""


def check(trade: Trade, *, future_ns: int) -> None:
    """Raise PeerError, naming the field in ``error_type``, for a trade that must not be used.

    ``future_ns`` is how far its time may be after its receipt. There is no lower bound but 2009: repairs, replays and
    late trades are old by nature.
    """
    check_names((trade.exchange, trade.product_id, trade.venue))
    _check_values(trade, future_ns)


def decode(key: bytes | None, value: bytes | None) -> Trade:
    """The trade of one record of the topic ``market_trades``. Raises PeerError for one that cannot be used.

    ``error_type`` is one of a fixed set: ``empty``, ``too_big``, ``utf8``, ``json``, ``type``, ``key`` and those of
    ``check``.
    """
    trade = decoded(_decode, value, VALUE_BYTES_MAX)
    names = (trade.exchange, trade.product_id, trade.venue)
    if _newest_names.get(key) != names:
        check_names((*names, key))
        if len(_newest_names) >= NAMES_MAX:
            _newest_names.clear()
        _newest_names[key] = names
    _check_values(trade, FUTURE_NS_MAX)
    return trade


def is_product(name: str) -> bool:
    """Whether a product's name can stand in keys, paths and metrics."""
    return len(name) <= TEXT_MAX and _PRODUCT.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Whether an exchange's label or a venue's name can stand in keys (``label:product``), paths and metrics."""
    return len(name) <= TEXT_MAX and _LABEL.fullmatch(name) is not None


def check_key(exchange: str, product_id: str, key: bytes | None) -> None:
    """Raise PeerError where the names cannot stand in a key, or the record's key is another product's."""
    _check_product(exchange, product_id)
    if key != product_key(exchange, product_id):
        raise PeerError("key", f"the key {short(key)} is not that of {exchange}:{product_id}")


def check_names(names: tuple[str, str, str] | tuple[str, str, str, bytes | None]) -> None:
    """Look at an exchange, a product, a venue and, where there is one, a record's key; remember good ones.

    Raises PeerError: ``exchange``, ``product``, ``venue`` or ``key``.
    """
    if names in _known_names:
        return
    exchange, product_id, venue, *keys = names
    _check_product(exchange, product_id)
    if not is_label(venue):
        raise PeerError("venue", f"the venue {short(venue)} is not a name such as kraken")
    for key in keys:
        check_key(exchange, product_id, key)
    if len(_known_names) >= NAMES_MAX:
        _known_names.clear()
    _known_names.add(names)


def short(value: object) -> str:
    """A value as it may stand in a message."""
    return repr(value)[:TEXT_MAX]


def _check_product(exchange: str, product_id: str) -> None:
    if not is_label(exchange):
        raise PeerError("exchange", f"the exchange {short(exchange)} is not a label such as coinbase")
    if not is_product(product_id):
        raise PeerError("product", f"the product {short(product_id)} is not a name such as BTC-USD")


def _check_values(trade: Trade, future_ns: int) -> None:
    time, received_time, number, trade_id = trade.time, trade.received_time, trade.trade_number, trade.trade_id
    if not is_amount(trade.price):
        raise PeerError("price", f"the price {short(trade.price)} is not a finite amount above zero")
    if not is_amount(trade.size):
        raise PeerError("size", f"the size {short(trade.size)} is not a finite amount above zero")
    if time < EARLIEST_NS:
        raise PeerError("time_early", f"the time {short(time)} is before 2009")
    if time > received_time + future_ns:
        raise PeerError("time_future", f"the time {short(time)} is after the receipt, {short(received_time)}")
    if received_time > LATEST_NS:
        raise PeerError("received_time", f"the time of receipt {short(received_time)} is after 2199")
    if number is not None and not 0 <= number <= NUMBER_MAX:
        raise PeerError("trade_number", f"the trade number {short(number)} is out of range")
    if not trade_id.isprintable() or not 0 < len(trade_id) <= TEXT_MAX:
        raise PeerError("trade_id", f"the trade id {short(trade_id)} is not 1 to {TEXT_MAX} printable characters")
