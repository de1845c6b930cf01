"""Asking for many products with few messages, and finding the one that an exchange refuses."""

import re
from collections import deque
from collections.abc import Collection, Sequence

from services.adapters.venues.base import Action, Alive, Emit, Event, Reconnect, Rejected

_PRODUCT = re.compile(r"[\w.]+-[\w.]+")


class Subscriber:
    """One group of products is asked for at a time. An exchange that refuses a group names the product at fault, or it
    does not: then the group is halved until the product stands alone. So one bad product stops no other.
    """

    def __init__(self, products: Sequence[str], *, group_max: int, interval_ns: int, answer_limit_ns: int) -> None:
        """``interval_ns`` keeps the exchange's message-rate limit; ``answer_limit_ns`` is for ``overdue``."""
        self._waiting = deque(tuple(products[at : at + group_max]) for at in range(0, len(products), group_max))
        self._interval_ns = interval_ns
        self._answer_limit_ns = answer_limit_ns
        self._asked_ns: int | None = None
        self._any_acknowledged = False
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

    def overdue(self, now_ns: int) -> list[Action]:
        """What to do about products that were asked for too long ago. An exchange that acknowledged others passes an
        unknown one over in silence (https://github.com/ccxt/ccxt/issues/22157); one that never did is not listening.
        """
        if not self.asked or self._asked_ns is None or now_ns - self._asked_ns <= self._answer_limit_ns:
            return []
        if not self._any_acknowledged:
            return [Reconnect("subscription_not_answered")]
        silent, self.asked = self.asked, ()
        return [Emit([Rejected(product, "the exchange does not acknowledge it") for product in silent])]

    def acknowledged(self, products: Collection[str]) -> None:
        self._any_acknowledged = self._any_acknowledged or bool(products)
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
