"""``tickplane keys``: who may do what in the order lab."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.table import Table

from services.adapters import api_keys
from services.adapters.api_keys import SCOPES, Scope
from services.adapters.postgres import Connection, connect
from services.cli.settings import CliSettings
from services.cli.tables import show_table
from services.contracts.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help=__doc__)
HASH_SHOWN_CHARACTERS = 16


@app.command()
def create(
    account: Annotated[str, typer.Option(help="Whose orders and balances the key is for.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do, once for each: {', '.join(SCOPES)}.")],
    label: Annotated[str, typer.Option(help="What it is used for.")] = "",
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    scopes = [_scope(text) for text in scope]
    print(asyncio.run(_with_connection(lambda c: api_keys.create_key(c, account, scopes, label))))


@app.command("list")
def list_keys() -> None:
    """The keys, newest first, by the beginning of their hashes."""
    table = Table("hash", "account", "scopes", "label", "created", "revoked")
    for row in asyncio.run(_with_connection(api_keys.list_keys)):
        revoked = f"{row['revoked_at']:%Y-%m-%d %H:%M:%S}" if row["revoked_at"] else ""
        cells = (row["key_hash"][:HASH_SHOWN_CHARACTERS], row["account"], ", ".join(row["scopes"]), row["label"])
        table.add_row(*cells, f"{row['created_at']:%Y-%m-%d %H:%M:%S}", revoked)
    show_table(table)


@app.command()
def revoke(hash: Annotated[str, typer.Argument(help="The beginning of the key's hash, as `list` shows it")]) -> None:
    """Take a key back. It stops working within seconds (TICKPLANE_API_KEY_REFRESH_S)."""
    revoked = asyncio.run(_with_connection(lambda c: api_keys.revoke_key(c, hash)))
    print(f"revoked {revoked[:HASH_SHOWN_CHARACTERS]}")


def _scope(text: str) -> Scope:
    """Typer reads no list of literals."""
    for scope in SCOPES:
        if scope == text:
            return scope
    raise ConfigError(f"--scope {text}: it is one of {', '.join(SCOPES)}")


async def _with_connection[T](work: Callable[[Connection], Awaitable[T]]) -> T:
    connection = await connect(CliSettings.load())
    try:
        return await work(connection)
    finally:
        await connection.close()
