"""The services as the database's users that a cluster makes them: each does its work with its grants and no more."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import msgspec
import pytest

from services.adapters.api_keys import Scope, create_key
from services.adapters.migrate import Migrated, migrate
from services.adapters.postgres import Connection, connect, migrations, sql
from services.contracts.access import DATABASE_SERVICES, database_role
from services.contracts.errors import ConfigError, InfraError
from services.contracts.topics import Topic
from services.runtime.clock import NS_PER_S, SystemClock
from services.runtime.settings import MigrationSettings, PostgresSettings
from tests.conftest import StartService
from tests.crash import verdict
from tests.integration.test_pipeline import KEY, STATE, send
from tests.support.database import fetch
from tests.support.log import publish
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.secure import CA, ELSEWHERE, OTHER_CA, postgres_with_tls
from tests.support.services import ROOT
from tests.support.trades import Mix, generate

pytestmark = pytest.mark.parts

CONSUMERS = ("recorder", "candles", "indicators")
FOR_EVER: dict[str, Any] = {"TICKPLANE_RETENTION_DAYS": 0}
PREVIOUS_RELEASE = "7ba575f405c7c23d203d43580148d22d329c5385"
"""The last commit whose services know the schema's version 2."""

PIPELINE = {"position_take", "position_advance", "position_show", "product_states_load", "product_states_store"}
RESET = {"position_reset", "product_states_blank"}
STATEMENTS: dict[str, set[str]] = {
    "recorder": {
        *(PIPELINE | RESET),
        "trades_partition_make",
        "trades_partitions_drop",
        "trades_number_runs",
        "trades_unnumbered",
        "trade_newest",
        "gaps_store",
        "gaps_close",
        "feed_products_store",
    },
    "candles": {
        *(PIPELINE | RESET),
        "candles_newest_sequence",
        "candles_range",
        "candles_read",
        "candles_store",
        "candles_unfinished",
        "candles_unsequence",
        "candles_prune",
        "group_is_behind",
        "product_partition",
        "product_state_replace",
        "product_state_take",
        "trades_number_runs",
        "trades_range",
        "trades_unnumbered",
    },
    "indicators": {
        *(PIPELINE | RESET),
        "indicator_bars_begin",
        "indicator_bars_history",
        "indicator_bars_prune",
        "indicator_bars_store",
        "group_is_behind",
        "trades_newest",
        "trades_number_runs",
        "trades_unnumbered",
    },
    "validator": {"position_take", "position_advance", "position_show", "position_reset"},
    "api": {
        "api_candles",
        "api_gap_counts",
        "api_gaps",
        "api_newest_trades",
        "api_positions",
        "api_probe",
        "api_products",
        "api_trades",
    },
    "orders": {
        "api_key_find",
        "api_key_store",
        "api_keys_list",
        "api_keys_revoke",
        "balances_of_account",
        "balances_sums",
        "executions_of_account",
        "executions_of_order",
        "executions_public",
        "lab_trade",
        "order_book",
        "order_id_claim",
        "order_id_find",
        "order_ids_prune",
        "order_steps_list",
        "orders_find",
        "orders_list",
        "symbols_read",
        "transfers_of_account",
    },
    "matching": {
        *("position_take", "position_advance", "position_show", "position_reset"),
        "lab_balances_store",
        "lab_executions_after",
        "lab_fills",
        "lab_forget",
        "lab_is_ahead",
        "lab_orders_change",
        "lab_orders_filled",
        "lab_symbol_store",
        "matching_snapshot_store",
        "matching_snapshots_load",
        "matching_snapshots_prune",
    },
}
"""What each service runs, the tools for its data (`positions reset`, `rebuild`, `keys`) included."""
LAB_ACCOUNTS: dict[str, tuple[Scope, ...]] = {
    "seller": ("read", "trade"),
    "buyer": ("read", "trade"),
    "operations": ("admin",),
}
BY_COPY = {"recorder": {"trades"}, "matching": {"orders", "order_steps", "executions", "transfers"}}
"""The tables that each writes to without a statement of ours."""
COPIES = {"trades_staging", "trades_from_staging"}
"""What goes with COPY, which the recorder's own run shows."""


def password_of(service: str) -> str:
    return f"the password of {service}"


def as_user(database_url: str, user: str, password: str) -> str:
    parts = urlsplit(database_url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password.replace(' ', '%20')}@{parts.hostname}:{parts.port}"))


def as_service(database_url: str, service: str) -> str:
    return as_user(database_url, database_role(service), password_of(service))


def settings(database_url: str, **given: Any) -> MigrationSettings:
    return MigrationSettings.load(database_url=database_url, **given)


async def migrate_with_logins(database_url: str) -> None:
    passwords = {f"{service}_database_password": password_of(service) for service in DATABASE_SERVICES}
    assert (await migrate(settings(database_url, **passwords))).logins == tuple(map(database_role, DATABASE_SERVICES))


@pytest.fixture
async def roles_url(database_url: str) -> str:
    """A migrated database that every service's role may log in to."""
    await migrate_with_logins(database_url)
    return database_url


# ---- what each role may do


async def test_the_services_do_all_their_work_as_their_own_roles(
    service: StartService, roles_url: str, bootstrap_servers: str, free_port: Callable[[], int]
) -> None:
    """Repeats that only the primary key stops, late trades, gaps, states that cannot be read, and all of it exact."""
    trades = generate(4_000, Mix(products=3), seed=31)
    consumers = [await service(name, DATABASE_URL=as_service(roles_url, name), **FOR_EVER) for name in CONSUMERS]
    api = await service("api", DATABASE_URL=as_service(roles_url, "api"), TICKPLANE_API_PORT=free_port())
    await publish(bootstrap_servers, trades[:2_000])
    await send(bootstrap_servers, KEY, msgspec.json.encode(STATE), Topic.FEED_STATE)
    await eventually(lambda: verdict.caught_up(roles_url, bootstrap_servers))
    for consumer in consumers:
        await consumer.terminate()
    # The states of all, and for one product of the recorder even what is seen: only the primary key stops its repeats.
    await fetch(roles_url, "UPDATE product_states SET state = '' WHERE consumer_group <> 'raw_consumer'")
    await fetch(roles_url, "DELETE FROM product_states WHERE consumer_group = 'raw_consumer' AND product_id = 'P0-USD'")
    for consumer in consumers:
        await consumer.start()
    await publish(bootstrap_servers, trades[1_900:])
    await eventually(lambda: verdict.caught_up(roles_url, bootstrap_servers))
    await api.wait_ready()
    assert await verdict.differences(roles_url, bootstrap_servers, trades, indicators=False) == []
    assert await fetch(roles_url, "SELECT FROM gaps") != []
    assert (await consumers[0].metrics()).total("primary_key_repeats_total") > 0
    probed = await api.metrics()
    assert probed.total("postgres_database_size_bytes") > 0
    assert probed.total("postgres_connections") > len(consumers), "those of other roles too"
    assert not [line for consumer in consumers for line in consumer.log.read_text().splitlines() if "denied" in line]


async def test_an_order_is_placed_matched_and_recovered_by_services_with_their_own_roles(
    service: StartService, roles_url: str, free_port: Callable[[], int]
) -> None:
    as_orders, port = as_service(roles_url, "orders"), free_port()
    matching = await service("matching", DATABASE_URL=as_service(roles_url, "matching"), TICKPLANE_SNAPSHOT_COMMANDS=1)
    orders = await service("orders", DATABASE_URL=as_orders, TICKPLANE_ORDERS_PORT=port)
    connection = await asyncpg.connect(as_orders)
    keys = {name: await create_key(connection, name, scopes) for name, scopes in LAB_ACCOUNTS.items()}
    await connection.close()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def took(account: str, path: str, **body: str) -> bool:
            answer = await client.post(path, json=body, headers={"X-API-Key": keys[account]})
            assert answer.status_code == 202, answer.text
            return True

        async def filled(order_id: str) -> bool:
            answer = await client.get(f"/v1/orders/{order_id}", headers={"X-API-Key": keys["buyer"]})
            return bool(answer.json().get("state") == "filled")

        for account, asset in (("seller", "DEMO"), ("buyer", "USD")):
            deposit = {"id": asset, "asset": asset, "amount": "500"}
            await eventually(partial(took, "operations", f"/v1/accounts/{account}/deposits", **deposit))
        await took("seller", "/v1/orders", id="s", symbol="DEMO-USD", side="sell", price="100", quantity="2")
        await took("buyer", "/v1/orders", id="b1", symbol="DEMO-USD", price="100", quantity="1")
        await eventually(lambda: filled("b1"))
        await eventually(lambda: fetch(roles_url, "SELECT FROM matching_snapshots"))
        await matching.kill()
        await matching.start()
        await took("buyer", "/v1/orders", id="b2", symbol="DEMO-USD", price="100", quantity="1")
        await eventually(lambda: filled("b2"))
    assert not [line for one in (matching, orders) for line in one.log.read_text().splitlines() if "denied" in line]


def test_every_statement_is_somebodys() -> None:
    folder = ROOT / "services" / "contracts" / "sql"
    assert {path.stem for path in folder.glob("*.sql")} == COPIES.union(*STATEMENTS.values())


async def explain(connection: Connection, statements: Iterable[str]) -> None:
    """Have Postgres check what a statement needs, without running it."""
    for name in sorted(statements):
        await connection.execute(f"EXPLAIN (GENERIC_PLAN) {sql(name)}")


@pytest.mark.parametrize("service", DATABASE_SERVICES)
async def test_a_role_has_the_grants_of_its_statements_and_none_besides(roles_url: str, service: str) -> None:
    role = await asyncpg.connect(as_service(roles_url, service))
    owner = await asyncpg.connect(roles_url)
    try:
        await explain(role, STATEMENTS[service])
        for row in await owner.fetch(
            "SELECT table_name AS table, privilege_type AS privilege FROM information_schema.role_table_grants "
            "WHERE grantee = $1 AND table_schema = 'public' AND table_name <> 'schema_version'",
            database_role(service),
        ):
            grant = f"{row['privilege']} ON {row['table']}"
            if row["privilege"] == "INSERT" and row["table"] in BY_COPY.get(service, ()):
                continue
            async with owner.transaction():
                await owner.execute(f"REVOKE {grant} FROM {database_role(service)}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await explain(role, STATEMENTS[service])
            await owner.execute(f"GRANT {grant} TO {database_role(service)}")
    finally:
        await role.close()
        await owner.close()


@pytest.mark.parametrize("service", DATABASE_SERVICES)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (a int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "ALTER TABLE trades ADD COLUMN mine int",
        "DROP TABLE gaps",
        "TRUNCATE candles",
        "DELETE FROM trades",
        "CREATE ROLE mine",
        "INSERT INTO schema_version VALUES (99)",
    ],
)
async def test_control_what_a_service_is_not_for_is_refused(roles_url: str, service: str, statement: str) -> None:
    connection = await asyncpg.connect(as_service(roles_url, service))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_days_are_made_and_dropped_for_the_recorder_alone(roles_url: str) -> None:
    for service in ("candles", "indicators", "api"):
        for statement in (sql("trades_partition_make"), sql("trades_partitions_drop")):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await fetch(as_service(roles_url, service), statement, 20_000)
    recorder = as_service(roles_url, "recorder")
    today = SystemClock().now_ns() // (86_400 * NS_PER_S)
    for day in (today - 2, today, today + 1):
        await fetch(recorder, sql("trades_partition_make"), day)
    assert (await fetch(recorder, sql("trades_partitions_drop"), 50_000))[0][0] == 1, "today is never dropped"


# ---- how they come about


async def test_migrating_again_changes_nothing_and_several_at_once_are_as_good_as_one(parts: Parts) -> None:
    url = await parts.empty_database()
    newest = migrations()[-1][0]
    done = await asyncio.gather(*(migrate(settings(url)) for _ in range(4)))
    assert sorted(one.before for one in done) == [0, newest, newest, newest]
    assert {one.version for one in done} == {newest}
    assert await migrate(settings(url)) == Migrated(newest, newest, (), ())
    await parts.drop_database(url)


@pytest.fixture
async def without_roles(parts: Parts, database_url: str) -> str:
    """A database on a server that nobody has made the roles on; what tests before granted goes with them."""
    for role in map(database_role, DATABASE_SERVICES):
        for database in await fetch(database_url, "SELECT datname FROM pg_database WHERE datallowconn"):
            await fetch(parts.postgres.database_url(database["datname"]), f"DROP OWNED BY {role}")
        await fetch(database_url, f"DROP ROLE {role}")
    return database_url


async def test_a_migrator_that_may_make_roles_needs_no_superuser(parts: Parts, without_roles: str) -> None:
    await fetch(without_roles, "CREATE ROLE migrator LOGIN CREATEROLE PASSWORD 'm'")
    url = await parts.empty_database(owner="migrator")
    try:
        await migrate_with_logins(as_user(url, "migrator", "m"))
        await fetch(as_service(url, "recorder"), sql("trades_partition_make"), 20_000)
        owners = await fetch(url, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert [row["tableowner"] for row in owners] == ["migrator"], "a day's partition too"
    finally:
        await parts.drop_database(url)
        await fetch(without_roles, "DROP ROLE migrator")


async def test_roles_are_made_waited_for_or_left_out(parts: Parts, without_roles: str) -> None:
    await fetch(without_roles, "CREATE ROLE plain LOGIN PASSWORD 'p'")
    url = await parts.empty_database(owner="plain")
    plain = as_user(url, "plain", "p")
    try:
        with pytest.raises(ConfigError, match="plain may not make the role tickplane_recorder, "):
            await migrate(settings(plain))
        assert (await migrate(settings(plain, database_roles="none"))).roles_made == ()
        with pytest.raises(InfraError, match="nobody has made the role tickplane_recorder"):
            await migrate(settings(plain, database_roles="wait"))
        # As CloudNativePG does: the roles, with their passwords, but not the grants.
        for service in DATABASE_SERVICES:
            await fetch(url, f"CREATE ROLE {database_role(service)} LOGIN PASSWORD '{password_of(service)}'")
        assert (await migrate(settings(plain, database_roles="wait"))).roles_made == ()
        for service in DATABASE_SERVICES:
            await fetch(as_service(url, service), "SELECT FROM schema_version")
    finally:
        await parts.drop_database(url)
        await fetch(without_roles, "DROP ROLE plain")


async def test_a_role_is_made_that_cannot_log_in_until_it_has_a_password(without_roles: str) -> None:
    assert (await migrate(settings(without_roles))).roles_made == tuple(map(database_role, DATABASE_SERVICES))
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await fetch(as_service(without_roles, "api"), "SELECT 1")
    await migrate_with_logins(without_roles)
    await fetch(as_service(without_roles, "api"), "SELECT 1")


async def test_a_user_who_may_not_migrate_is_named(roles_url: str) -> None:
    await fetch(roles_url, "DELETE FROM schema_version WHERE version > 2")
    with pytest.raises(ConfigError, match="tickplane_api may not do what migrating takes"):
        await migrate(settings(as_service(roles_url, "api")))


# ---- passwords and TLS


async def test_a_service_waits_for_its_password_to_be_the_databases(
    service: StartService, roles_url: str, bootstrap_servers: str
) -> None:
    """A rotation in the order that hurts: the service starts with the new password before the database has it."""
    url = roles_url.replace("postgres:", f"{database_role('candles')}:", 1)
    assert url.startswith("postgresql://tickplane_candles:"), "with the superuser's password, which is not the role's"
    candles = await service("candles", DATABASE_URL=url, DATABASE_PASSWORD="new")

    async def waits() -> bool:
        return "InvalidPassword" in str((await candles.ready())["dependencies"])

    await eventually(waits)
    await migrate(settings(roles_url, candles_database_password="new"))
    await candles.wait_ready()


async def test_tls_is_what_the_url_says(parts: Parts, roles_url: str) -> None:
    database = roles_url.rpartition("/")[2]

    async def encrypted(mode: str, authority: Path) -> bool:
        url = f"postgresql://postgres@localhost:{port}/{database}?sslmode={mode}&sslrootcert={authority}"
        password = urlsplit(roles_url).password
        connection = await connect(PostgresSettings.load(database_url=url, database_password=password))
        try:
            return connection._transport.get_extra_info("ssl_object") is not None  # type: ignore[attr-defined]
        finally:
            await connection.close()

    async with postgres_with_tls(parts.postgres.port) as port:
        assert await encrypted("verify-full", CA)
        assert await encrypted("require", CA)
        for mode in ("verify-full", "verify-ca"):
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                await encrypted(mode, OTHER_CA)
    async with postgres_with_tls(parts.postgres.port, ELSEWHERE) as port:
        assert await encrypted("verify-ca", CA)
        with pytest.raises(OSError, match="not valid for 'localhost'"):
            await encrypted("verify-full", CA)


# ---- the version before


@pytest.fixture(scope="module")
def previous_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the services as they were before."""
    folder = tmp_path_factory.mktemp("previous")
    found = subprocess.run(["git", "archive", PREVIOUS_RELEASE, "services"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"this checkout does not have the commit {PREVIOUS_RELEASE}")
    subprocess.run(["tar", "-x", "-C", folder], input=found.stdout, check=True)
    return folder


async def test_the_version_before_runs_on_this_schema(
    service: StartService, database_url: str, bootstrap_servers: str, previous_release: Path
) -> None:
    trades = generate(4_000, Mix(products=3), seed=32)
    old = {"PYTHONPATH": previous_release, "PYTHONSAFEPATH": "1", **FOR_EVER}
    consumers = [await service(name, **old) for name in CONSUMERS]
    await publish(bootstrap_servers, trades[:2_000])
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers))
    for consumer in consumers:
        assert await consumer.terminate() == 0
    # And back: what this version goes on with.
    for name in CONSUMERS:
        await service(name, **FOR_EVER)
    await publish(bootstrap_servers, trades[1_900:])
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers))
    assert await verdict.differences(database_url, bootstrap_servers, trades, indicators=False) == []


async def test_the_version_before_really_runs(previous_release: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(previous_release), "PYTHONSAFEPATH": "1"}
    script = "import services; print(services.__path__[0])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.decode().startswith(str(previous_release))
