"""Which trades have been folded: how every consumer drops a trade that the log holds twice."""

import msgspec

from services.contracts.events import Trade
from services.domain.intervals import Intervals

IDS_MAX = 10_000
"""Ids remembered of a product whose exchange's ids are not ordered integers; older ones may count twice."""


class Seen(msgspec.Struct):
    """``numbers`` where ids are ordered integers, else the newest ``ids`` in the order they came."""

    numbers: Intervals = msgspec.field(default_factory=Intervals)
    ids: dict[str, None] = {}

    def add(self, trade: Trade) -> bool:
        """Whether the trade is new."""
        if trade.trade_number is not None:
            return self.numbers.add(trade.trade_number)
        if trade.trade_id in self.ids:
            return False
        self.ids[trade.trade_id] = None
        if len(self.ids) > IDS_MAX:
            del self.ids[next(iter(self.ids))]
        return True
