"""No secret is told, however it is written, and settings that are wrong do not quote one."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from services.contracts.errors import ConfigError
from services.feed.settings import FeedSettings
from services.runtime import redaction
from services.runtime.redaction import INSTEAD, learn, redacted
from services.runtime.settings import KafkaSettings, PostgresSettings, RedisSettings, TracingSettings
from tests.support.canaries import spellings

PASSWORD = 'pa/ss "wörd"@+%'


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    redaction._known.clear()


def url(scheme: str) -> str:
    return f"{scheme}://me:{quote(PASSWORD, safe='')}@localhost:1/0"


@pytest.mark.parametrize("spelling", spellings(PASSWORD, "me"))
def test_the_password_of_a_url_is_taken_out_however_it_is_written(spelling: str) -> None:
    assert spelling in redacted(f"before {spelling} after"), "nobody knows it yet"
    learn(PostgresSettings.load(database_url=url("postgresql")))
    assert redacted(f"before {spelling} after") == f"before {INSTEAD} after"


def test_a_password_among_the_urls_options_is_one_too() -> None:
    learn(PostgresSettings.load(database_url="postgresql://localhost/x?user=me&password=open%20sesame"))
    assert redacted("it was 'open sesame'") == f"it was '{INSTEAD}'"


def test_what_else_the_url_says_is_no_secret() -> None:
    learn(RedisSettings.load(redis_url=url("redis")))
    assert redacted("cannot connect to localhost:1 as me") == "cannot connect to localhost:1 as me"


def test_a_password_apart_is_taken_out() -> None:
    learn(KafkaSettings.load(kafka_sasl_password="open sesame"))
    assert redacted("sesame, open sesame!") == f"sesame, {INSTEAD}!"


@pytest.mark.parametrize("said", ["Bearer%20the-token", "Bearer the-token", "the-token"])
def test_what_traces_are_sent_with_is_taken_out(said: str) -> None:
    learn(TracingSettings.load(otlp_headers="authorization=Bearer%20the-token,tenant=me"))
    assert "the-token" not in redacted(f"refused: {said}")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("at redis://:sesame@localhost:1/0", f"at redis://:{INSTEAD}@localhost:1/0"),
        ("'https://me:open/sesame@host/x'", f"'https://me:{INSTEAD}@host/x'"),
        ("https://host:1/path?time=12:30", "https://host:1/path?time=12:30"),
        ("Authorization: Bearer abcdefgh.ijkl", f"Authorization: Bearer {INSTEAD}"),
        ("Basic bWU6c2VzYW1l", f"Basic {INSTEAD}"),
        ("a basic mistake", "a basic mistake"),
        ("/v1/orders/tpk_Ab-c_9", f"/v1/orders/{INSTEAD}"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_though_nobody_knows_it(text: str, left: str) -> None:
    assert redacted(text) == left


def test_a_secret_of_three_letters_is_not_looked_for() -> None:
    learn(KafkaSettings.load(kafka_sasl_password="the"))
    assert redacted("the weather") == "the weather"


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://me:open/sesame@localhost/x",
        "postgresql://me:open#sesame@localhost/x",
        "postgresql://me:123/sesame@localhost/x",
        "postgresql://me:sesame@[localhost/x",
        "postgresql://me:sesame@localhost:seven/x",
        "sesame",
    ],
)
def test_a_url_that_cannot_be_read_is_named_and_not_quoted(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^DATABASE_URL: ") as raised:
        PostgresSettings.load(database_url=wrong)
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    "right",
    [
        "postgresql://localhost",
        "postgres://me:sesame@one:1,two:2/x?target_session_attrs=read-write",
        "postgresql:///x?host=/run/postgresql",
        "postgresql://me:a:b@[::1]:5432/x",
    ],
)
def test_what_asyncpg_takes_is_taken(right: str) -> None:
    assert PostgresSettings.load(database_url=right).database_url == SecretStr(right)


@pytest.mark.parametrize("wrong", ["sesame", "=sesame", "a=1,sesame", "a b=sesame", "a=s\u00e9same"])
def test_headers_that_cannot_be_read_are_named_and_not_quoted(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_HEADERS: ") as raised:
        TracingSettings.load(otlp_headers=wrong)
    assert wrong not in str(raised.value)


def test_json_that_cannot_be_read_is_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKPLANE_VENUE_SETTINGS", '{"key": sesame}')
    with pytest.raises(ConfigError, match=r"^TICKPLANE_VENUE_SETTINGS: it is not the JSON that is wanted$"):
        FeedSettings.load()


def test_settings_do_not_show_what_is_secret() -> None:
    shown = repr(PostgresSettings.load(database_url=url("postgresql"), database_password="sesame"))
    assert not [spelling for spelling in [*spellings(PASSWORD, "me"), "sesame"] if spelling in shown]
