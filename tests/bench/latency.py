"""From a trade at the exchange to the frame at a WebSocket client, through feed, Kafka and gateway.

The exchange stamps each trade as it makes it; the client takes the time when it has the frame. One machine, one clock.
"""

import asyncio

from services.runtime.clock import NS_PER_MS, parse_rfc3339
from tests.bench.edge import edge
from tests.bench.report import Figure, median, percentile

BENCH = "latency"
PRODUCTS = 20
TRADES_PER_S = 2_000
WARM_UP_S = 30.0
"""Kafka's Java compiles what is hot meanwhile; a Kafka that runs for a minute is what users have."""
WINDOW_S = 20.0
WINDOWS = 5
QUICK_S = 2.0


async def run(*, quick: bool) -> list[Figure]:
    windows, window_s, warm_up_s = (1, QUICK_S, QUICK_S) if quick else (WINDOWS, WINDOW_S, WARM_UP_S)
    heard: list[tuple[int, str]] = []
    taken: list[list[tuple[int, str]]] = []
    async with edge(PRODUCTS, TRADES_PER_S, lambda now_ns, time: heard.append((now_ns, time))):
        await asyncio.sleep(warm_up_s)
        for _ in range(windows):
            heard.clear()
            await asyncio.sleep(window_s)
            taken.append(heard.copy())
    return _figures([_latencies_ms(window) for window in taken], window_s)


def _latencies_ms(frames: list[tuple[int, str]]) -> list[float]:
    return [(received_ns - parse_rfc3339(time)) / NS_PER_MS for received_ns, time in frames]


def _figures(windows: list[list[float]], window_s: float) -> list[Figure]:
    rate = sum(map(len, windows)) / len(windows) / window_s
    note = f"{rate:,.0f} frames/s at {PRODUCTS} clients; median of {len(windows)} × {window_s:.0f} s"

    def figure(name: str, share: float, target: float | None) -> Figure:
        value = median([percentile(window, share) for window in windows])
        return Figure(BENCH, f"exchange to client, {name}", "ms", value, target, "at most", note)

    worst = max(percentile(window, 0.99) for window in windows)
    return [
        Figure(BENCH, "frames at the clients", "frames/s", rate, TRADES_PER_S * 0.99, note="what was offered arrived"),
        figure("p50", 0.5, 4),
        figure("p99", 0.99, 10),
        Figure(BENCH, "exchange to client, p99 of the worst window", "ms", worst, bound="at most", note=note),
    ]
