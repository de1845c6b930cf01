"""The table of who may reach what is what the code does."""

from services.__main__ import SERVICES, settings_classes
from services.api.app import LAG_TOPICS
from services.candles.engine import CandleEngine
from services.contracts.access import ACCESS, DATABASE_SERVICES, Acl, Store
from services.contracts.topics import Topic
from services.gateway.fanout import TOPICS as FANNED_OUT
from services.indicators.engine import IndicatorEngine
from services.matching.engine import MatchingEngine
from services.recorder.engine import RecorderEngine
from services.runtime.settings import KafkaSettings, MigrationSettings, PostgresSettings, RedisSettings

ENGINES: dict[str, type[RecorderEngine | CandleEngine | IndicatorEngine | MatchingEngine]] = {
    "recorder": RecorderEngine,
    "candles": CandleEngine,
    "indicators": IndicatorEngine,
    "matching": MatchingEngine,
}


def test_everything_that_is_started_is_in_the_table() -> None:
    assert {*SERVICES, "migrate"} == set(ACCESS)


def test_the_engines_read_what_the_table_says() -> None:
    for service, engine in ENGINES.items():
        access = ACCESS[service]
        assert access.group == engine.group
        # Beside its inputs each reads the log's identity.
        assert access.reads == {*engine.topics, Topic.FEED_STATE}


def test_gateway_and_api_read_what_the_table_says() -> None:
    assert ACCESS["gateway"].reads == set(FANNED_OUT)
    assert ACCESS["api"].describes == set(Topic) >= set(LAG_TOPICS)
    assert not ACCESS["api"].reads


def test_a_service_has_the_settings_of_the_stores_it_may_reach() -> None:
    for service, settings in settings_classes().items():
        access = ACCESS.get(service)
        if access is not None:
            assert issubclass(settings, KafkaSettings) == bool(access.topics), service
            assert issubclass(settings, PostgresSettings) == (Store.POSTGRES in access.stores), service
            assert issubclass(settings, RedisSettings) == (Store.REDIS in access.stores), service


def test_each_role_can_be_given_a_password() -> None:
    passwords = {name for name in MigrationSettings.model_fields if name.endswith("_database_password")}
    assert passwords == {f"{service}_database_password" for service in DATABASE_SERVICES}


def test_acls_are_the_least_there_can_be() -> None:
    assert ACCESS["api"].acls() == [Acl("topic", topic, frozenset({"Describe"})) for topic in sorted(Topic)]
    assert ACCESS["candles"].acls() == [
        Acl("topic", "candles", frozenset({"Describe", "Write"})),
        Acl("topic", "feed_state", frozenset({"Describe", "Read"})),
        Acl("topic", "market_trades", frozenset({"Describe", "Read"})),
        Acl("group", "candle_builder", frozenset({"Read"})),
    ]
