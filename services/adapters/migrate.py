"""Brings the database to this version: the schema, the services' roles, and what they are granted.

Migrations only add: the version before runs on the schema after. Grants are written down a role a file
(``contracts/sql/roles``) and given every time, so that a role made later gets them too.
"""

import contextlib
import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from services.adapters.postgres import Connection, connect, migrations, sql
from services.contracts.access import DATABASE_SERVICES, database_role
from services.contracts.errors import ConfigError, InfraError
from services.runtime.settings import MigrationSettings

LOCK = 7_201_954
"""The advisory lock that lets one migrator in at a time."""
SCRAM_ITERATIONS = 4_096
"""As many as Postgres itself takes by default."""


@dataclass(frozen=True)
class Migrated:
    """What was done: the schema's version before and after, the roles that were made, those given a password."""

    before: int
    version: int
    roles_made: tuple[str, ...]
    logins: tuple[str, ...]


async def migrate(settings: MigrationSettings) -> Migrated:
    """Do what is missing. Several at once are as good as one.

    Raises InfraError where roles are to be waited for and are not there yet, ConfigError where the user may not do what
    is to be done, and ``postgres.NOT_READY`` while Postgres is away.
    """
    connection = await connect(settings)
    try:
        async with one_at_a_time(connection):
            before, version = await _migrate_schema(connection)
        async with one_at_a_time(connection):
            made, logins = await _apply_roles(connection, settings)
        return Migrated(before, version, made, logins)
    except asyncpg.InsufficientPrivilegeError as error:
        user = await connection.fetchval("SELECT current_user")
        raise ConfigError(f"DATABASE_URL: {user} may not do what migrating takes: {error}") from error
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def one_at_a_time(connection: Connection) -> AsyncIterator[None]:
    """A transaction that begins when no other migrator is in one."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        yield


async def _migrate_schema(connection: Connection) -> tuple[int, int]:
    await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY)")
    before = version = int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version"))
    for number, statements in migrations():
        if number > before:
            await connection.execute(statements)
            await connection.execute("INSERT INTO schema_version VALUES ($1)", number)
            version = number
    return before, version


async def _apply_roles(connection: Connection, settings: MigrationSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if settings.database_roles == "none":
        return (), ()
    roles = [database_role(service) for service in DATABASE_SERVICES]
    there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    missing = tuple(role for role in roles if role not in there)
    if missing and settings.database_roles == "wait":
        raise InfraError("postgres", f"nobody has made the role {', '.join(missing)} yet")
    if missing:
        await _check_may_make_roles(connection, missing)
    for role in missing:
        await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    for role in roles:
        await connection.execute(sql(f"roles/{role}"))
    return missing, await _set_passwords(connection, settings)


async def _check_may_make_roles(connection: Connection, missing: tuple[str, ...]) -> None:
    row = await connection.fetchrow(
        "SELECT rolname, rolsuper OR rolcreaterole AS may FROM pg_roles WHERE rolname = current_user"
    )
    if row is None or not row["may"]:
        user = row and row["rolname"]
        raise ConfigError(
            f"TICKPLANE_DATABASE_ROLES: {user} may not make the role {', '.join(missing)}: have it made (CREATE ROLE … "
            f"NOLOGIN) and migrate again, or set `none` where the services log in as {user}"
        )


async def _set_passwords(connection: Connection, settings: MigrationSettings) -> tuple[str, ...]:
    """Let those roles log in that are given a password."""
    logins = []
    for service in DATABASE_SERVICES:
        password = getattr(settings, f"{service}_database_password").get_secret_value()
        if password:
            await connection.execute(f"ALTER ROLE {database_role(service)} LOGIN PASSWORD '{scram_verifier(password)}'")
            logins.append(database_role(service))
    return tuple(logins)


def scram_verifier(password: str) -> str:
    """What Postgres keeps of a password, so that its log never gets the password itself (RFC 5803). Raises ConfigError.

    https://www.postgresql.org/docs/current/catalog-pg-authid.html
    """
    if not password.isascii():
        raise ConfigError("a password for a role wants ASCII characters only")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ITERATIONS, *encoded)
