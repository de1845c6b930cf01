"""Recordings: every format is read, snapshots are history, and a restamped run is new and contiguous."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.contracts.errors import ConfigError
from services.replay.dialects import dialect_of
from services.replay.market import Market
from services.replay.playback import restamp
from services.replay.record import FrameFiles
from services.replay.recordings import Recording, read_recording
from services.runtime.clock import NS_PER_S, parse_rfc3339

RECORDED = Path(os.environ.get("TICKPLANE_RECORDED", Path(__file__).parents[2].parent / "shared" / "data"))
recorded = pytest.mark.recorded
FRAMES_MAX = 1_000_000
NOW_NS = parse_rfc3339("2026-01-02T03:04:05.678901234Z")

MATCH = (
    '{{"type":"{kind}","trade_id":{number},"side":"sell","size":"0.04","price":"14.7775","product_id":"{product}",'
    '"sequence":333938798,"time":"2021-04-17T16:43:{second:02d}.244075Z"}}'
)


def match(number: int, kind: str = "match", product: str = "BAND-GBP") -> str:
    return MATCH.format(kind=kind, number=number, product=product, second=number % 60)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def lines_of(*lines: str, name: str = "some.frames") -> Path:
        path = tmp_path / name
        text = "".join(line + "\n" for line in lines)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return lines_of


def read(*paths: Path, protocol: str | None = None) -> Recording:
    return read_recording(paths, protocol, FRAMES_MAX)


def numbers(recording: Recording) -> list[int]:
    return [trade.number for timed in recording.frames for trade in timed.frame.trades]


def recording_named(name: str) -> Path:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"the recorded frames are not at {RECORDED}; see TICKPLANE_RECORDED")
    return path


@pytest.mark.parametrize("name", ["a.frames", "a.frames.gz"])
def test_both_kinds_of_lines_are_read_and_others_passed_over(write: Callable[..., Path], name: str) -> None:
    path = write(
        "wss://ws-feed <-> 1618677816.8434298",
        "",
        f"1618677817.5: {match(1)}",
        f"1618677818500000000 {match(2)}",
        '1618677819.0: {"type":"subscriptions","channels":[]}',
        "1618677819.1: not json",
        name=name,
    )

    recording = read(path)

    assert recording.protocol == "coinbase-exchange"
    assert numbers(recording) == [1, 2]
    assert [timed.received_ns for timed in recording.frames] == [1_618_677_817_500_000_000, 1_618_677_818_500_000_000]
    assert recording.frames[0].frame.text == match(1), "frames that can be played as they are, are"


def test_a_first_snapshot_is_history_and_a_later_one_what_was_missed(write: Callable[..., Path]) -> None:
    path = write(
        f"1.0: {match(9, 'last_match')}",
        f"2.0: {match(10)}",
        f"3.0: {match(12, 'last_match')}",
        f"4.0: {match(13)}",
        f"5.0: {match(13, 'last_match')}",
    )

    recording = read(path)

    assert [trade.number for trade in recording.history] == [9]
    assert numbers(recording) == [10, 12, 13]


def test_files_are_one_timeline(write: Callable[..., Path]) -> None:
    later = write(f"30.0: {match(3)}", name="later.frames")
    earlier = write(f"10.0: {match(1)}", f"40.0: {match(4)}", name="earlier.frames")

    assert numbers(read(later, earlier)) == [1, 3, 4]


def test_a_csv_without_ids_is_numbered_from_one_for_each_product(write: Callable[..., Path]) -> None:
    path = write(
        "venue,symbol,exchange_ts,price,size,taker_side",
        "kraken,BTC-USD,2019-07-01T00:00:03.172Z,10749.4,0.004,sell",
        "kraken,ETH-USD,2019-07-01T00:00:04.172Z,300.1,1,buy",
        "kraken,BTC-USD,2019-07-01T00:00:05.224Z,10749.7,0.03869709,buy",
        name="trades.csv.gz",
    )

    recording = read(path)

    assert recording.protocol == "kraken"
    assert [(trade.product_id, trade.number, trade.side) for trade in recording.trades] == [
        ("BTC-USD", 1, "SELL"),
        ("ETH-USD", 1, "BUY"),
        ("BTC-USD", 2, "BUY"),
    ]


def test_a_csv_may_be_played_in_another_protocol(write: Callable[..., Path]) -> None:
    path = write(
        "venue,symbol,trade_id,exchange_ts_ms,event_ts_ms,recv_ts_ns,price,size,taker_side",
        "binance,BTC-USDT,3735683259,1723161255342,1723161255343,1723161254087896568,61837.63000000,0.02,sell",
        name="trades.csv",
    )

    assert read(path).protocol == "binance"
    recording = read(path, protocol="coinbase")
    assert recording.protocol == "coinbase"
    assert numbers(recording) == [3735683259]


@pytest.mark.parametrize(
    ("lines", "protocol", "words"),
    [
        (["what is this"], None, "no format"),
        ([f"1.0: {match(1)}"], "binance", "no binance trades"),
        ([f"1.0: {match(1)}"], "okx", "not spoken"),
        (["venue,symbol,exchange_ts,price,size,taker_side", "kraken,BTC-USD,soon,1,1,buy"], None, "a row"),
    ],
)
def test_what_cannot_be_read_says_why(
    write: Callable[..., Path], lines: list[str], protocol: str | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        read(write(*lines), protocol=protocol)


def test_a_missing_file_and_one_too_long_say_why(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "nothing.frames")
    with pytest.raises(ConfigError, match="TICKPLANE_REPLAY_FRAMES_MAX"):
        read_recording([write(*(f"{at}.0: {match(at)}" for at in range(1, 5)))], None, 3)


@pytest.mark.parametrize("speed", [1.0, 10.0, None])
def test_a_restamped_run_is_of_now_and_contiguous(write: Callable[..., Path], speed: float | None) -> None:
    recording = read(write(*(f"{at}.0: {match(at)}" for at in range(5, 15))))
    shifted = recording.shifted(restamp(recording, NOW_NS, speed))

    first = numbers(shifted)[0]
    assert numbers(shifted) == list(range(first, first + 10))
    times = [trade.time_ns for trade in shifted.trades]
    anchor = min(times) if speed == 1 else max(times)
    assert NOW_NS - NS_PER_S < anchor <= NOW_NS
    apart = {now.time_ns - then.time_ns for now, then in zip(shifted.trades, recording.trades, strict=True)}
    assert len(apart) == 1
    dialect = dialect_of("coinbase-exchange")
    for timed in shifted.frames:
        assert timed.frame.text is not None
        again = dialect.read(timed.frame.text)
        assert again is not None
        assert again.trades == timed.frame.trades


def test_a_later_run_has_other_ids(write: Callable[..., Path]) -> None:
    recording = read(write(*(f"{at}.0: {match(at)}" for at in range(1, 60))))
    first = numbers(recording.shifted(restamp(recording, NOW_NS, None)))
    second = numbers(recording.shifted(restamp(recording, NOW_NS + NS_PER_S // 1000, None)))

    assert max(first) < min(second)


@recorded
def test_the_recorded_coinbase_frames_are_all_there() -> None:
    recording = read(recording_named("coinbase/exchange_ws_20210417.frames.gz"))

    assert recording.protocol == "coinbase-exchange"
    assert len(recording.products) == 10
    assert len(recording.history) == 10
    assert len(list(recording.trades)) == 107


@recorded
def test_the_recorded_binance_frames_are_all_there() -> None:
    recording = read(recording_named("binance/spot_btcusdt_20240808.frames.gz"))

    assert recording.protocol == "binance"
    assert recording.products == ["BTC-USDT"]
    assert numbers(recording) == list(range(numbers(recording)[0], numbers(recording)[0] + 9757))


@recorded
def test_the_recorded_kraken_trades_become_frames_of_version_two() -> None:
    recording = read(recording_named("kraken/trades_BTC-USD_20190701.csv.gz"))
    assert recording.protocol == "kraken"
    assert numbers(recording) == list(range(1, 2673))

    dialect = dialect_of("kraken")
    session = dialect.session(Market(["BTC-USD"], 10), "/v2")
    session.on_text('{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}', NOW_NS)
    for timed in recording.frames:
        (text,) = session.on_recorded(timed.frame, NOW_NS)
        again = dialect.read(text)
        assert again is not None
        assert again.trades == timed.frame.trades


def test_files_are_numbered_when_full_and_read_back(tmp_path: Path) -> None:
    first = tmp_path / "btc.frames.gz"
    with FrameFiles(first, bytes_max=1_000, files_max=3) as files:
        for number in range(1, 101):
            files.write(match(number), number * NS_PER_S)
            if files.full:
                break

    assert [path.name for path in files.paths] == ["btc.frames.gz", "btc.1.frames.gz", "btc.2.frames.gz"]
    assert files.frames < 100
    assert numbers(read(*files.paths)) == list(range(1, files.frames + 1))


def test_a_frame_is_kept_as_it_came_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"
    with FrameFiles(path, bytes_max=1_000, files_max=1) as files:
        files.write(b'{"a":\n1}', 5)
        files.write('{"b": "\u00e9"}', 6)

    assert path.read_text(encoding="utf-8") == '5 {"a": 1}\n6 {"b": "\u00e9"}\n'


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"
    path.write_text("precious")

    with pytest.raises(ConfigError, match="cannot be written"), FrameFiles(path, bytes_max=1_000, files_max=1):
        pass
    assert path.read_text() == "precious"
