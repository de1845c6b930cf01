"""A child process: its output in a rotated log, a stop that ends in SIGKILL, and no life after ours."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path

import psutil

from services.local import guard

LOG_MAX_BYTES = 10 << 20
LOG_FILES_KEPT = 3
TAIL_LINES = 50
STOP_GRACE_S = 25.0
"""Above the services' own grace, so that they end by themselves first."""


class Process:
    """One command at a time; may be started again after it ended.

    ``on_line`` gets every line of output as well. ``stop_signal`` asks for a clean end, ``orphan_signal`` is what the
    kernel sends when we are gone.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
        on_line: Callable[[str], None] | None = None,
        log_max_bytes: int = LOG_MAX_BYTES,
    ) -> None:
        self.name = name
        self.log = log
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._stop_signal = stop_signal
        self._orphan_signal = orphan_signal
        self._on_line = on_line
        self._log_max_bytes = log_max_bytes
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def last_words(self) -> str:
        """The last line that it printed, for an error in one line."""
        return next((line for line in reversed(self.tail) if line.strip()), "it said nothing")

    async def start(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, user: str = "-"
    ) -> None:
        """Start the command in a session of its own, so that the terminal's Ctrl-C reaches only us.

        ``user`` is the system user to run as, for root only.
        """
        assert not self.running, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.tail.clear()
        guarded = [sys.executable, "-I", "-S", guard.__file__, os.getpid(), int(self._orphan_signal), user, *command]
        self._process = await asyncio.create_subprocess_exec(
            *map(str, guarded),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._pump = asyncio.create_task(self._keep_output(self._process.stdout))

    async def wait(self) -> int:
        """Wait for the end and for the last of the output. Returns the exit code, negative for a signal."""
        assert self._process is not None, f"{self.name} was never started"
        code = await self._process.wait()
        if self._pump is not None:
            await self._pump
        return code

    async def stop(self, grace_s: float = STOP_GRACE_S) -> int | None:
        """Ask it to end, and insist after ``grace_s``. Returns the exit code, or None where it did not run."""
        if not self.running:
            return None
        self._signal(self._stop_signal)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """SIGKILL to it and all below it."""
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def pause(self) -> None:
        """SIGSTOP to it and all below it: a machine that hangs."""
        for process in self._tree():
            process.suspend()

    def resume(self) -> None:
        for process in self._tree():
            process.resume()

    def _signal(self, signum: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)

    def _tree(self) -> list[psutil.Process]:
        if not self.running or self._process is None:
            return []
        try:
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    async def _keep_output(self, output: asyncio.StreamReader) -> None:
        handler = RotatingFileHandler(
            self.log, maxBytes=self._log_max_bytes, backupCount=LOG_FILES_KEPT, encoding="utf-8"
        )
        rest = b""
        try:
            while chunk := await output.read(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._keep(handler, line)
            if rest:
                self._keep(handler, rest)
        finally:
            handler.close()

    def _keep(self, handler: RotatingFileHandler, line: bytes) -> None:
        text = line.decode(errors="replace")
        self.tail.append(text)
        handler.emit(makeLogRecord({"msg": text}))
        if self._on_line is not None:
            self._on_line(text)
