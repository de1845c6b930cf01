"""``tickplane replay``: recorded frames, served in the exchange's own protocol."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

import typer

from services.contracts.errors import ConfigError
from services.replay.dialects import names
from services.replay.exchange import LOOPBACK, FakeExchange
from services.replay.faults import Fault, read_script
from services.replay.playback import play, restamp
from services.replay.recordings import Recording, read_recording
from services.replay.settings import ReplaySettings
from services.runtime.clock import SystemClock


def replay(
    files: list[Path] = typer.Argument(help="Recordings of one exchange: frames or CSV, .gz or not."),
    speed: str = typer.Option("1", help="Times the recorded pace: 1, 10, or max, as fast as the clients read."),
    port: int = typer.Option(9901, min=0, max=65_535, help="Of the WebSocket and of the REST history. 0: a free one."),
    host: str = typer.Option(LOOPBACK, help="Where to listen."),
    protocol: str | None = typer.Option(None, help=f"{', '.join(names())}. Default: told from the files."),
    restamped: bool = typer.Option(False, "--restamp", help="Move ids and times, so that this run has new trades."),
    script: Path | None = typer.Option(None, help="JSON: what shall go wrong, and when."),
    leave: bool = typer.Option(False, "--exit", help="End when everything is played, instead of at Ctrl-C."),
) -> None:
    """Be the exchange: play recordings in its own protocol, with its history over REST on the same port.

    It begins when the first client has subscribed. Point a feed's endpoint at it.
    """
    settings = ReplaySettings.load()
    pace = _pace(speed)
    faults = [] if script is None else _script(script)
    recording = read_recording(files, protocol, settings.replay_frames_max)
    if restamped:
        recording = recording.shifted(restamp(recording, SystemClock().now_ns(), pace))
    exchange = FakeExchange(
        recording.protocol,
        recording.products,
        history=recording.history,
        faults=faults,
        host=host,
        port=port,
        settings=settings,
    )
    asyncio.run(_serve(exchange, recording, pace, settings.replay_lead_s, leave))


async def _serve(exchange: FakeExchange, recording: Recording, pace: float | None, lead_s: float, leave: bool) -> None:
    stopping = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(exchange)
        except OSError as error:
            raise ConfigError(f"--port: {error.strerror or error}; choose another") from None
        print(f"{recording.protocol}: {exchange.endpoint}, history {exchange.history_endpoint}", flush=True)
        print(f"{len(recording.frames)} frames of {', '.join(recording.products)}; waiting for a client", flush=True)
        await _until(stopping, _play(exchange, recording, pace, lead_s, leave), leave)


async def _until(stopping: asyncio.Event, work: Coroutine[None, None, None], leave: bool) -> None:
    """Work until told to stop, or, where that is asked for, until it is done. Its failure is raised at once."""
    player, waiter = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait([player, waiter], return_when=asyncio.FIRST_COMPLETED)
    if player.done():
        player.result()
        if not leave:
            await waiter
    for task in (player, waiter):
        task.cancel()
    await asyncio.gather(player, waiter, return_exceptions=True)


async def _play(exchange: FakeExchange, recording: Recording, pace: float | None, lead_s: float, leave: bool) -> None:
    await exchange.followed()
    await asyncio.sleep(lead_s)
    print("playing", flush=True)
    frames = await play(recording, exchange, pace)
    if leave:
        await exchange.finish()
    print(f"played {frames} frames", flush=True)


def _pace(speed: str) -> float | None:
    """Times the recorded pace; None is as fast as possible. Raises ConfigError."""
    if speed == "max":
        return None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not 0 < pace < float("inf"):
        raise ConfigError(f"--speed is a number above 0 or max, not {speed!r}")
    return pace


def _script(path: Path) -> list[Fault]:
    try:
        return read_script(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--script: {error}") from None
