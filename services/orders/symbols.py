"""The symbols that may be traded, as the engines have listed them: read again now and then."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.adapters.postgres import Postgres, sql
from services.contracts.errors import InfraError
from services.contracts.lab import SymbolRules
from services.domain.money import plain
from services.domain.symbols import Symbol, symbol_of
from services.orders.problems import Refusal, against_rules
from services.runtime import logging

SYMBOLS_MAX = 10_000


class ListedSymbol(SymbolRules, frozen=True):
    """What may be traded and how. Prices in the quote asset, quantities in the base asset, fees in basis points."""

    halted: bool = False


@dataclass(frozen=True)
class Listed:
    """A symbol as it is told, and as orders are held against it."""

    document: ListedSymbol
    symbol: Symbol


class Symbols:
    """``refresh`` reads the table; between two of them everybody is answered from memory."""

    def __init__(self, database: Postgres, timeout_s: float) -> None:
        self._database = database
        self._timeout_s = timeout_s
        self._listed: Mapping[str, Listed] | None = None

    async def refresh(self) -> None:
        """Read the table. While Postgres is away, what was read before goes on."""
        try:
            rows = await self._database.fetch(sql("symbols_read"), SYMBOLS_MAX, timeout_s=self._timeout_s)
        except InfraError as error:
            logging.logger().warning("symbols_not_read", error=str(error))
            return
        found = [ListedSymbol(**{name: _plain(value) for name, value in row.items()}) for row in rows]
        self._listed = {document.symbol: Listed(document, symbol_of(document)) for document in found}

    def all(self) -> Mapping[str, Listed]:
        """By name. Raises InfraError until they have been read once."""
        if self._listed is None:
            raise InfraError("postgres", "the symbols are not read yet")
        return self._listed

    def get(self, name: str) -> Listed:
        """Raises Refusal (404) for one that is not listed, and InfraError."""
        listed = self.all().get(name)
        if listed is None:
            raise Refusal(404, "unknown_symbol", "no such symbol; see GET /v1/symbols")
        return listed

    def ordered(self, name: str) -> Listed:
        """The same for the symbol of an order: 400."""
        listed = self.all().get(name)
        if listed is None:
            raise against_rules("unknown_symbol", "symbol", "no such symbol; see GET /v1/symbols")
        return listed

    def groups(self) -> list[int]:
        """Every market group that has symbols."""
        return sorted({listed.document.market_group for listed in self.all().values()})

    def group_of(self, asset: str, wanted: int | None) -> int:
        """The market group that an asset is traded in. Raises Refusal (400) where that is none, or is not clear."""
        groups = {
            listed.document.market_group
            for listed in self.all().values()
            if asset in (listed.document.base, listed.document.quote)
        }
        if not groups:
            raise against_rules("unknown_asset", "asset", "no symbol trades it; see GET /v1/symbols")
        if wanted is not None:
            groups &= {wanted}
        if len(groups) != 1:
            raise against_rules("market_group", "market_group", "say which of the groups that trade the asset")
        return groups.pop()


def _plain(value: Any) -> Any:
    """A decimal so that it is written without an exponent."""
    return Decimal(plain(value)) if isinstance(value, Decimal) else value
