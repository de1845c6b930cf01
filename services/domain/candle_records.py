"""What a bar on the topic ``candles`` must be before anybody goes on from it."""

import msgspec

from services.contracts.errors import PeerError
from services.contracts.events import Candle
from services.domain.candles import RESOLUTIONS, bar_start
from services.domain.decoding import decoded
from services.domain.money import is_amount
from services.domain.trades import EARLIEST_NS, LATEST_NS, NUMBER_MAX, VALUE_BYTES_MAX, check_key, short

_decode = msgspec.json.Decoder(Candle).decode


def decode(key: bytes | None, value: bytes | None) -> Candle:
    """The bar of one record. Raises PeerError for one that cannot be used.

    ``error_type`` is one of a fixed set: ``empty``, ``too_big``, ``utf8``, ``json``, ``type``, ``exchange``,
    ``product``, ``key``, ``resolution``, ``time``, ``price`` and ``number``.
    """
    candle = decoded(_decode, value, VALUE_BYTES_MAX)
    check_key(candle.exchange, candle.product_id, key)
    if candle.resolution not in RESOLUTIONS:
        raise PeerError("resolution", f"there is no resolution {short(candle.resolution)}")
    start = candle.timestamp
    if not (EARLIEST_NS <= start <= LATEST_NS and start == bar_start(start, RESOLUTIONS[candle.resolution])):
        raise PeerError("time", f"no bar of {candle.resolution} begins at {short(start)}")
    if not is_amount(candle.close):
        raise PeerError("price", f"the close {short(candle.close)} is not a finite amount above zero")
    for number in (candle.trade_count, candle.revision, candle.input_sequence):
        if not 0 <= number <= NUMBER_MAX:
            raise PeerError("number", f"{short(number)} is out of range")
    return candle
