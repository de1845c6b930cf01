"""The matching engine of one market group: the journal in, executions, books and everybody's orders out."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.adapters.redis import Redis
from services.contracts.access import ACCESS
from services.matching.engine import MatchingEngine
from services.matching.journal import Journal
from services.matching.latest import Latest
from services.matching.settings import MatchingSettings, read_symbols
from services.matching.snapshots import Snapshots
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing

CLOCK_INTERVAL_S = 1.0


async def run(settings: MatchingSettings, health: Health) -> None:
    group = settings.market_group
    tracing = make_tracing("matching", settings)
    database = Postgres(settings, health)
    producer = Producer(settings, health, topics=ACCESS["matching"].topics)
    redis = Redis(settings, health)
    journal = Journal(settings, producer, group)
    snapshots = Snapshots(database, group)
    engine = MatchingEngine(
        group,
        read_symbols(settings.symbols),
        settings.snapshot_commands,
        journal,
        snapshots,
        Latest(redis, group, settings.anonymous_account),
        health.clock,
    )
    pipeline = Pipeline(engine, settings, database, producer, health, tracing, partition=group)
    clock = Periodic(CLOCK_INTERVAL_S, journal.tick)
    await serve(health, settings, [tracing, database, producer, redis, snapshots, clock, pipeline])


def main() -> None:
    run_service("matching", MatchingSettings, run)
