"""How long `make run` takes until everything is ready, the second time and later."""

import asyncio
import sys
import time
from pathlib import Path

from services.local.process import Process
from tests.bench.report import Figure, median
from tests.bench.servers import temporary_folder
from tests.support.services import clean_environment

BENCH = "start"
STARTS = 5
QUICK_STARTS = 1
UP_TIMEOUT_S = 120.0


async def run(*, quick: bool) -> list[Figure]:
    starts = QUICK_STARTS if quick else STARTS
    with temporary_folder() as folder:
        first_s = await _start_s(folder)
        later_s = [await _start_s(folder) for _ in range(starts)]
    note = f"feed demo; `python -m services up`, without the check of what is installed; median of {starts}"
    return [
        Figure(BENCH, "first start", "s", first_s, bound="at most", note="an empty folder, everything installed; once"),
        Figure(BENCH, "second start", "s", median(later_s), 10, "at most", note),
    ]


async def _start_s(folder: Path) -> float:
    """Seconds from the command to the line that says that everything is up. Raises TimeoutError, RuntimeError."""
    up = asyncio.Event()

    def on_line(line: str) -> None:
        if "everything is up" in line:
            up.set()

    process = Process("up", folder / "up.log", on_line=on_line)
    variables = {"TICKPLANE_FOLDER": str(folder / "run"), "TICKPLANE_PORT": "0", "TICKPLANE_FEEDS": "demo"}
    began = time.monotonic()
    await process.start([sys.executable, "-m", "services", "up", "--plain"], env=clean_environment() | variables)
    try:
        async with asyncio.timeout(UP_TIMEOUT_S):
            await _first(up, process)
        return time.monotonic() - began
    finally:
        if process.running:
            await process.stop()


async def _first(up: asyncio.Event, process: Process) -> None:
    """Wait until it is up. Raises RuntimeError where it ends before."""
    said, ended = asyncio.ensure_future(up.wait()), asyncio.ensure_future(process.wait())
    await asyncio.wait([said, ended], return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not up.is_set():
        said.cancel()
        raise RuntimeError(f"it did not start: {process.last_words()}")
