"""Settings to what the clients of the stores are given."""

import ssl

import pytest
from pydantic import SecretStr

from services.adapters.kafka import connection
from services.adapters.migrate import scram_verifier
from services.adapters.redis import Redis
from services.contracts.errors import ConfigError
from services.runtime.clock import FakeClock
from services.runtime.health import Health
from services.runtime.settings import KafkaSettings, PostgresSettings, RedisSettings
from tests.support.secure import CA

USER = {"kafka_sasl_username": "feed", "kafka_sasl_password": SecretStr("secret")}


def test_kafka_in_the_clear_needs_nothing_but_an_address() -> None:
    assert connection(KafkaSettings.load(kafka_bootstrap_servers="a:1")) == {
        "bootstrap_servers": "a:1",
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_user_is_given_where_the_protocol_has_one(protocol: str) -> None:
    arguments = connection(KafkaSettings.load(kafka_security_protocol=protocol, **USER))
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("feed", "secret")
    assert ("ssl_context" in arguments) == (protocol == "SASL_SSL")


def test_certificates_are_always_checked() -> None:
    context = connection(KafkaSettings.load(kafka_security_protocol="SSL", kafka_ca_file=str(CA)))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    (authority,) = context.get_ca_certs()
    assert "tickplane tests ca" in str(authority["subject"])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_PASSWORD": "hidden"}, "KAFKA_SASL_USERNAME"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "feed"}, "KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_CA_FILE": "/nowhere/ca.crt"}, "KAFKA_CA_FILE"),
    ],
)
def test_a_wrong_setting_is_named_and_no_password_shown(
    settings: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=named) as error:
        KafkaSettings.load()
    assert "hidden" not in str(error.value)


def test_no_settings_object_shows_a_password() -> None:
    settings = [
        KafkaSettings.load(kafka_security_protocol="SASL_SSL", **USER),
        PostgresSettings.load(database_password=SecretStr("secret")),
        RedisSettings.load(redis_password=SecretStr("secret")),
    ]
    assert "secret" not in repr(settings)


def test_a_redis_password_takes_the_place_of_the_urls() -> None:
    settings = RedisSettings.load(redis_url="redis://user:old@127.0.0.1:1/0", redis_password=SecretStr("new"))
    client = Redis(settings, Health("test", FakeClock())).client
    assert client.connection_pool.connection_kwargs["password"] == "new"
    assert client.connection_pool.connection_kwargs["username"] == "user"


def test_postgres_is_never_sent_a_roles_password_but_what_it_keeps_of_it() -> None:
    verifier = scram_verifier("secret")
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert "secret" not in verifier
    assert verifier != scram_verifier("secret"), "each with a salt of its own"
    with pytest.raises(ConfigError):
        scram_verifier("geheim-ß")
