"""Whether each client got each update once and in order, and how late. Pure.

Thousands of clients follow one product and are sent the same bytes, so that what a piece of stream says is worked out
once and looked up for all others. The look-up compares the bytes, so nothing is taken on trust.
"""

from collections import Counter

import msgspec

from tests.bench.fanout.wire import Frame, Opcode, server_frames

PIECES_KEPT = 2_000
TICK_NS = 50_000


class _Data(msgspec.Struct):
    trade_id: str


class _Update(msgspec.Struct):
    type: str
    sequence: int | None = None
    previous: int | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_decode_update = msgspec.json.Decoder(_Update).decode
_decode_data = msgspec.json.Decoder(_Data).decode


class Piece(msgspec.Struct, frozen=True, eq=False):
    """What one piece of stream says. ``begins_after`` is the ``previous`` of its first update, None without one."""

    data: bytes
    begins_after: int | None
    ends_at: int | None
    stamps_ns: tuple[int, ...]
    """When each of its updates was sent, by the publisher's clock, which is its trade's id."""
    breaks: int
    """Updates within the piece that do not follow the one before them."""
    others: tuple[Frame, ...]
    """What is no update: pings, heartbeats, answers."""
    rest: bytes
    """The beginning of a frame that has not come whole."""


def read_piece(data: bytes) -> Piece:
    """Raises ValueError (msgspec's errors are ones) for what no server should send."""
    begins_after: int | None = None
    ends_at: int | None = None
    breaks = used = 0
    stamps: list[int] = []
    others: list[Frame] = []
    for frame in server_frames(data):
        used = frame.end
        update = _decode_update(frame.payload) if frame.opcode == Opcode.TEXT else None
        if update is None or update.type != "update":
            others.append(frame)
            continue
        if ends_at is None:
            begins_after = update.previous
        elif update.previous != ends_at:
            breaks += 1
        ends_at = update.sequence
        stamps.append(int(_decode_data(update.data).trade_id))
    return Piece(data, begins_after, ends_at, tuple(stamps), breaks, tuple(others), data[used:])


class Pieces:
    """``read_piece``, once for equal pieces. What follows the same sequence and is as long is most likely equal: one
    comparison tells, which is cheaper than a hash of all of it."""

    def __init__(self) -> None:
        self._known: dict[tuple[int | None, int], Piece] = {}

    def __call__(self, last: int | None, data: bytes) -> Piece:
        """``last`` is the sequence that the client who received ``data`` had before."""
        key = (last, len(data))
        piece = self._known.get(key)
        if piece is None or piece.data != data:
            if len(self._known) >= PIECES_KEPT:
                self._known.clear()
            piece = self._known[key] = read_piece(data)
        return piece


class Arrivals:
    """How late updates came, to a tick of TICK_NS, rounded up."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[Piece, int], int] = {}
        self.updates = 0

    def add(self, piece: Piece, now_ns: int) -> None:
        key = (piece, now_ns // TICK_NS)
        self._pieces[key] = self._pieces.get(key, 0) + 1
        self.updates += len(piece.stamps_ns)

    def percentiles_ms(self, *shares: float) -> list[float]:
        """For each share (0 to 1) the smallest delay that so many of all are not above; 0 for none."""
        ticks: Counter[int] = Counter()
        for (piece, tick), times in self._pieces.items():
            for stamp_ns in piece.stamps_ns:
                ticks[tick + 1 - stamp_ns // TICK_NS] += times
        return [_percentile(ticks, share) * TICK_NS / 1e6 for share in shares]


def _percentile(counts: Counter[int], share: float) -> int:
    rank = max(1, -(-counts.total() * round(share * 1_000_000) // 1_000_000))
    passed = 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= rank:
            return value
    return 0
