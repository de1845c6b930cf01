"""Asking for many products with few messages, and finding the one that an exchange refuses."""

import re
from collections import deque
from collections.abc import Collection, Sequence

from services.adapters.venues.base import Alive, Event, Rejected

_PRODUCT = re.compile(r"[\w.]+-[\w.]+")


class Subscriber:
    """One group of products is asked for at a time. An exchange that refuses a group names the product at fault, or it
    does not: then the group is halved until the product stands alone. So one bad product stops no other.
    """

    def __init__(self, products: Sequence[str], *, group_max: int, interval_ns: int, answer_limit_ns: int) -> None:
        """``interval_ns`` keeps the exchange's message-rate limit; no answer for ``answer_limit_ns`` is ``overdue``."""
        self._waiting = deque(tuple(products[at : at + group_max]) for at in range(0, len(products), group_max))
        self._interval_ns = interval_ns
        self._answer_limit_ns = answer_limit_ns
        self._asked_ns: int | None = None
        self.asked: tuple[str, ...] = ()
        """The products asked for and not yet answered."""

    def next_group(self, now_ns: int) -> tuple[str, ...]:
        """The products to ask for now; empty while an answer is awaited, the rate limit holds, or all are asked for."""
        paced = self._asked_ns is not None and now_ns - self._asked_ns < self._interval_ns
        if self.asked or paced or not self._waiting:
            return ()
        self.asked = self._waiting.popleft()
        self._asked_ns = now_ns
        return self.asked

    def overdue(self, now_ns: int) -> bool:
        return bool(self.asked) and self._asked_ns is not None and now_ns - self._asked_ns > self._answer_limit_ns

    def acknowledged(self, products: Collection[str]) -> None:
        self.asked = tuple(product for product in self.asked if product not in products)

    def refused(self, message: str) -> list[Event]:
        """Who is to blame for a refusal, if that is known by now; the others are asked for again."""
        asked, self.asked = self.asked, ()
        named = set(_PRODUCT.findall(message)).intersection(asked)
        if len(asked) == 1:
            named = set(asked)
        blameless = tuple(product for product in asked if product not in named)
        middle = len(blameless) if named else len(blameless) // 2
        self._waiting.extendleft(half for half in (blameless[middle:], blameless[:middle]) if half)
        rejected: list[Event] = [Rejected(product, message) for product in asked if product in named]
        return rejected or [Alive()]
