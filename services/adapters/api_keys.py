"""API keys: who may do what in the order lab. Postgres has their SHA-256; a key is shown once, when it is made."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import asyncpg

from services.adapters.postgres import Connection, sql
from services.contracts.errors import ConfigError
from services.contracts.lab import API_KEY_PREFIX, is_client_account

Scope = Literal["read", "trade", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""``read`` one's own account and the market, ``trade``, and ``admin``: every account, deposits, halts."""
KEY_BYTES = 32
HASH_PREFIX_MIN_CHARACTERS = 8
LIST_MAX = 10_000


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do. ``account`` is None for who has no key where nobody may be without."""

    account: str | None
    scopes: frozenset[Scope]


def key_hash(key: str) -> bytes:
    """What is stored. 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).digest()


async def create_key(connection: Connection, account: str, scopes: Iterable[Scope], label: str = "") -> str:
    """A new key, which is nowhere but in what is returned. Raises ConfigError for an account that no client has."""
    if not is_client_account(account):
        raise ConfigError(f"no client may have the account {account!r}: letters, digits, ., _ and -, not world or fees")
    key = API_KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    await connection.execute(sql("api_key_store"), key_hash(key), account, sorted(set(scopes)), label)
    return key


async def find_key(connection: Connection, hashed: bytes) -> Caller | None:
    """Whose key it is; None for one that is not there or revoked."""
    row = await connection.fetchrow(sql("api_key_find"), hashed)
    return None if row is None else Caller(row["account"], frozenset(row["scopes"]))


async def list_keys(connection: Connection) -> list[asyncpg.Record]:
    """Newest first: key_hash (hex), account, scopes, label, created_at, revoked_at."""
    return list(await connection.fetch(sql("api_keys_list"), LIST_MAX))


async def revoke_key(connection: Connection, hash_prefix: str) -> str:
    """Revoke the one key whose hash begins so (hex). Raises ConfigError where there is none, or more than one."""
    if len(hash_prefix) < HASH_PREFIX_MIN_CHARACTERS:
        raise ConfigError(
            f"give {HASH_PREFIX_MIN_CHARACTERS} characters of the hash at least; see `tickplane keys list`"
        )
    fitting = await connection.fetch(sql("api_keys_revoke"), hash_prefix)
    if len(fitting) != 1:
        raise ConfigError(f"{len(fitting)} keys have a hash that begins so; see `tickplane keys list`")
    return str(fitting[0][0])
