"""The indicators: trades and closed bars in, the newest values of each product out."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.adapters.redis import LatestWriter, Redis
from services.adapters.retention import UPKEEP_INTERVAL_S, OldRows, Retention
from services.contracts.access import ACCESS
from services.contracts.topics import Group
from services.domain.indicators import Plan
from services.indicators.engine import IndicatorEngine
from services.indicators.settings import IndicatorsSettings, names
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing


async def run(settings: IndicatorsSettings, health: Health) -> None:
    tracing = make_tracing("indicators", settings)
    database = Postgres(settings, health)
    producer = Producer(settings, health, topics=ACCESS["indicators"].topics)
    redis = Redis(settings, health)
    latest = LatestWriter(redis, Group.INDICATORS, "indicator")
    old_bars = OldRows(
        "indicator_bars_prune", Group.INDICATORS, Retention(settings.retention_days, health.clock), database
    )
    upkeep = Periodic(UPKEEP_INTERVAL_S, old_bars.prune)
    engine = IndicatorEngine(Plan(names(settings.indicators)), latest, settings.partitions)
    pipeline = Pipeline(engine, settings, database, producer, health, tracing)
    await serve(health, settings, [tracing, database, producer, redis, latest, upkeep, pipeline])


def main() -> None:
    run_service("indicators", IndicatorsSettings, run)
