"""The candle builder: trades in, exact bars of every resolution out."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.adapters.retention import UPKEEP_INTERVAL_S, OldRows, Retention
from services.candles.engine import CandleEngine
from services.candles.settings import CandlesSettings
from services.contracts.access import ACCESS
from services.contracts.topics import Group
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing


async def run(settings: CandlesSettings, health: Health) -> None:
    tracing = make_tracing("candles", settings)
    database = Postgres(settings, health)
    producer = Producer(settings, health, topics=ACCESS["candles"].topics)
    retention = Retention(settings.retention_days, health.clock)
    old_bars = OldRows("candles_prune", Group.CANDLES, retention, database)
    engine = CandleEngine(settings.grace_after_bar_ms, settings.partitions, retention)
    pipeline = Pipeline(engine, settings, database, producer, health, tracing)
    await serve(health, settings, [tracing, database, producer, Periodic(UPKEEP_INTERVAL_S, old_bars.prune), pipeline])


def main() -> None:
    run_service("candles", CandlesSettings, run)
