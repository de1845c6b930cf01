"""`make run`: the whole of Tickplane on this machine, by one command, until Ctrl-C."""

import asyncio
import contextlib
import fcntl
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from services.adapters.kafka import apply_topics
from services.adapters.migrate import migrate
from services.contracts.errors import ConfigError
from services.local import accounts, feeds, prometheus
from services.local.figures import Reading, figures
from services.local.market_maker import MarketMaker
from services.local.ports import is_free
from services.local.scrape import Scrape, scrape
from services.local.screen import Plain, Rich, Screen
from services.local.settings import LocalSettings
from services.local.stack import Stack
from services.local.supervisor import RESTART_BASE_S, Child, State, keep_running
from services.runtime.backoff import Backoff
from services.runtime.settings import MigrationSettings, TopicsSettings

MEGABYTE = 1 << 20
DEPOSIT_TIMEOUT_S = 30.0
DEPOSIT_POLL_S = 0.1


def up(plain: Annotated[bool, typer.Option("--plain", help="Only the logs, no live screen.")] = False) -> None:
    """Run everything on this machine: Kafka, Postgres, Valkey, the edge and every service."""
    settings = LocalSettings.load()
    specs = feeds.read_feeds(settings.feeds)
    settings.folder.mkdir(parents=True, exist_ok=True)
    _check_room(settings)
    with _only_one(settings.folder):
        _check_port(settings)
        screen = Plain() if plain or not sys.stdout.isatty() else Rich(Console())
        try:
            asyncio.run(Run(settings, Stack(settings, specs, screen.line), screen).until_stopped())
        finally:
            screen.close()


class Run:
    """One run: start in order, keep everything alive, stop in reverse order."""

    def __init__(self, settings: LocalSettings, stack: Stack, screen: Screen) -> None:
        self._settings = settings
        self._stack = stack
        self._screen = screen
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._keys: dict[str, str] = {}

    async def until_stopped(self) -> None:
        """Return after SIGTERM, SIGINT or SIGHUP, when everything has ended. Raises ConfigError."""
        stop = asyncio.create_task(_signalled())
        run = asyncio.create_task(self._run())
        try:
            await asyncio.wait([stop, run], return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                await run
        finally:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConfigError):
                await run
            await self._stop()

    async def _run(self) -> None:
        began = asyncio.get_running_loop().time()
        stack, screen = self._stack, self._screen
        screen.children(stack.children)
        for child in stack.children:
            child.changed = self._changed
        await self._migrate()
        later: list[Child] = [stack.edge, *stack.services, *stack.feeds, *stack.watchers]
        for child in later:
            self._keep(child)
        await self._apply_topics()
        await self._all_ready([child for child in stack.children if child not in stack.watchers])
        await self._deposit_first()
        screen.urls(_urls(stack))
        if not stack.watchers:
            screen.say(prometheus.HOW_TO_GET_IT)
        screen.say(f"everything is up after {asyncio.get_running_loop().time() - began:.1f} s")
        await asyncio.gather(self._show_figures(), self._make_market(), *self._keepers.values())

    async def _migrate(self) -> None:
        """Start the stores, and bring the schema to its version while Kafka is still booting."""
        for child in self._stack.stores:
            self._keep(child)
        await self._all_ready([child for child in self._stack.stores if child.part is self._stack.postgres])
        await migrate(MigrationSettings.load(database_url=self._stack.postgres.url, database_password=""))
        self._keys = await accounts.make_keys(self._stack.postgres.url, self._stack.keys_file)

    async def _apply_topics(self) -> None:
        """Make the topics. The services, which take about as long to load as Kafka, wait for them."""
        await self._all_ready(self._stack.stores)
        kafka = {"kafka_bootstrap_servers": self._stack.kafka.url, "kafka_security_protocol": "PLAINTEXT"}
        await apply_topics(TopicsSettings.load(**kafka))

    async def _deposit_first(self) -> None:
        """Once the symbols are listed, so that whoever orders next has something to pay with."""
        async with httpx.AsyncClient(base_url=self._stack.caddy.url, timeout=DEPOSIT_TIMEOUT_S) as client:
            try:
                async with asyncio.timeout(DEPOSIT_TIMEOUT_S):
                    while not await _deposited(client, self._keys):
                        await asyncio.sleep(DEPOSIT_POLL_S)
            except TimeoutError:
                self._screen.say("the order lab takes no deposits: its accounts may have no money")

    async def _make_market(self) -> None:
        if self._settings.market_maker:
            await MarketMaker(self._stack.caddy.url, self._keys, self._screen.say).run()

    def _keep(self, child: Child) -> None:
        backoff = Backoff(RESTART_BASE_S, self._settings.restart_backoff_max_s)
        self._keepers[child.name] = asyncio.create_task(keep_running(child, backoff, self._screen.say))

    async def _all_ready(self, children: Sequence[Child]) -> None:
        """Wait for them. A keeper ends only by an error, which is then raised here."""
        while not all(child.state is State.READY for child in children):
            for keeper in self._keepers.values():
                if keeper.done():
                    await keeper
            await asyncio.sleep(0.02)

    def _changed(self, child: Child) -> None:
        self._stack.write_endpoints()

    async def _show_figures(self) -> None:
        loop = asyncio.get_running_loop()
        async with httpx.AsyncClient(timeout=self._settings.figures_interval_s) as client:
            before = Reading(loop.time(), await self._pages(client))
            while True:
                await asyncio.sleep(self._settings.figures_interval_s)
                now = Reading(loop.time(), await self._pages(client))
                self._screen.figures(figures(before, now))
                before = now

    async def _pages(self, client: httpx.AsyncClient) -> tuple[Scrape, ...]:
        """What is down just now is left out: its state is on the screen."""
        services = (*self._stack.services, *self._stack.feeds)
        answers = await asyncio.gather(*(scrape(client, s.metrics_url) for s in services), return_exceptions=True)
        return tuple(answer for answer in answers if isinstance(answer, Scrape))

    async def _stop(self) -> None:
        """The sources first, then those who read them, the stores last."""
        self._screen.say("stopping")
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        stack = self._stack
        for group in (stack.watchers, stack.feeds, stack.services, [stack.edge], stack.stores):
            await asyncio.gather(*(child.stop() for child in group))
        stack.endpoints_file.unlink(missing_ok=True)


async def _signalled() -> None:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, event.set)
    await event.wait()


async def _deposited(client: httpx.AsyncClient, keys: dict[str, str]) -> bool:
    try:
        return await accounts.deposit_first(client, keys)
    except httpx.HTTPError:
        return False


def _urls(stack: Stack) -> dict[str, str]:
    edge = stack.caddy.url
    return {
        "dashboard": f"{edge}/",
        "markets": f"{edge}/markets",
        "candles": f"{edge}/candles/BTC-USD/1m?exchange=demo",
        "stream": f"{edge.replace('http', 'ws', 1)}/crypto/BTC-USD?exchange=demo",
        "order book": f"{edge}/v1/book/DEMO-USD",
        "order lab's keys": str(stack.keys_file),
        "gRPC": stack.grpc,
        **({} if stack.prometheus is None else {"alerts": f"{stack.prometheus.part.url}/alerts"}),
        "health": f"{edge}/ready",
        "everything else": str(stack.endpoints_file),
    }


def _check_room(settings: LocalSettings) -> None:
    free_mb = shutil.disk_usage(settings.folder).free // MEGABYTE
    if free_mb < settings.disk_free_min_mb:
        raise ConfigError(
            f"{settings.folder} has {free_mb} MB free, TICKPLANE_DISK_FREE_MIN_MB is {settings.disk_free_min_mb}: "
            "make room, or set TICKPLANE_FOLDER to a folder on another disk"
        )


def _check_port(settings: LocalSettings) -> None:
    if settings.port and not is_free(settings.port, settings.host):
        raise ConfigError(f"port {settings.port} is taken: set TICKPLANE_PORT to another, or to 0 for a free one")


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """The kernel drops the lock with the process, however it ends."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"a run is active in {folder} already: stop it, or set TICKPLANE_FOLDER") from None
        yield
