"""The indicators: trades and closed bars in, the newest values of each product out."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.adapters.redis import LatestWriter, Redis
from services.contracts.topics import Group
from services.domain.indicators import Plan
from services.indicators.engine import IndicatorEngine
from services.indicators.settings import IndicatorsSettings, names
from services.runtime.health import Health
from services.runtime.serve import run_service, serve


async def run(settings: IndicatorsSettings, health: Health) -> None:
    database = Postgres(settings.database_url, settings.database_pool_max, health)
    producer = Producer(settings.kafka_bootstrap_servers, health)
    redis = Redis(settings.redis_url, health)
    latest = LatestWriter(redis, Group.INDICATORS, "indicator")
    engine = IndicatorEngine(Plan(names(settings.indicators)), latest, settings.partitions)
    pipeline = Pipeline(engine, settings, database, producer, health)
    await serve(health, settings, [database, producer, redis, latest, pipeline])


def main() -> None:
    run_service("indicators", IndicatorsSettings, run)
