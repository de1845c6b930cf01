"""Recordings: reading what was recorded, here or elsewhere, into one timeline of frames.

``tickplane record`` writes ``<receive ns> <frame>``, one line a frame: the frame's bytes stay as they came (nothing is
escaped, so a file can be searched and its frames copied out), and one split gives the time. Also read:
``<unix seconds>: <frame>`` (cryptofeed's raw data; other lines of such a file tell what was sent) and CSV files of
trades. Names that end in ``.gz`` are compressed.
"""

import csv
import gzip
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, cast

import msgspec

from services.contracts.errors import ConfigError
from services.contracts.events import Side
from services.replay.dialects import dialect_of, names
from services.replay.dialects.base import Dialect, RecordedFrame, Shift
from services.replay.market import ExchangeTrade
from services.runtime.clock import NS_PER_MS, NS_PER_S, parse_rfc3339

SNIFFED_LINES = 200
"""Lines of a file that are looked at to tell its protocol."""
CSV_COLUMNS = frozenset({"venue", "symbol", "price", "size", "taker_side"})
TAKER: dict[str, Side] = {"buy": "BUY", "sell": "SELL"}

_FRAME_LINE = re.compile(r"(?P<time>\d{1,20}(?:\.\d+)?)(?P<colon>:?) (?P<frame>.+)")


class TimedFrame(msgspec.Struct, frozen=True):
    """A frame and when it was received."""

    received_ns: int
    frame: RecordedFrame


class Recording(msgspec.Struct, frozen=True):
    """One exchange for a while. ``history`` are trades from before; ``frames`` are in the order they were received."""

    protocol: str
    history: list[ExchangeTrade]
    frames: list[TimedFrame]

    @property
    def trades(self) -> Iterator[ExchangeTrade]:
        """Every trade, the repeated ones as often as they were recorded."""
        yield from self.history
        for timed in self.frames:
            yield from timed.frame.trades

    @property
    def products(self) -> list[str]:
        return sorted({trade.product_id for trade in self.trades})

    def shifted(self, shift: Shift) -> "Recording":
        """The recording with its ids and times moved by one constant each; the pace is the same."""
        dialect = dialect_of(self.protocol)
        frames = [TimedFrame(timed.received_ns, dialect.shifted(timed.frame, shift)) for timed in self.frames]
        return Recording(self.protocol, [shift.trade(trade) for trade in self.history], frames)


def read_recording(paths: Sequence[Path], protocol: str | None, frames_max: int) -> Recording:
    """Read files of one exchange. Its protocol is told from the files where it is not given.

    Raises ConfigError for files that cannot be read, have no market data, or have more than ``frames_max`` frames.
    """
    try:
        dialect = dialect_of(protocol or _protocol_of(paths[0]))
        frames = [timed for path in paths for timed in _read_file(path, dialect, frames_max)]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recording cannot be read: {error}") from None
    if len(frames) > frames_max:
        raise ConfigError(f"more than {frames_max} frames; raise TICKPLANE_REPLAY_FRAMES_MAX, or replay fewer files")
    if not any(timed.frame.trades for timed in frames):
        raise ConfigError(f"no {dialect.name} trades in {', '.join(map(str, paths))}; see --protocol")
    frames.sort(key=lambda timed: timed.received_ns)
    return _told_from_history(dialect.name, frames)


def _told_from_history(protocol: str, frames: Sequence[TimedFrame]) -> Recording:
    """Snapshots are what the recorder's own subscribing brought, so they are not played: each client gets its own.

    What they hold from before a product's first live trade is history. What they hold of later (the recorder was away)
    the exchange did send, so it is sent as a trade at that point.
    """
    live = [trade for timed in frames if not timed.frame.snapshot for trade in timed.frame.trades]
    first_live: dict[str, int] = {}
    for trade in live:
        first_live[trade.product_id] = min(trade.number, first_live.get(trade.product_id, trade.number))
    known = {(trade.product_id, trade.number) for trade in live}
    history: list[ExchangeTrade] = []
    played: list[TimedFrame] = []
    for timed in frames:
        if not timed.frame.snapshot:
            played.append(timed)
            continue
        unknown = [trade for trade in timed.frame.trades if (trade.product_id, trade.number) not in known]
        known.update((trade.product_id, trade.number) for trade in unknown)
        before = [trade for trade in unknown if trade.number < first_live.get(trade.product_id, trade.number + 1)]
        history += before
        if missed := tuple(trade for trade in unknown if trade not in before):
            played.append(TimedFrame(timed.received_ns, RecordedFrame(timed.frame.stream, missed)))
    return Recording(protocol, history, played)


def _read_file(path: Path, dialect: Dialect, frames_max: int) -> Iterator[TimedFrame]:
    """What the dialect understands of a file, and not more than one too many."""
    with open_text(path) as file:
        header = file.readline()
        file.seek(0)
        frames = _read_csv(file) if _is_csv(header) else _read_frames(file, dialect)
        for count, timed in enumerate(frames):
            if count > frames_max:
                return
            yield timed


def _read_frames(lines: Iterable[str], dialect: Dialect) -> Iterator[TimedFrame]:
    for line in lines:
        matched = _FRAME_LINE.fullmatch(line.rstrip("\n"))
        frame = dialect.read(matched["frame"]) if matched else None
        if matched and frame:
            yield TimedFrame(_received_ns(matched["time"], in_seconds=bool(matched["colon"])), frame)


def _received_ns(text: str, *, in_seconds: bool) -> int:
    return int(Decimal(text) * NS_PER_S) if in_seconds else int(Decimal(text))


def _read_csv(lines: Iterable[str]) -> Iterator[TimedFrame]:
    """Trades without an id are numbered from 1, product by product."""
    numbers: dict[str, int] = {}
    for row in csv.DictReader(lines):
        product = row["symbol"]
        numbers[product] = numbers.get(product, 0) + 1
        try:
            trade = _read_row(row, numbers[product])
            received_ns = int(row.get("recv_ts_ns") or trade.time_ns)
        except (KeyError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"a row of the CSV file cannot be used: {error!r} in {row}") from None
        yield TimedFrame(received_ns, RecordedFrame("", (trade,)))


def _read_row(row: Mapping[str, str], number: int) -> ExchangeTrade:
    time_ns = int(row["exchange_ts_ms"]) * NS_PER_MS if "exchange_ts_ms" in row else parse_rfc3339(row["exchange_ts"])
    price, size = Decimal(row["price"]), Decimal(row["size"])
    return ExchangeTrade(
        row["symbol"], int(row.get("trade_id") or number), price, size, TAKER[row["taker_side"]], time_ns
    )


def _protocol_of(path: Path) -> str:
    """The protocol that a file's first lines speak; for a CSV file, the one named as its venue."""
    with open_text(path) as file:
        lines = [line for _, line in zip(range(SNIFFED_LINES), file, strict=False)]
    if lines and _is_csv(lines[0]):
        venue = next(iter(csv.DictReader(lines)), {}).get("venue", "")
        return "coinbase-exchange" if venue == "coinbase" else venue
    for name in names():
        if any(True for _ in _read_frames(lines, dialect_of(name))):
            return name
    raise ConfigError(f"{path} is in no format that is known here; see --protocol")


def _is_csv(header: str) -> bool:
    return set(header.rstrip("\r\n").split(",")) >= CSV_COLUMNS


def open_text(path: Path, mode: str = "r") -> IO[str]:
    """A text file, compressed where its name says so."""
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, mode + "t", encoding="utf-8", newline="\n"))
    return path.open(mode, encoding="utf-8", newline="\n")
