"""``/ws/marketdata``: ticks from many sockets through the gateway and the validator and back, verdicts published."""

import sys
from typing import Any

import msgspec
import psutil

from services.local.ports import LOOPBACK, free_port
from services.local.process import Process
from tests.bench import marketdata_client
from tests.bench.consumers import MEGABYTE
from tests.bench.report import Figure, median
from tests.bench.servers import Servers, servers
from tests.support.services import Service, clean_environment

BENCH = "marketdata"
CLIENTS = 500
TICKS_PER_CLIENT_AND_S = 10
RUN_S = 20.0
RUNS = 5
QUICK_RUN_S = 3.0
P99_MAX_MS = 50


async def run(*, quick: bool) -> list[Figure]:
    runs, run_s = (1, QUICK_RUN_S) if quick else (RUNS, RUN_S)
    async with servers() as made:
        gateway, validator, port = await _start(made)
        before_mb = _resident_mb(gateway)
        await _load(made, port, QUICK_RUN_S)
        cpu_before_s = [_cpu_s(service) for service in (gateway, validator)]
        answers = [await _load(made, port, run_s) for _ in range(runs)]
        cpu_s = [_cpu_s(service) - before for service, before in zip((gateway, validator), cpu_before_s, strict=True)]
        grown_mb = _resident_mb(gateway) - before_mb
    return _figures(answers, cpu_s, grown_mb)


async def _start(made: Servers) -> tuple[Service, Service, int]:
    address, port = f"{LOOPBACK}:{free_port()}", free_port()
    validator = await made.service("validator", GRPC_SERVER_ADDRESS=address)
    gateway = await made.service("gateway", GRPC_SERVER_ADDRESS=address, TICKPLANE_GATEWAY_PORT=port)
    return gateway, validator, port


async def _load(made: Servers, port: int, run_s: float) -> dict[str, Any]:
    client = Process("client", made.folder / "client.log")
    command = [sys.executable, "-m", marketdata_client.__name__, port, CLIENTS, TICKS_PER_CLIENT_AND_S, run_s]
    await client.start(list(map(str, command)), env=clean_environment())
    code = await client.wait()
    if code:
        raise RuntimeError(f"the client ended with {code}: {client.last_words()}")
    answer: dict[str, Any] = msgspec.json.decode(client.last_words())
    return answer


def _figures(answers: list[dict[str, Any]], cpu_s: list[float], grown_mb: float) -> list[Figure]:
    rate = median([answer["per_s"] for answer in answers])
    note = f"{CLIENTS} clients, {rate:,.0f} ticks/s; median of {len(answers)}"
    sent = sum(answer["sent"] for answer in answers)
    lost = sent - sum(answer["answered"] - answer["wrong"] for answer in answers)

    def figure(name: str, key: str, target: float | None) -> Figure:
        return Figure(BENCH, name, "ms", median([answer[key] for answer in answers]), target, "at most", note)

    def cost(service: str, seconds: float) -> Figure:
        return Figure(BENCH, f"{service}: CPU per tick", "µs", seconds / sent * 1e6, bound="at most", note=note)

    return [
        Figure(BENCH, "ticks lost or answered wrongly", "ticks", lost, 0, "at most", f"of {sent:,}"),
        figure("tick to answer, p50", "p50_ms", None),
        figure("tick to answer, p99", "p99_ms", P99_MAX_MS),
        figure("tick to answer, longest", "max_ms", None),
        cost("gateway", cpu_s[0]),
        cost("validator", cpu_s[1]),
        Figure(
            BENCH, "gateway: memory per socket", "kB", grown_mb * 1e3 / CLIENTS, bound="at most",
            note="resident after all runs, stream and buffers included",
        ),
    ]  # fmt: skip


def _cpu_s(service: Service) -> float:
    times = psutil.Process(service.pid).cpu_times()
    return times.user + times.system


def _resident_mb(service: Service) -> float:
    return psutil.Process(service.pid).memory_info().rss / MEGABYTE
