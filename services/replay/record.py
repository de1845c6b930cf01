"""Recording: what an exchange really sends, frame by frame, before anything of ours has touched it."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from services.adapters.venues.base import Action, Emit, Event, HandOver, Reconnect, Rejected, Send, Venue
from services.contracts.errors import ConfigError
from services.replay.recordings import open_text
from services.replay.settings import ReplaySettings
from services.runtime.backoff import Backoff
from services.runtime.clock import Clock
from services.runtime.logging import logger

TICK_S = 0.1
FLUSH_NS = 1_000_000_000
FRAME_BYTES_MAX = 16 << 20
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.5, 30.0


class FrameFiles:
    """Files of ``<receive ns> <frame>`` lines: the one named, then, as each is full, ``name.1.ext``, ``name.2.ext``.

    An existing file is a ConfigError: a recording is never overwritten.
    """

    def __init__(self, path: Path, bytes_max: int, files_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._bytes = 0
        self._flushed_ns = 0
        self._file: IO[str] | None = None
        self.paths: list[Path] = []
        self.frames = 0

    def __enter__(self) -> Self:
        self._open_next()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def full(self) -> bool:
        """Whether the last file is full, so that nothing more is written."""
        return self._file is None

    def write(self, frame: str | bytes, received_ns: int) -> None:
        """Add a frame. A line break in it, which JSON has only between its tokens, becomes a space."""
        if self._file is None:
            return
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        line = f"{received_ns} {' '.join(text.splitlines())}\n"
        self._file.write(line)
        self.frames += 1
        self._bytes += len(line.encode())
        if received_ns - self._flushed_ns >= FLUSH_NS:
            self._flushed_ns = received_ns
            self._file.flush()
        if self._bytes >= self._bytes_max:
            self._close()
            self._open_next()

    def _open_next(self) -> None:
        if len(self.paths) == self._files_max:
            return
        path = _numbered(self._path, len(self.paths))
        try:
            self._file = open_text(path, "x")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
        self.paths.append(path)
        self._bytes = 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


async def record(
    venue: type[Venue],
    products: Sequence[str],
    endpoint: str,
    files: FrameFiles,
    stopping: asyncio.Event,
    clock: Clock,
    settings: ReplaySettings,
) -> None:
    """Keep every frame until told to stop or the files are full. A connection that ends is opened again."""
    log = logger()
    backoff = Backoff(BACKOFF_BASE_S, BACKOFF_CAP_S)
    silence_s = min(venue.silence_limit_s, settings.record_silence_s)
    while not stopping.is_set() and not files.full:
        before = files.frames
        try:
            await _record_session(venue(products), endpoint, files, stopping, clock, silence_s)
            log.info("session_ended", venue=venue.name)
        except (OSError, WebSocketException, TimeoutError) as error:
            log.warning("session_failed", venue=venue.name, error=repr(error))
        if files.frames > before:
            backoff.reset()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0 if files.full else backoff.next_s())


async def _record_session(
    venue: Venue, endpoint: str, files: FrameFiles, stopping: asyncio.Event, clock: Clock, silence_s: float
) -> None:
    """One connection, to its end. The venue says what to send; that it reads the frames only drives its subscribing."""
    async with connect(venue.url(endpoint), compression=None, max_size=FRAME_BYTES_MAX) as connection:
        open_ = await _act(venue.on_open(clock.now_ns()), connection)
        heard_s = clock.monotonic()
        while open_ and not stopping.is_set() and not files.full:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    frame = await connection.recv()
                    heard_s = clock.monotonic()
                    _keep(frame, venue, files, clock.now_ns())
            if clock.monotonic() - heard_s > silence_s:
                raise TimeoutError(f"no message for {silence_s} s")
            open_ = await _act(venue.on_tick(clock.now_ns()), connection)


def _keep(frame: str | bytes, venue: Venue, files: FrameFiles, received_ns: int) -> None:
    files.write(frame, received_ns)
    for event in venue.on_frame(frame, received_ns):
        _tell(venue, event)


def _tell(venue: Venue, event: Event) -> None:
    if isinstance(event, Rejected):
        logger().warning("rejected", venue=venue.name, product=event.product_id, error=event.message)


async def _act(actions: Sequence[Action], connection: ClientConnection) -> bool:
    """Do what the venue says. Whether the connection shall live on."""
    for action in actions:
        match action:
            case Send():
                await connection.send(action.text)
            case Reconnect() | HandOver():
                return False
            case Emit():
                pass  # events of the venue's own making are no frames
    return True


def _numbered(path: Path, number: int) -> Path:
    """``btc.frames.gz``, then ``btc.1.frames.gz``."""
    if number == 0:
        return path
    stem, *suffixes = path.name.split(".")
    return path.with_name(".".join([stem, str(number), *suffixes]))
