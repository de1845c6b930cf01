"""The recorder: every trade once in Postgres, the latest price in Redis, gaps as the feeds report them."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.adapters.redis import LatestWriter, Redis
from services.contracts.topics import Group
from services.recorder.engine import RecorderEngine
from services.recorder.partitions import DayPartitions
from services.recorder.settings import RecorderSettings
from services.runtime.health import Health
from services.runtime.serve import run_service, serve


async def run(settings: RecorderSettings, health: Health) -> None:
    database = Postgres(settings.database_url, settings.database_pool_max, health)
    producer = Producer(settings.kafka_bootstrap_servers, health)
    redis = Redis(settings.redis_url, health)
    latest = LatestWriter(redis, Group.RECORDER, "crypto")
    days = DayPartitions(settings.retention_days, settings.partitions_ahead_days, database, health.clock)
    engine = RecorderEngine(days, latest, health.clock, settings.partitions)
    pipeline = Pipeline(engine, settings, database, producer, health)
    await serve(health, settings, [database, days, producer, redis, latest, pipeline])


def main() -> None:
    run_service("recorder", RecorderSettings, run)
