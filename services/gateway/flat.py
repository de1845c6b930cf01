"""``/crypto/{product}`` and ``/indicators/{product}``: one product's latest values, flat, when they change."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from services.contracts.metrics import Metric
from services.gateway.clients import UNKNOWN_PRODUCT, Client, Host
from services.gateway.hub import Delivery, Hub, Product
from services.gateway.routes import Follow
from services.gateway.stream.backlog import Backlog
from services.gateway.stream.cohorts import Cohort
from services.gateway.stream.frames import text_frame
from services.gateway.stream.outbox import Outbox
from services.runtime.metrics import counter
from services.runtime.redaction import redacted

TEXT_SHOWN_MAX = 128

Fill = Callable[[Product], Awaitable[list["Delivery[FlatClient]"]]]


class FlatClient(Client):
    """One connection that follows one product. It has nothing to say."""

    __slots__ = ("_flat", "backlog", "cohort", "follow")

    def __init__(self, host: Host, flat: "Flat", follow: Follow, request_id: str) -> None:
        super().__init__(host, request_id)
        self._flat = flat
        self.follow = follow
        self.cohort: Cohort = flat.nobody
        self.backlog: Backlog | None = None

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.follow.channel

    def about(self) -> dict[str, str]:
        exchange, product_id = self.follow.product
        shown = {"exchange": exchange[:TEXT_SHOWN_MAX], "product": product_id[:TEXT_SHOWN_MAX]}
        return {"channel": self.kind, **shown}

    def entered(self) -> None:
        assert self.transport is not None
        self.transport.underlying_transport.set_write_buffer_limits(high=self._flat.client_buffer_bytes_max)
        self._flat.entered(self)

    def left(self) -> None:
        self._flat.left(self)


class Flat:
    """Subscribes clients to the hub, and brings them what it delivers."""

    def __init__(self, hub: Hub[FlatClient], outbox: Outbox, fill: Fill, client_buffer_bytes_max: int) -> None:
        self.client_buffer_bytes_max = client_buffer_bytes_max
        self.nobody = Cohort(frozenset(), frozenset())
        self._hub = hub
        self._outbox = outbox
        self._fill = fill
        self._fills: set[asyncio.Task[None]] = set()

    def entered(self, client: FlatClient) -> None:
        """The current values at once, and what comes after them; 4504 for a product that nobody has."""
        channel, product = client.follow.channel, client.follow.product
        if not self._hub.knows(product):
            self._refuse_unknown(client)
            return
        frame = self._hub.subscribe(channel, product, client)
        if frame is not None:
            client.send(text_frame(frame))
            counter(Metric.GATEWAY_FRAMES_SENT).labels(channel).inc()
        if self._hub.lacks_values(product):
            self.start_fill(product)

    def left(self, client: FlatClient) -> None:
        self._hub.unsubscribe(client.follow.channel, client.follow.product, client)
        self._outbox.forget(client)

    def deliver(self, deliveries: Iterable[Delivery[FlatClient]]) -> None:
        """With the next flush."""
        for channel, subscribers, frame in deliveries:
            self._outbox.owe(subscribers, text_frame(frame))
            counter(Metric.GATEWAY_FRAMES_SENT).labels(channel).inc(len(subscribers))

    def start_fill(self, product: Product) -> None:
        """Look in Redis for what the log read so far did not give."""

        async def fill() -> None:
            self.deliver(await self._fill(product))
            await self._outbox.flush()

        task = asyncio.create_task(fill())
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    def _refuse_unknown(self, client: FlatClient) -> None:
        exchange, product_id = client.follow.product
        counter(Metric.GATEWAY_REFUSALS).labels("unknown_product").inc()
        detail = f"no feed has {product_id[:TEXT_SHOWN_MAX]} of {exchange[:TEXT_SHOWN_MAX]}; see /markets"
        client.send(text_frame(msgspec.json.encode({"error": "unknown_product", "detail": redacted(detail)})))
        client.close(UNKNOWN_PRODUCT, "unknown product")
