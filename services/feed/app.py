"""A feed: subscribes, normalises, finds and repairs gaps, publishes."""

from urllib.parse import urlsplit, urlunsplit

from services.adapters.kafka import Producer
from services.adapters.venues import registry
from services.adapters.venues.base import Venue
from services.contracts.access import ACCESS
from services.feed.feed import Feed
from services.feed.history import History
from services.feed.intake import Intake
from services.feed.product import Product
from services.feed.publisher import Publisher
from services.feed.repair import Limits, Repairer
from services.feed.settings import FeedSettings
from services.feed.states import States
from services.feed.status import document
from services.runtime.clock import NS_PER_S, parse_rfc3339
from services.runtime.health import Health
from services.runtime.serve import Component, run_service, serve
from services.runtime.tracing import make_tracing


async def run(settings: FeedSettings, health: Health) -> None:
    venue_class, clock = registry.load(settings.venue), health.clock

    def make_venue() -> Venue:
        return venue_class(settings.products, exchange=settings.exchange or None, settings=settings.venue_settings)

    venue = make_venue()
    products = {name: Product(venue.label, name, venue.name) for name in settings.products}
    producer = Producer(settings, health, topics=ACCESS["feed"].topics)
    tracing = make_tracing("feed", settings)
    publisher = Publisher(producer, venue.label, settings.in_flight_max, clock, tracing)
    states = States(
        products,
        publisher,
        settings,
        settings.state_interval_ms,
        clock,
    )
    future_ns = int(settings.future_limit_s * NS_PER_S)
    intake = Intake(products, publisher, venue.label, venue.name, future_ns, clock)
    feed = Feed(
        make_venue,
        settings.endpoint or venue.endpoint,
        products,
        intake,
        publisher,
        queue_frames_max=settings.queue_frames_max,
        queue_bytes_max=settings.queue_bytes_max,
        backoff_max_s=settings.reconnect_backoff_max_s,
        frame_bytes_max=settings.frame_bytes_max,
        raw_frames=settings.raw_frames,
        health=health,
        clock=clock,
    )
    since_ns = parse_rfc3339(settings.backfill_since) if settings.backfill_since else None
    limits = Limits(settings.gap_repair_max_age_s, settings.gap_repair_max_trades, since_ns)
    repairer = Repairer(products, History(make_venue(), history_url(settings, venue), clock), intake, limits, clock)
    components: list[Component | None] = [tracing, producer, publisher, states, feed]
    if settings.gap_repair_enabled and venue.ids_contiguous:
        components.append(repairer)
    await serve(health, settings, components, lambda: document(feed, products, repairer, health))


def history_url(settings: FeedSettings, venue: Venue) -> str | None:
    """An endpoint of one's own usually serves both: its host over http is asked for the history."""
    if settings.history_endpoint:
        return settings.history_endpoint
    if settings.endpoint:
        parts = urlsplit(settings.endpoint)
        return urlunsplit(("https" if parts.scheme == "wss" else "http", parts.netloc, "", "", ""))
    return venue.history_endpoint


def main() -> None:
    run_service("feed", FeedSettings, run)
