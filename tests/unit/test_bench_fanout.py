"""The parts of ``make bench-fanout`` that decide what counts: frames, sequences, delays, the search for a limit."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from services.gateway.stream.frames import text_frame
from tests.bench.fanout.check import TICK_NS, Arrivals, Pieces, read_piece
from tests.bench.fanout.client import Window
from tests.bench.fanout.load import Measured
from tests.bench.fanout.scenarios import Maximum
from tests.bench.fanout.search import highest
from tests.bench.fanout.wire import Opcode, client_frame, server_frames, upgraded

STAMP_NS = 5_000_000


def update(sequence: int, previous: int | None, stamp_ns: int = STAMP_NS) -> bytes:
    document = {"type": "update", "sequence": sequence, "previous": previous, "data": {"trade_id": str(stamp_ns)}}
    return text_frame(msgspec.json.encode(document))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_servers_frame_is_read_whatever_its_length(size: int) -> None:
    data = text_frame(b"x" * size)
    (frame,) = server_frames(data + b"\x81")
    assert (frame.opcode, len(frame.payload), frame.end) == (Opcode.TEXT, size, len(data))


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 129])
def test_a_frame_that_has_not_come_whole_is_left(cut: int) -> None:
    data = text_frame(b"x" * 126)
    assert list(server_frames(data[:cut])) == []
    assert read_piece(data[:cut]).rest == data[:cut]


def test_a_masked_frame_is_not_a_servers() -> None:
    with pytest.raises(ValueError, match="masked"):
        list(server_frames(client_frame(Opcode.TEXT, b"{}")))


def test_a_clients_frame_is_masked_with_a_key_that_changes_nothing() -> None:
    assert client_frame(Opcode.PONG, b"ab") == b"\x8a\x82\0\0\0\0ab"
    assert client_frame(Opcode.TEXT, b"x" * 200)[:4] == b"\x81\xfe\x00\xc8"


def test_only_a_101_is_an_upgrade() -> None:
    assert upgraded(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket")
    assert not upgraded(b"HTTP/1.1 403 Forbidden\r\n")


def test_a_piece_says_where_it_begins_and_ends() -> None:
    piece = read_piece(update(4, 3, 10) + update(7, 4, 20))
    assert (piece.begins_after, piece.ends_at, piece.stamps_ns, piece.breaks) == (3, 7, (10, 20), 0)


@pytest.mark.parametrize(("sequence", "previous"), [(6, 5), (4, 3)])
def test_a_hole_or_a_repeat_within_a_piece_is_a_break(sequence: int, previous: int) -> None:
    assert read_piece(update(4, 3) + update(sequence, previous)).breaks == 1


def test_what_is_no_update_is_handed_on() -> None:
    ping = b"\x89\x02hi"
    piece = read_piece(update(1, 0) + ping + text_frame(b'{"type":"heartbeat"}'))
    assert [frame.opcode for frame in piece.others] == [Opcode.PING, Opcode.TEXT]
    assert piece.others[0].payload == b"hi"


def test_equal_pieces_are_read_once_and_others_are_not_taken_for_them() -> None:
    pieces = Pieces()
    first = pieces(3, update(4, 3))
    assert pieces(3, update(4, 3)) is first
    other = pieces(3, update(5, 4))
    assert other.begins_after == 4, "the same length after the same sequence, but not the same bytes"


def test_delays_count_each_update_of_each_client() -> None:
    arrivals = Arrivals()
    early, late = read_piece(update(1, 0, 0)), read_piece(update(2, 1, 0) + update(3, 2, 0))
    for _ in range(98):
        arrivals.add(early, 4 * TICK_NS)
    arrivals.add(late, 9 * TICK_NS)
    assert arrivals.updates == 100
    assert arrivals.percentiles_ms(0.5, 0.98, 0.99, 1) == pytest.approx([0.25, 0.25, 0.5, 0.5])


def test_no_updates_have_no_delay() -> None:
    assert Arrivals().percentiles_ms(0.5) == [0]


def up_to(limit: float) -> Callable[[float], Awaitable[bool]]:
    async def holds(load: float) -> bool:
        return load <= limit

    return holds


@pytest.mark.parametrize("limit", [1_000, 1_234, 99_000])
async def test_the_highest_load_is_found_to_the_precision(limit: float) -> None:
    found = await highest(up_to(limit), 1_000, 0.05, 1e9)
    assert limit / 1.05 <= found <= limit


async def test_a_limit_below_the_first_load_is_found_too() -> None:
    assert 380 <= await highest(up_to(400), 1_000, 0.05, 1e9) <= 400


async def test_nothing_is_tried_above_the_limit_of_the_search() -> None:
    assert await highest(up_to(1e9), 1_000, 0.05, 2_000) == 1_500


async def test_where_nothing_holds_the_highest_load_is_zero() -> None:
    assert await highest(up_to(0), 1_000, 0.05, 1e9) == 0


def measured(
    offered: float,
    *,
    arrived: float = 1.0,
    clients: float = 0.5,
    core: float = 0.5,
    broken: int = 0,
    p99_ms: float = 10,
) -> Measured:
    window = Window(
        seconds=1, updates=int(offered * arrived), reads=1, bytes=1, broken=broken, lost=0, behind=0,
        p50_ms=1, p99_ms=p99_ms, worst_ms=p99_ms, cpu_s=clients,
    )  # fmt: skip
    return Measured(window, offered, 0.5, core)


@pytest.mark.parametrize(
    "spoiled",
    [measured(100, arrived=0.9), measured(100, clients=0.9), measured(100, broken=1), measured(100, p99_ms=50)],
    ids=["not all of it arrives", "the clients had no time", "out of order", "late"],
)
def test_a_load_holds_only_where_all_of_it_arrives_in_order_in_time_at_clients_with_time(spoiled: Measured) -> None:
    assert measured(100).holds(50)
    assert not spoiled.holds(50)


def test_the_highest_load_says_whether_the_server_or_the_clients_set_it() -> None:
    held = measured(100)
    assert Maximum.of([held, measured(200, arrived=0.5)]) == Maximum(held, server_limited=True)
    assert Maximum.of([held, measured(200, arrived=0.5, core=0.9)]) == Maximum(held, server_limited=False)
    assert Maximum.of([measured(200, p99_ms=60)]) == Maximum(None, server_limited=True)
