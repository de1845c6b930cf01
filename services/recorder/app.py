"""The recorder: every trade once in Postgres, the latest price in Redis, gaps as the feeds report them."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.adapters.redis import LatestWriter, Redis
from services.adapters.retention import Retention
from services.contracts.access import ACCESS
from services.contracts.topics import Group
from services.recorder.engine import RecorderEngine
from services.recorder.partitions import DayPartitions
from services.recorder.settings import RecorderSettings
from services.runtime.health import Health
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing


async def run(settings: RecorderSettings, health: Health) -> None:
    tracing = make_tracing("recorder", settings)
    database = Postgres(settings, health)
    producer = Producer(settings, health, topics=ACCESS["recorder"].topics)
    redis = Redis(settings, health)
    latest = LatestWriter(redis, Group.RECORDER, "crypto")
    retention = Retention(settings.retention_days, health.clock)
    days = DayPartitions(retention, settings.partitions_ahead_days, database, health.clock)
    engine = RecorderEngine(days, retention, latest, health.clock, settings.partitions)
    pipeline = Pipeline(engine, settings, database, producer, health, tracing)
    await serve(health, settings, [tracing, database, days, producer, redis, latest, pipeline])


def main() -> None:
    run_service("recorder", RecorderSettings, run)
