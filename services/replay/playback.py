"""Playing a recording on a fake exchange, at a pace."""

import asyncio
from collections.abc import Iterator

from services.replay.dialects.base import RecordedFrame, Shift
from services.replay.exchange import FakeExchange
from services.replay.recordings import Recording, TimedFrame
from services.runtime.clock import NS_PER_S

NS_PER_US = 1_000
GROUP_MAX = 100
"""Frames sent before the loop has its turn, and trades that may go into one frame."""


def restamp(recording: Recording, now_ns: int, speed: float | None) -> Shift:
    """How to move a recording that begins to play now, so that its trades are new ones of about now.

    Ids are moved by the microseconds since 1970: no run has a million trades a second, so a later run begins above
    where the one before it ended. Times are moved by whole seconds: at the recorded pace the first trade is of now; at
    any other the last one is, for trades must not be ahead of the clock.
    """
    times_ns = [trade.time_ns for timed in recording.frames for trade in timed.frame.trades]
    anchor_ns = min(times_ns) if speed == 1 else max(times_ns)
    return Shift(now_ns // NS_PER_US, (now_ns - anchor_ns) // NS_PER_S * NS_PER_S)


async def play(recording: Recording, exchange: FakeExchange, speed: float | None) -> int:
    """Send the recording's frames, ``speed`` times as fast as they came (None: as fast as the clients read).

    Returns the number of frames. A slow client slows it down; nothing is left out.
    """
    if not recording.frames:
        return 0
    loop = asyncio.get_running_loop()
    started_s, first_ns = loop.time(), recording.frames[0].received_ns
    for group in _groups(recording.frames, speed):
        if speed is not None:
            due_s = started_s + (group[0].received_ns - first_ns) / NS_PER_S / speed
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        for frame in _merged([timed.frame for timed in group]):
            exchange.publish_recorded(frame)
        await exchange.drained()
        await asyncio.sleep(0)
    return len(recording.frames)


def _groups(frames: list[TimedFrame], speed: float | None) -> Iterator[list[TimedFrame]]:
    """Frames that go out together: those received at the same time, or any where the pace is free."""
    group: list[TimedFrame] = []
    for timed in frames:
        apart = speed is not None and group and timed.received_ns != group[0].received_ns
        if apart or len(group) == GROUP_MAX:
            yield group
            group = []
        group.append(timed)
    yield group


def _merged(frames: list[RecordedFrame]) -> Iterator[RecordedFrame]:
    """Frames that must be made anyway are made together, with all their trades, where they are neighbours."""
    waiting: list[RecordedFrame] = []
    for frame in frames:
        if frame.text is None:
            waiting.append(frame)
            continue
        yield from _one(waiting)
        waiting = []
        yield frame
    yield from _one(waiting)


def _one(frames: list[RecordedFrame]) -> list[RecordedFrame]:
    trades = tuple(trade for frame in frames for trade in frame.trades)
    return [RecordedFrame(frames[0].stream, trades)] if frames else []
