"""What a feed's state must be before anybody goes on from it: one bad record must not end all who read it."""

from collections.abc import Iterable

import msgspec

from services.contracts.errors import PeerError
from services.contracts.events import FeedState, Gap
from services.domain.decoding import decoded
from services.domain.trades import NUMBER_MAX, check_names, short

VALUE_BYTES_MAX = 1 << 20
"""A state with as many gaps and voids as a feed lists is some 300 KiB. What is larger is not looked into."""
REASON_MAX = 1_000
"""Characters of a gap's reason."""

_decode = msgspec.json.Decoder(FeedState).decode


def decode(key: bytes | None, value: bytes | None) -> FeedState:
    """The state in one record of the topic ``feed_state``. Raises PeerError for one that cannot be used.

    ``error_type`` is one of a fixed set: ``empty``, ``too_big``, ``utf8``, ``json``, ``type``, ``exchange``,
    ``product``, ``venue``, ``key``, ``number``, ``time``, ``gap`` and ``void``.
    """
    state = decoded(_decode, value, VALUE_BYTES_MAX)
    check_names((state.exchange, state.product_id, state.venue, key))
    _check_numbers("number", state.contiguous_number)
    _check_numbers("time", state.last_trade_time, state.last_message_time, state.backfilled_since, state.written_time)
    _check_gaps([*state.open_gaps, *state.closed_gaps])
    _check_runs("void", state.voids)
    return state


def _check_gaps(gaps: list[Gap]) -> None:
    runs = [(gap.first, gap.last) for gap in gaps]
    _check_runs("gap", runs)
    if len(set(runs)) != len(runs):
        raise PeerError("gap", "a gap is listed twice")
    for gap in gaps:
        _check_numbers("gap", gap.missing)
        _check_numbers("time", gap.opened_time, gap.closed_time, gap.before_time)
        if len(gap.reason) > REASON_MAX or not gap.reason.isprintable():
            raise PeerError("gap", f"the reason {short(gap.reason)} is not at most {REASON_MAX} printable characters")


def _check_runs(error_type: str, runs: Iterable[tuple[int, int]]) -> None:
    for first, last in runs:
        if not 0 <= first <= last <= NUMBER_MAX:
            raise PeerError(error_type, f"{short(first)} to {short(last)} is not a run of trade numbers")


def _check_numbers(error_type: str, *values: int | None) -> None:
    """Numbers and times must fit the stores, which have 63 bits."""
    for value in values:
        if value is not None and not 0 <= value <= NUMBER_MAX:
            raise PeerError(error_type, f"{short(value)} is out of range")
