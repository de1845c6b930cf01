"""``tickplane dlq``: what was refused, why, and once its cause is mended, again."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import typer
from rich.table import Table

from services.adapters.kafka import Producer, read_all
from services.cli.settings import CliSettings
from services.cli.tables import show_table
from services.contracts.errors import ConfigError
from services.contracts.events import DeadLetter
from services.contracts.topics import Topic
from services.domain.dead_letters import VALUE_BYTES_MAX
from services.runtime.clock import SystemClock, rfc3339
from services.runtime.health import Health

app = typer.Typer(no_args_is_help=True, help=__doc__)
VALUE_SHOWN_CHARACTERS = 60
TOPICS = (Topic.RAW_TICKS_DLQ, Topic.MARKET_TRADES_DLQ)


@app.command("list")
def list_letters(limit: int = typer.Option(50, min=1, max=10_000)) -> None:
    """The newest dead letters, newest first."""
    letters = asyncio.run(_newest(limit))
    table = Table("key", "failed at", "error", "exchange", "bytes", "value")
    for key, letter in reversed(letters):
        value = letter.original_value[:VALUE_SHOWN_CHARACTERS]
        row = (key, rfc3339(letter.failed_at), letter.error_type, letter.exchange, str(letter.original_size), value)
        table.add_row(*row)
    show_table(table)


@app.command()
def show(key: str) -> None:
    """One dead letter, whole."""
    _key, letter = asyncio.run(_find(key))
    print(msgspec.json.format(msgspec.json.encode(letter), indent=2).decode())


@app.command()
def replay(key: str) -> None:
    """Publish the refused record again on its topic, under its own key."""
    asyncio.run(_replay(key))
    print(f"published {key} again")


async def _newest(limit: int) -> list[tuple[str, DeadLetter]]:
    newest: list[tuple[str, DeadLetter]] = []
    async for item in _letters():
        newest.append(item)
        del newest[:-limit]
    return newest


async def _find(key: str) -> tuple[str, DeadLetter]:
    async with aclosing(_letters()) as letters:
        async for item in letters:
            if item[0] == key:
                return item
    raise ConfigError(f"there is no dead letter {key!r}; see `tickplane dlq list`")


async def _letters() -> AsyncGenerator[tuple[str, DeadLetter]]:
    """Every dead letter, oldest first in each topic, a repeat of a key left out."""
    seen = set()
    for topic in TOPICS:
        async with aclosing(read_all(CliSettings.load(), topic)) as records:
            async for record in records:
                key = (record.key or b"").decode()
                if record.value and key not in seen:
                    seen.add(key)
                    yield key, msgspec.json.decode(record.value, type=DeadLetter)


async def _replay(key: str) -> None:
    _key, letter = await _find(key)
    if letter.original_topic is None:
        raise ConfigError("a feed refused this trade before it was published: the gap's repair brings it again")
    if letter.original_size > VALUE_BYTES_MAX:
        raise ConfigError(f"the value had {letter.original_size} bytes, of which {VALUE_BYTES_MAX} were kept")
    encoded = letter.original_value_encoding == "base64"
    value = base64.b64decode(letter.original_value) if encoded else letter.original_value.encode()
    producer = Producer(CliSettings.load(), Health("cli", SystemClock()))
    await producer.start()
    try:
        original_key = None if letter.original_key is None else letter.original_key.encode()
        await producer.acknowledged([await producer.send(letter.original_topic, original_key, value)])
    finally:
        await producer.stop()
