"""Clients that follow the same form a cohort: what is due to one is due to all, so it is put together once for all."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from services.gateway.stream.backlog import Backlog
from services.gateway.stream.requests import ANY
from services.gateway.stream.series import Refresh, Series, Update


class Pattern(NamedTuple):
    """What a client follows by ``*``, products that come later included."""

    channel: str
    exchange: str
    product_id: str

    def matches(self, series: Series) -> bool:
        exchange, product_id = series.product
        return (
            self.channel == series.channel.name
            and self.exchange in (ANY, exchange)
            and self.product_id in (ANY, product_id)
        )

    def covers(self, other: "Pattern") -> bool:
        """Whether it stands for everything that the other one does."""
        return (
            self.channel == other.channel
            and self.exchange in (ANY, other.exchange)
            and self.product_id in (ANY, other.product_id)
        )


class Recipient(Protocol):
    """A client, as far as delivery goes. ``backlog`` is there while it does not read."""

    cohort: "Cohort"
    backlog: Backlog | None

    def write(self, data: bytes, /) -> None:
        """Whole frames, into the socket."""

    def send(self, frame: bytes) -> None:
        """One frame, into the socket or the backlog."""

    def overflow(self) -> None:
        """Its backlog is full."""


class Cohort:
    """Everyone who follows these series and patterns. ``slow`` are those of ``clients`` that do not read."""

    __slots__ = ("clients", "patterns", "pending", "sent_s", "series", "slow")

    def __init__(self, series: frozenset[Series], patterns: frozenset[Pattern]) -> None:
        self.series = series
        self.patterns = patterns
        self.clients: dict[Recipient, None] = {}
        """In the order in which they came, which is about that in which they lie in memory."""
        self.slow: set[Recipient] = set()
        self.pending: list[Update | Refresh] = []
        self.sent_s = 0.0
        """When it was last due anything, by the monotonic clock."""

    @property
    def size(self) -> int:
        """What counts against the limit of subscriptions."""
        return len(self.series) + len(self.patterns)


class Cohorts:
    """There is one cohort for each set of series and patterns that somebody follows, and one for nothing."""

    def __init__(self) -> None:
        self._cohorts: dict[tuple[frozenset[Series], frozenset[Pattern]], Cohort] = {}
        self.none = self._cohort(frozenset(), frozenset())

    def __iter__(self) -> Iterator[Cohort]:
        return iter(self._cohorts.values())

    def enter(self, client: Recipient, series: frozenset[Series], patterns: frozenset[Pattern]) -> None:
        """Put the client where those are who follow just this."""
        cohort = client.cohort = self._cohort(series, patterns)
        cohort.clients[client] = None
        if client.backlog is not None:
            cohort.slow.add(client)

    def leave(self, client: Recipient) -> None:
        cohort = client.cohort
        cohort.clients.pop(client, None)
        cohort.slow.discard(client)
        if not cohort.clients and cohort is not self.none:
            self._forget(cohort)

    def widen(self, cohort: Cohort, series: Series) -> Cohort:
        """Everyone of a cohort follows one series more. Returns the cohort they are in now."""
        wider = self._cohort(cohort.series | {series}, cohort.patterns)
        for client in cohort.clients:
            client.cohort = wider
        wider.clients |= cohort.clients
        wider.slow |= cohort.slow
        wider.sent_s = max(wider.sent_s, cohort.sent_s)
        self._forget(cohort)
        return wider

    def _cohort(self, series: frozenset[Series], patterns: frozenset[Pattern]) -> Cohort:
        cohort = self._cohorts.get((series, patterns))
        if cohort is None:
            cohort = self._cohorts[series, patterns] = Cohort(series, patterns)
            for one in series:
                one.followers.add(cohort)
        return cohort

    def _forget(self, cohort: Cohort) -> None:
        del self._cohorts[cohort.series, cohort.patterns]
        for one in cohort.series:
            one.followers.discard(cohort)
