"""Wires the validator: ticks from gRPC and Kafka, verdicts to both."""

import secrets
from functools import partial

from services.adapters.grpc_server import GrpcServer
from services.adapters.grpc_standard import StandardServices
from services.adapters.kafka import Producer, read_log_id
from services.adapters.pipeline import Pipeline
from services.adapters.postgres import Postgres
from services.contracts.access import ACCESS
from services.contracts.metrics import Metric
from services.contracts.proto import PROCESS_BATCH, PROCESS_STREAM, SERVICE
from services.domain.validation import Limits, RuleBook
from services.domain.vwap import Windows
from services.runtime.clock import NS_PER_S
from services.runtime.health import Health
from services.runtime.metrics import counter, gauge
from services.runtime.periodic import Periodic
from services.runtime.serve import Component, run_service, serve
from services.runtime.tracing import make_tracing
from services.validator.engine import RawTickEngine
from services.validator.judge import Judge, load_rules
from services.validator.publisher import Publisher
from services.validator.settings import ValidatorSettings
from services.validator.sharing import Repeats, SharedTicks
from services.validator.streams import Streams

UPKEEP_INTERVAL_S = 5.0
"""How often instruments that are quiet make room, and the window is measured."""


async def run(settings: ValidatorSettings, health: Health) -> None:
    clock, instance_id = health.clock, secrets.token_hex(8)
    lateness_ns = round(settings.lateness_max_s * NS_PER_S)
    reach_ns = lateness_ns + round(settings.timestamp_future_max_s * NS_PER_S)
    windows, repeats = Windows(settings.window_ticks_max, settings.window_instruments_max, lateness_ns), Repeats()
    judge = Judge(RuleBook(limits(settings), load_rules(settings.rules)), windows, instance_id)
    tracing = make_tracing("validator", settings)
    producer = Producer(settings, health, topics=ACCESS["validator"].topics)
    publisher = Publisher(producer, settings.partitions, settings.publish_in_flight_max, settings.publish_interval_ms)
    shared = SharedTicks(settings, windows, repeats, instance_id, reach_ns, health)
    standard = StandardServices([SERVICE], health)
    published = publisher if settings.publish_verdicts else None
    streams = Streams(judge, published, clock, settings.batch_ticks_max, tracing)
    server = GrpcServer(
        settings,
        {PROCESS_STREAM: streams.one, PROCESS_BATCH: streams.many, **standard.methods},
        streams_max=settings.streams_max,
        answers_waiting_max=settings.answers_waiting_max,
        has_room=publisher.has_room,
    )
    publisher.when_room.append(server.go_on)
    upkeep = Periodic(UPKEEP_INTERVAL_S, partial(_keep, windows, health))
    components: list[Component | None] = [tracing, producer, publisher, shared, standard, server, upkeep]
    if settings.consume_raw_ticks:
        database = Postgres(settings, health)
        engine = RawTickEngine(judge, shared, repeats, partial(read_log_id, settings), settings.partitions, clock)
        components += [database, Pipeline(engine, settings, database, producer, health, tracing)]
    await serve(health, settings, components, drain_s=settings.drain_s)


def limits(settings: ValidatorSettings) -> Limits:
    return Limits(
        settings.price_band,
        settings.price_bands,
        round(settings.timestamp_past_max_s * NS_PER_S),
        round(settings.timestamp_future_max_s * NS_PER_S),
    )


async def _keep(windows: Windows, health: Health) -> None:
    windows.forget_quiet(health.clock.now_ns())
    gauge(Metric.VALIDATOR_WINDOW_TICKS).set(windows.ticks())
    gauge(Metric.VALIDATOR_WINDOW_INSTRUMENTS).set(len(windows))
    counter(Metric.VALIDATOR_MERGED_TICKS).inc(windows.take_merged())


def main() -> None:
    run_service("validator", ValidatorSettings, run)
