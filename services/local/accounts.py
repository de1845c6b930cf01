"""The accounts of `make run`: their API keys, and what they begin with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import asyncpg
import httpx

from services.adapters.api_keys import Scope, create_key, find_key, key_hash
from services.adapters.postgres import Connection
from services.local.private import write_private


@dataclass(frozen=True)
class Account:
    """One key's scopes, and what is deposited at the first start."""

    scopes: tuple[Scope, ...]
    deposits: Mapping[str, Decimal]


_CLIENT = Account(("read", "trade"), {"USD": Decimal(1_000_000), "BTC": Decimal(10), "DEMO": Decimal(10_000)})
_BOT = Account(("read", "trade"), {"USD": Decimal(100_000_000), "DEMO": Decimal(1_000_000)})
ACCOUNTS: Mapping[str, Account] = {
    "alice": _CLIENT,
    "bob": _CLIENT,
    "maker": _BOT,
    "taker": _BOT,
    "admin": Account(("read", "trade", "admin"), {}),
}
ANONYMOUS = "alice"
"""Whose orders those are that come without a key, unless a setting says otherwise."""


async def make_keys(database_url: str, file: Path) -> dict[str, str]:
    """Each account's key: the one in the file (JSON), or a new one where the database does not know it."""
    known = _known_keys(file)
    connection = await asyncpg.connect(database_url)
    try:
        keys = {name: await _key(connection, name, known.get(name, "")) for name in ACCOUNTS}
    finally:
        await connection.close()
    if keys != known:
        write_private(file, json.dumps(keys, indent=2))
    return keys


async def deposit_first(http: httpx.AsyncClient, keys: Mapping[str, str]) -> bool:
    """Have every account begin with something of what is traded. False while nothing is listed yet.

    What was deposited once is not deposited again, whenever that was. Raises httpx.HTTPError where the order entry does
    not take it.
    """
    admin = {"X-API-Key": keys["admin"]}
    symbols = (await http.get("/v1/symbols", headers=admin)).raise_for_status().json()
    traded = {(each[side], each["market_group"]) for each in symbols for side in ("base", "quote")}
    for name, account in ACCOUNTS.items():
        path = f"/v1/accounts/{name}"
        answer = (await http.get(path, headers=admin)).raise_for_status()
        has = {balance["asset"] for balance in answer.json()["balances"]}
        for asset, group in sorted(traded):
            if asset in account.deposits and asset not in has:
                deposit = {
                    "id": f"first-{asset}-{group}",
                    "asset": asset,
                    "amount": str(account.deposits[asset]),
                    "market_group": group,
                }
                (await http.post(f"{path}/deposits", headers=admin, json=deposit)).raise_for_status()
    return bool(traded)


def _known_keys(file: Path) -> dict[str, str]:
    return json.loads(file.read_text()) if file.exists() else {}


async def _key(connection: Connection, account: str, known: str) -> str:
    if known and await find_key(connection, key_hash(known)) is not None:
        return known
    return await create_key(connection, account, ACCOUNTS[account].scopes, "make run")
