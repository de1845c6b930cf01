"""Waiting for what another process does: a deadline, never a fixed sleep."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, overload

import httpx

TIMEOUT_S = 60.0
"""Long: it says that something hangs, not that a machine is busy."""
NOT_YET: tuple[type[Exception], ...] = (AssertionError, OSError, httpx.TransportError)
"""What a check may raise while the other side is not there yet."""


@overload
async def eventually[T](
    check: Callable[[], Coroutine[Any, Any, T]], timeout_s: float = ..., interval_s: float = ...
) -> T: ...
@overload
async def eventually[T](check: Callable[[], T], timeout_s: float = ..., interval_s: float = ...) -> T: ...
async def eventually(check: Callable[[], Any], timeout_s: float = TIMEOUT_S, interval_s: float = 0.05) -> Any:
    """Call ``check`` until it returns something true, and return that. Raises AssertionError with the last answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            answer = check()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
        except NOT_YET as error:
            answer = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s; the last answer was {answer!r}")
        await asyncio.sleep(interval_s)
