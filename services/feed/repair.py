"""Fetches what is missing: newest gaps first, within limits, and only from a source that agrees with the socket."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from services.contracts.errors import InfraError, PeerError
from services.contracts.events import Trade
from services.contracts.metrics import Metric
from services.domain.gaps import OpenGap
from services.feed.history import History
from services.feed.intake import Intake
from services.feed.product import Product
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import counter, gauge

LOOK_INTERVAL_S = 0.25
RETRY_BASE_S = 1.0
RETRY_CAP_S = 300.0
DISTRUST_S = 600.0
"""How long repair is off after its source disagreed with the socket; then it is asked again."""
BACKFILL_CHUNK = 1_000
TOO_OLD = "older than gap_repair_max_age_s"
TOO_LARGE = "larger than gap_repair_max_trades"
BEYOND_LIMITS = (TOO_OLD, TOO_LARGE)
BEYOND_LIMITS_RETRY_S = 3_600.0
"""A gap beyond the limits stays open and visible, and is looked at again only in case a setting was changed."""


@dataclass
class Limits:
    max_age_s: float
    max_trades: int
    backfill_since_ns: int | None


@dataclass
class _Attempt:
    backoff: Backoff = field(default_factory=lambda: Backoff(RETRY_BASE_S, RETRY_CAP_S))
    due_at: float = 0.0


class Repairer:
    """A component of ``serve``."""

    def __init__(
        self, products: Mapping[str, Product], history: History, intake: Intake, limits: Limits, clock: Clock
    ) -> None:
        self._products = products
        self._history = history
        self._intake = intake
        self._limits = limits
        self._clock = clock
        self._stopping = asyncio.Event()
        self._attempts: dict[tuple[str, int, int], _Attempt] = {}
        self._trusted = False
        self._off_until = 0.0
        self._label = history.venue.label
        self._log = logging.logger().bind(exchange=self._label)

    @property
    def state(self) -> str:
        """``trusted``, ``unconfirmed`` or ``off``, for ``/status``."""
        if self._trusted:
            return "trusted"
        return "off" if self._now() < self._off_until else "unconfirmed"

    async def start(self) -> None:
        self._say_trusted(False)

    async def run(self) -> None:
        work = asyncio.create_task(self._work())
        waiter = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([work, waiter], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if work.done():
            work.result()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await self._history.close()

    async def stop(self) -> None:
        self._stopping.set()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            gaps = self._newest_first()
            for product, gap in gaps:
                await self._attempt(product, (product.product_id, gap.first, gap.last), gap)
            for product in self._products.values():
                if self._wants_backfill(product):
                    await self._attempt(product, (product.product_id, 0, 0), None)
            open_now = {(product.product_id, gap.first, gap.last) for product, gap in gaps}
            self._attempts = {n: a for n, a in self._attempts.items() if n in open_now or n[1:] == (0, 0)}

    def _newest_first(self) -> list[tuple[Product, OpenGap]]:
        gaps = [(product, gap) for product in self._products.values() for gap in product.tracker.open]
        return sorted(gaps, key=lambda item: item[1].opened_time, reverse=True)

    async def _attempt(self, product: Product, name: tuple[str, int, int], gap: OpenGap | None) -> None:
        """One try at a gap, or at the next part of a backfill, when it is due."""
        attempt = self._attempts.setdefault(name, _Attempt())
        if self._now() < max(attempt.due_at, self._off_until):
            return
        reason = await self._try(product, gap)
        if not reason:
            attempt.backoff.reset()
            return
        wait_s = BEYOND_LIMITS_RETRY_S if reason in BEYOND_LIMITS else RETRY_BASE_S / 2 + attempt.backoff.next_s()
        attempt.due_at = self._now() + wait_s
        if gap is not None and gap.reason != reason:
            gap.reason, product.changed = reason, True
            self._log.warning("gap_open", product=product.product_id, first=gap.first, last=gap.last, reason=reason)

    async def _try(self, product: Product, gap: OpenGap | None) -> str:
        """Why it is not done yet, or nothing."""
        try:
            if not self._trusted and not await self._confirm(product):
                return "the history is not confirmed yet" if self._now() >= self._off_until else "the history disagrees"
            return await (self._backfill(product) if gap is None else self._repair(product, gap))
        except (InfraError, PeerError) as error:
            reason = error.error_type if isinstance(error, PeerError) else "away"
            counter(Metric.FEED_REPAIR_ERRORS).labels(self._label, reason).inc()
            return str(error)

    # ---- one gap

    async def _repair(self, product: Product, gap: OpenGap) -> str:
        """Its newest missing run. A page beyond the age limit ends it; so does a newer gap, which goes first."""
        oldest_ns = self._clock.now_ns() - int(self._limits.max_age_s * NS_PER_S)
        if gap.opened_time < oldest_ns:
            return TOO_OLD
        run_first, last = gap.missing()[-1]
        first = max(run_first, gap.last - self._limits.max_trades + 1)
        if first > last:
            return TOO_LARGE
        present: set[int] = set()
        before_ns = max(gap.before_time or gap.opened_time, oldest_ns)
        async for page in self._history.pages(
            product.product_id, first, last, before_time_ns=before_ns, origin="repair"
        ):
            await self._publish(product, page, first, last)
            present.update(trade.trade_number for trade in page if trade.trade_number is not None)
            if page and min(trade.time for trade in page) < oldest_ns:
                self._note_voids(product, present, first, last)
                return TOO_OLD if gap in product.tracker.open else ""
            if self._newest_first()[:1] not in ([], [(product, gap)]):
                return ""
        self._note_voids(product, present, first, last)
        if gap not in product.tracker.open:
            self._log.info("gap_closed", product=product.product_id, first=gap.first, last=gap.last)
            return ""
        return "the history does not have it all yet" if gap.missing()[-1][1] == last else ""

    async def _publish(self, product: Product, page: list[Trade], first: int, last: int) -> None:
        wanted = [trade for trade in page if trade.trade_number is not None and first <= trade.trade_number <= last]
        wanted.sort(key=lambda trade: trade.trade_number or 0)
        count = await self._intake.publish(wanted, b"", 0)
        counter(Metric.FEED_TRADES_REPAIRED).labels(product.exchange, product.product_id).inc(count)

    def _note_voids(self, product: Product, present: set[int], first: int, last: int) -> None:
        """Ids that the history skips between two that it has do not exist. ``demo`` has no history that could skip."""
        if self._history.venue.history_endpoint is None:
            return
        for low, high in pairwise(sorted(present)):
            start, end = max(low + 1, first), min(high - 1, last)
            if start <= end:
                product.tracker.void(start, end, self._clock.now_ns())
                product.changed = True

    # ---- trust

    async def _confirm(self, product: Product) -> bool:
        """Find in the history one trade that came by socket, with equal price, size and time."""
        if self._history.venue.history_endpoint is None:
            self._say_trusted(True)
            return True
        witnesses = list(product.recent) or [t for other in self._products.values() for t in other.recent]
        if not witnesses:
            return False
        witness = witnesses[len(witnesses) // 2]
        number = witness.trade_number
        assert number is not None
        async for page in self._history.pages(
            witness.product_id, number, number, before_time_ns=witness.time, origin="repair"
        ):
            for trade in page:
                if trade.trade_number == number:
                    return self._judge(witness, trade)
        return False

    def _judge(self, witness: Trade, found: Trade) -> bool:
        tolerance_ns = self._history.venue.history_time_tolerance_ns
        same = (witness.price, witness.size, witness.side) == (found.price, found.size, found.side)
        if same and abs(witness.time - found.time) <= tolerance_ns:
            self._say_trusted(True)
            return True
        self._off_until = self._now() + DISTRUST_S
        counter(Metric.FEED_REPAIR_ERRORS).labels(self._label, "disagrees").inc()
        self._log.error(
            "repair_off", product=witness.product_id, id=witness.trade_id, socket=str(witness), history=str(found)
        )
        return False

    def _say_trusted(self, trusted: bool) -> None:
        self._trusted = trusted
        gauge(Metric.FEED_REPAIR_TRUSTED).labels(self._label).set(int(trusted))

    # ---- backfill

    def _wants_backfill(self, product: Product) -> bool:
        since_ns = self._limits.backfill_since_ns
        done = product.backfilled_since
        return since_ns is not None and product.first is not None and (done is None or done > since_ns)

    async def _backfill(self, product: Product) -> str:
        """The next part, downwards from the first trade here: a chunk, or all where the exchange pages by time."""
        first, since_ns = product.first, self._limits.backfill_since_ns
        assert first is not None
        assert since_ns is not None
        if first.trade_number is None or first.time <= since_ns:
            self._backfilled(product, since_ns)
            return ""
        last = first.trade_number - 1 if product.backfill_last is None else product.backfill_last
        lowest = max(0, first.trade_number - self._limits.max_trades)
        chunk = last + 1 if self._history.venue.history_by_time else BACKFILL_CHUNK
        start = max(lowest, last - chunk + 1)
        oldest_ns, count = (0, 0) if start > last else await self._backfill_chunk(product, start, last, since_ns)
        product.backfill_last = start - 1
        if count == 0 or oldest_ns <= since_ns or start <= lowest:
            self._backfilled(product, since_ns)
        return ""

    def _backfilled(self, product: Product, since_ns: int) -> None:
        product.backfilled_since, product.changed = since_ns, True
        self._log.info("backfilled", product=product.product_id)

    async def _backfill_chunk(self, product: Product, first: int, last: int, since_ns: int) -> tuple[int, int]:
        """Publish a chunk. Returns the oldest time in it and how many trades it had."""
        oldest_ns, count = self._clock.now_ns(), 0
        async for page in self._history.pages(
            product.product_id, first, last, before_time_ns=since_ns, origin="backfill"
        ):
            inside = [t for t in page if t.trade_number is not None and first <= t.trade_number <= last]
            inside.sort(key=lambda trade: trade.trade_number or 0)
            await self._intake.publish_old([trade for trade in inside if trade.time >= since_ns])
            oldest_ns = min([oldest_ns, *(trade.time for trade in inside)])
            count += len(inside)
        return oldest_ns, count

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
