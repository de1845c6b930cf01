"""The exchanges' protocols, from the exchange's side. Sans-I/O: text in, text out."""

from services.contracts.errors import ConfigError
from services.replay.dialects.base import Dialect
from services.replay.dialects.binance import Binance
from services.replay.dialects.coinbase import Coinbase
from services.replay.dialects.coinbase_exchange import CoinbaseExchange
from services.replay.dialects.kraken import Kraken

_DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (CoinbaseExchange(), Coinbase(), Kraken(), Binance())
}


def names() -> list[str]:
    return list(_DIALECTS)


def dialect_of(name: str) -> Dialect:
    """The dialect of a protocol. Raises ConfigError for one that is not spoken."""
    if name not in _DIALECTS:
        raise ConfigError(f"the protocol {name!r} is not spoken; there are: {', '.join(_DIALECTS)}")
    return _DIALECTS[name]
