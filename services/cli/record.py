"""``tickplane record``: what an exchange really sends, kept for replaying."""

import asyncio
import signal
from pathlib import Path

import typer

from services.adapters.venues import registry
from services.contracts.errors import ConfigError
from services.replay.record import FrameFiles
from services.replay.record import record as keep_frames
from services.replay.settings import ReplaySettings
from services.runtime.clock import SystemClock


def record(
    venue: str = typer.Argument(help="A venue's name, such as kraken."),
    products: str = typer.Argument(help="Comma-separated, such as BTC-USD,ETH-USD."),
    output: Path = typer.Option(..., "--output", "-o", help="A new file; compressed where it ends in .gz."),
    endpoint: str | None = typer.Option(None, help="Instead of the venue's own URL."),
    seconds: float | None = typer.Option(None, min=0.1, help="Stop after so long. Default: at Ctrl-C."),
) -> None:
    """Keep every frame as it came, one line each: the time of receipt in nanoseconds, a space, the frame."""
    settings = ReplaySettings.load()
    url = endpoint or registry.load(venue).endpoint
    if url is None:
        raise ConfigError(f"{venue} has no socket to record")
    files = FrameFiles(output, settings.record_file_bytes_max, settings.record_files_max)
    asyncio.run(_record(venue, [product for product in products.split(",") if product], url, files, seconds, settings))
    print(f"{files.frames} frames in {', '.join(map(str, files.paths))}")


async def _record(
    venue: str, products: list[str], endpoint: str, files: FrameFiles, seconds: float | None, settings: ReplaySettings
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopping.set)
    if seconds is not None:
        loop.call_later(seconds, stopping.set)
    with files:
        await keep_frames(registry.load(venue), products, endpoint, files, stopping, SystemClock(), settings)
