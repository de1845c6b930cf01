"""Streaming indicators: SMA, EMA and RSI of a series of prices, VWAP of a window of time. Pure; statistics, float64.

A name says everything: ``sma_5``, ``ema_12``, ``rsi_14`` and ``vwap_5m`` follow each trade, ``sma_20@1m`` follows the
closes of the closed bars of a resolution. Per trade, what a series folds is each trade whose number is above the
highest before it, in log order; a repaired or late one reaches ``vwap_Nm``, by event time, and the bars' indicators
through its corrected bar.

EMA is seeded by a mean and RSI is Wilder's, as in TA-Lib (``ta_EMA.c`` and ``ta_RSI.c`` of
https://github.com/TA-Lib/ta-lib), so that they agree with it wherever it has a value. But RSI is 100 here wherever
there is no loss; where there is no gain either TA-Lib says 0.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from itertools import islice
from math import fsum
from typing import Literal

import msgspec

from services.contracts.errors import ConfigError
from services.contracts.events import Candle, Trade, input_sequence
from services.domain.candles import NS_PER_MINUTE, RESOLUTIONS
from services.domain.seen import Seen

STATE_VERSION = 1

TRADE_SOURCE = "trade"
"""The source of indicators that follow each trade; of the others it is their resolution."""

LENGTH_MAX = 1_000
"""Values that one indicator looks back on: it bounds what is kept of each series."""
WINDOW_MINUTES_MAX = 1_440

WINDOW_STEPS = 300
"""A window of time moves in this many steps (``vwap_5m``: one second), each the exact sums of its trades: what is kept
of a window is bounded however many trades it has, and a trade leaves at most one step early."""

RSI_FLOOR = 1e-290
"""Averages of unchanged prices are not shrunk below it: their ratio, which is what counts, would be lost to underflow
(some thousand equal trades do that, and stable coins have them)."""

AVERAGE_LENGTHS_FELT = 100

CANDLES_REMEMBERED = 16
"""Bars of a resolution whose newest ``input_sequence`` is known."""

Kind = Literal["sma", "ema", "rsi", "vwap"]

_NAME = re.compile(
    rf"(?P<kind>sma|ema|rsi)_(?P<length>[1-9][0-9]{{0,3}})(@(?P<source>{'|'.join(RESOLUTIONS)}))?"
    r"|vwap_(?P<minutes>[1-9][0-9]{0,3})m",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One indicator. ``length`` counts values, or minutes of a ``vwap``; ``source`` is ``trade`` or a resolution."""

    name: str
    kind: Kind
    length: int
    source: str

    @classmethod
    def parse(cls, name: str) -> "Spec":
        """Raises ConfigError for a name that says nothing, and for a length beyond the limit."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ConfigError(
                f"{name!r} is not an indicator: sma_N, ema_N, rsi_N, vwap_Nm, or one of the first three with "
                f"@ and a resolution of {', '.join(RESOLUTIONS)}"
            )
        length = int(match["length"] or match["minutes"])
        limit = LENGTH_MAX if match["length"] else WINDOW_MINUTES_MAX
        if length > limit:
            raise ConfigError(f"{name!r} looks back too far: at most {limit}")
        return cls(name, match["kind"] or "vwap", length, match["source"] or TRADE_SOURCE)  # type: ignore[arg-type]


class Plan:
    """The indicators that were asked for, by what they follow."""

    def __init__(self, names: Iterable[str]) -> None:
        """Raises ConfigError for a name that is none."""
        specs = [Spec.parse(name) for name in dict.fromkeys(names)]
        self.windows = tuple(spec for spec in specs if spec.kind == "vwap")
        self.series = tuple(spec for spec in specs if spec.source == TRADE_SOURCE and spec.kind != "vwap")
        self.bars = {
            resolution: tuple(spec for spec in specs if spec.source == resolution)
            for resolution in RESOLUTIONS
            if any(spec.source == resolution for spec in specs)
        }

    @property
    def memory(self) -> tuple[int, int]:
        """How far back a trade can still be felt in the values: in trades, and in nanoseconds.

        An average never forgets, but of what is a hundred lengths back less than e^-100 is left: no float64 shows it.
        """
        trades = AVERAGE_LENGTHS_FELT * max((spec.length for spec in self.series), default=0)
        return trades, NS_PER_MINUTE * max((spec.length for spec in self.windows), default=0)

    @property
    def bars_window(self) -> int:
        """Closes that the longest of the bars' indicators looks back on."""
        return max((_window(specs) for specs in self.bars.values()), default=0)

    def signature(self, resolution: str) -> str:
        """What a checkpoint of this resolution's series holds; one with another signature is of no use."""
        return ",".join(sorted(spec.name for spec in self.bars[resolution]))


# ---- a series of prices


class Ema(msgspec.Struct, tag="ema"):
    """The price until there are ``length`` of them, then their mean, then the recursion with 2 / (length + 1)."""

    length: int
    left: int
    """Values to come before the mean."""
    value: float = 0.0

    def push(self, value: float, recent: list[float]) -> None:
        if self.left == 0:
            self.value += (value - self.value) * (2 / (self.length + 1))
            return
        self.left -= 1
        self.value = value if self.left else fsum(recent[-self.length :]) / self.length

    def read(self) -> float | None:
        return None if self.left == self.length else self.value


class Rsi(msgspec.Struct, tag="rsi"):
    """Wilder's averages of gains and losses, each seeded by the mean of the first ``length`` changes."""

    length: int
    left: int
    """Values to come before the first result."""
    gain: float = 0.0
    loss: float = 0.0

    def push(self, value: float, recent: list[float]) -> None:
        if self.left:
            self.left -= 1
            if self.left == 0:
                self._seed(recent[-self.length - 1 :])
            return
        change = value - recent[-2]
        if change == 0 and self.gain + self.loss < RSI_FLOOR:
            return
        length, others = self.length, self.length - 1
        self.gain = (self.gain * others + change if change > 0 else self.gain * others) / length
        self.loss = (self.loss * others - change if change < 0 else self.loss * others) / length

    def read(self) -> float | None:
        if self.left:
            return None
        return 100 * (self.gain / (self.gain + self.loss)) if self.loss else 100.0

    def _seed(self, values: list[float]) -> None:
        changes = [after - before for before, after in zip(values, islice(values, 1, None), strict=False)]
        self.gain = fsum(change for change in changes if change > 0) / self.length
        self.loss = -fsum(change for change in changes if change < 0) / self.length


Averages = dict[str, Ema | Rsi]
"""What an indicator carries from one value to the next, by its name. SMA carries nothing: it is read off the prices."""


class SeriesState(msgspec.Struct):
    """``recent`` are the newest prices, oldest first, as many as the longest indicator looks back on."""

    recent: list[float] = []
    averages: Averages = {}


_encode_averages = msgspec.msgpack.Encoder().encode
_decode_averages = msgspec.msgpack.Decoder(Averages).decode


class Series:
    """The indicators of one series of prices. One that the state does not know begins with the next price."""

    def __init__(self, specs: Sequence[Spec], state: SeriesState | None = None) -> None:
        known = SeriesState() if state is None else state
        self._window = _window(specs)
        self._means = [(spec.name, spec.length) for spec in specs if spec.kind == "sma"]
        self.state = SeriesState(
            recent=known.recent[-self._window :] if self._window else [],
            averages={spec.name: known.averages.get(spec.name) or _fresh(spec) for spec in specs if spec.kind != "sma"},
        )

    @property
    def newest(self) -> float | None:
        return self.state.recent[-1] if self.state.recent else None

    def push(self, value: float) -> None:
        recent = self.state.recent
        recent.append(value)
        if len(recent) > self._window:
            del recent[0]
        for average in self.state.averages.values():
            average.push(value, recent)

    def values(self) -> dict[str, float]:
        """By name; one that has no value yet is absent. A mean is the correctly rounded sum's, so that none drifts."""
        recent = self.state.recent
        if not recent:
            return {}
        values = {name: fsum(recent[-length:]) / min(length, len(recent)) for name, length in self._means}
        for name, average in self.state.averages.items():
            value = average.read()
            if value is not None:
                values[name] = value
        return values

    def checkpoint(self) -> bytes:
        """The averages alone: with the prices before, all it takes to go on from here (``resume``)."""
        return _encode_averages(self.state.averages)

    @classmethod
    def resume(cls, specs: Sequence[Spec], recent: Sequence[float], checkpoint: bytes) -> "Series":
        return cls(specs, SeriesState(list(recent), _decode_averages(checkpoint)))


def _window(specs: Sequence[Spec]) -> int:
    """Values that the longest of the indicators looks back on."""
    return max((spec.length + (spec.kind == "rsi") for spec in specs), default=0)


def _fresh(spec: Spec) -> Ema | Rsi:
    return Ema(spec.length, spec.length) if spec.kind == "ema" else Rsi(spec.length, spec.length + 1)


# ---- a window of time


class WindowState(msgspec.Struct):
    """``steps`` maps a step of event time to (quote volume, volume) of its trades, exactly."""

    newest: int = -1
    steps: dict[int, tuple[Decimal, Decimal]] = {}


class VwapWindow:
    """VWAP of the trades of the last minutes before the newest trade, whenever they came."""

    def __init__(self, spec: Spec, state: WindowState | None = None) -> None:
        self.name = spec.name
        self.state = WindowState() if state is None else state
        self._step_ns = spec.length * NS_PER_MINUTE // WINDOW_STEPS

    def push(self, time: int, price: Decimal, size: Decimal) -> None:
        state = self.state
        step = time // self._step_ns
        if step > state.newest:
            state.newest = step
        if len(state.steps) >= 2 * WINDOW_STEPS:
            self._expire()
        quote_volume, volume = state.steps.get(step, (Decimal(0), Decimal(0)))
        state.steps[step] = (quote_volume + price * size, volume + size)

    def value(self) -> float | None:
        """None before the first trade."""
        self._expire()
        if not self.state.steps:
            return None
        quote_volume = sum((quote for quote, _ in self.state.steps.values()), Decimal(0))
        volume = sum((volume for _, volume in self.state.steps.values()), Decimal(0))
        return float(quote_volume) / float(volume)

    def _expire(self) -> None:
        oldest = self.state.newest - WINDOW_STEPS
        for step in [step for step in self.state.steps if step <= oldest]:
            del self.state.steps[step]


# ---- a product


class ProductState(msgspec.Struct):
    """What is stored of a product between batches, beside its bars."""

    version: int = STATE_VERSION
    seen: Seen = msgspec.field(default_factory=Seen)
    series: SeriesState = msgspec.field(default_factory=SeriesState)
    windows: dict[str, WindowState] = {}
    newest_time: int = 0
    sequence: int = -1
    """Of the newest trade that changed something: the ``input_sequence`` of what is published."""
    candle_sequences: dict[str, dict[int, int]] = {}
    """By resolution and start, the ``input_sequence`` of the newest bars: they come again after a crash of their
    builder. An older bar that comes again says what it said before."""


class Absorbed(Enum):
    FOLDED = "folded"
    LATE = "late"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class BarRow:
    """A closed bar as the indicators know it, and the series' averages right after it."""

    resolution: str
    timestamp: int
    close: float
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class News:
    """The values that follow from a source, at the ``input_sequence`` of the newest record that it took in.

    ``time`` is that of the newest trade, or the start of the newest closed bar.
    """

    source: str
    time: int
    sequence: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a batch came to: what to publish, and the bars to store, oldest first within each resolution."""

    news: list[News]
    rows: list[BarRow]


@dataclass(frozen=True, slots=True)
class BarHistory:
    """A series as it stood after the bar that began at ``timestamp`` (-1: before any), and the closes behind that."""

    timestamp: int
    series: Series
    closes: Mapping[int, float]


class _Bars:
    """One resolution's closed bars: the series after the newest of them, and what the batch in hand changes."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.newest = -1
        self.sequence = -1
        self._changes: dict[int, float] = {}
        self._history: BarHistory | None = None

    def touched(self) -> bool:
        return bool(self._changes)

    def note(self, candle: Candle, sequence: int) -> None:
        self._changes[candle.timestamp] = float(candle.close)
        self.sequence = sequence

    def reaches_back_to(self) -> int | None:
        """The start of the oldest bar that changed, where it is not behind the newest: then its history is needed."""
        if not self._changes or self._history is not None:
            return None
        oldest = min(self._changes)
        return oldest if oldest <= self.newest and self._changes != {self.newest: self.series.newest} else None

    def provide(self, history: BarHistory) -> None:
        self._history = history

    def settle(self, resolution: str) -> list[BarRow]:
        assert self.reaches_back_to() is None, "settled without the history that was wanted"
        closes = self._closes()
        self._changes, self._history = {}, None
        return [
            BarRow(resolution, timestamp, *self._push(timestamp, closes[timestamp])) for timestamp in sorted(closes)
        ]

    def restore(self, history: BarHistory) -> None:
        self.series, self.newest = history.series, history.timestamp
        for timestamp in sorted(history.closes):
            self._push(timestamp, history.closes[timestamp])

    def _closes(self) -> dict[int, float]:
        """What has to be pushed onto the series, which is set back to where that begins."""
        if self._history is None:
            return {timestamp: close for timestamp, close in self._changes.items() if timestamp > self.newest}
        closes = {**self._history.closes, **self._changes}
        if closes == self._history.closes:
            return {}
        self.series = self._history.series
        return closes

    def _push(self, timestamp: int, close: float) -> tuple[float, bytes]:
        self.series.push(close)
        self.newest = timestamp
        return close, self.series.checkpoint()


class ProductIndicators:
    """The indicators of one product. A batch: ``absorb`` and ``absorb_candle``, ``wanted``, ``provide``, ``settle``."""

    def __init__(self, plan: Plan, state: ProductState | None = None) -> None:
        self.state = ProductState() if state is None else state
        self._series = Series(plan.series, self.state.series)
        self._windows = [VwapWindow(spec, self.state.windows.get(spec.name)) for spec in plan.windows]
        self._bars = {resolution: _Bars(Series(specs)) for resolution, specs in plan.bars.items()}
        self.state.series = self._series.state
        self.state.windows = {window.name: window.state for window in self._windows}
        self._told = self.state.sequence

    # ---- trades

    def absorb(self, trade: Trade, offset: int) -> Absorbed:
        """Take in the trade that stands at ``offset``."""
        state = self.state
        highest = state.seen.numbers.highest
        if not state.seen.add(trade):
            return Absorbed.REPEATED
        number = trade.trade_number
        late = number is not None and highest is not None and number < highest
        if not late:
            self._series.push(float(trade.price))
        for window in self._windows:
            window.push(trade.time, trade.price, trade.size)
        if trade.time > state.newest_time:
            state.newest_time = trade.time
        if not late or self._windows:
            state.sequence = input_sequence(offset)
        return Absorbed.LATE if late else Absorbed.FOLDED

    # ---- bars

    def restore(self, resolution: str, history: BarHistory) -> None:
        """Begin from what is stored of a resolution's bars."""
        self._bars[resolution].restore(history)

    def absorb_candle(self, candle: Candle, offset: int) -> bool:
        """Take in the bar that stands at ``offset``; it counts once it is closed. False for one that came before."""
        bars = self._bars.get(candle.resolution)
        if bars is None:
            return False
        known = self.state.candle_sequences.setdefault(candle.resolution, {})
        if candle.input_sequence <= known.get(candle.timestamp, -1):
            return False
        known[candle.timestamp] = candle.input_sequence
        if len(known) > CANDLES_REMEMBERED:
            del known[min(known)]
        if candle.closed:
            bars.note(candle, input_sequence(offset))
        return True

    def wanted(self) -> dict[str, int]:
        """The resolutions whose series has to be folded again, each with the start of the oldest bar that changed."""
        reaches = {resolution: bars.reaches_back_to() for resolution, bars in self._bars.items()}
        return {resolution: start for resolution, start in reaches.items() if start is not None}

    def provide(self, resolution: str, history: BarHistory) -> None:
        """What is stored of a series; its ``timestamp`` is before the start that ``wanted`` named."""
        self._bars[resolution].provide(history)

    # ---- both

    def settle(self) -> Settlement:
        """End the batch."""
        news = []
        if self.state.sequence > self._told:
            self._told = self.state.sequence
            news.append(News(TRADE_SOURCE, self.state.newest_time, self._told, self._trade_values()))
        touched = {resolution: bars for resolution, bars in self._bars.items() if bars.touched()}
        rows = [row for resolution, bars in touched.items() for row in bars.settle(resolution)]
        news += (News(source, bars.newest, bars.sequence, bars.series.values()) for source, bars in touched.items())
        return Settlement([item for item in news if item.values], rows)

    def values(self) -> dict[str, float]:
        """The newest of all sources; one that has no value yet is absent."""
        values = self._trade_values()
        for bars in self._bars.values():
            values |= bars.series.values()
        return values

    @property
    def time(self) -> int:
        """That of the newest trade, or else the start of the newest bar."""
        return self.state.newest_time or max((bars.newest for bars in self._bars.values()), default=0)

    def _trade_values(self) -> dict[str, float]:
        values = self._series.values()
        for window in self._windows:
            value = window.value()
            if value is not None:
                values[window.name] = value
        return values
