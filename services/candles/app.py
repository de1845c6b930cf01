"""The candle builder: trades in, exact bars of every resolution out."""

from services.adapters.kafka import Producer
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.candles.engine import CandleEngine
from services.candles.settings import CandlesSettings
from services.runtime.health import Health
from services.runtime.serve import run_service, serve


async def run(settings: CandlesSettings, health: Health) -> None:
    database = Postgres(settings.database_url, settings.database_pool_max, health)
    producer = Producer(settings.kafka_bootstrap_servers, health)
    engine = CandleEngine(settings.grace_after_bar_ms, settings.partitions)
    pipeline = Pipeline(engine, settings, database, producer, health)
    await serve(health, settings, [database, producer, pipeline])


def main() -> None:
    run_service("candles", CandlesSettings, run)
