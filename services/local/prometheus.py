"""Prometheus for `make run`, where it is installed: it scrapes every process and evaluates ``monitoring/rules``.

It is not one of the parts that a run needs, and no package registry of Python has it.
"""

import asyncio
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from services.contracts.errors import InfraError
from services.local.parts import Part
from services.local.ports import LOOPBACK

RULES = Path(__file__).parents[2] / "monitoring" / "rules"
PROGRAM = "prometheus"
NAMESPACE = "local"
"""What rules and dashboards group by; on a cluster it is the release's."""
SCRAPE_INTERVAL = "5s"
RETENTION = "1d"
HOW_TO_GET_IT = (
    "no `prometheus` on the PATH, so nobody evaluates monitoring/rules: Debian and Ubuntu have it as the package "
    "prometheus, Homebrew as the formula prometheus, https://prometheus.io/download/ for everybody else"
)


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


def configuration(targets: Iterable[tuple[str, str]], rules: Path = RULES) -> Mapping[str, object]:
    """A configuration file's content. ``targets`` are a service's name and the URL of its metrics, one a process.

    https://prometheus.io/docs/prometheus/latest/configuration/configuration/
    """
    addresses: dict[str, list[str]] = {}
    for service, metrics_url in targets:
        addresses.setdefault(service, []).append(urlsplit(metrics_url).netloc)
    return {
        "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL},
        "rule_files": [str(rules / "*.yaml")],
        "scrape_configs": [
            {"job_name": service, "static_configs": [{"targets": found, "labels": {"namespace": NAMESPACE}}]}
            for service, found in addresses.items()
        ],
    }


class Prometheus(Part):
    name = "prometheus"

    def __init__(self, folder: Path, port: int, targets: Iterable[tuple[str, str]], log: Path | None = None) -> None:
        super().__init__(folder, port, log)
        self._targets = list(targets)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def _launch(self) -> None:
        program = await asyncio.to_thread(shutil.which, PROGRAM)
        if program is None:
            raise InfraError(self.name, HOW_TO_GET_IT)
        # What is JSON is YAML.
        file = self.folder / "prometheus.yaml"
        file.write_text(json.dumps(configuration(self._targets), indent=2))
        options = {
            "config.file": file,
            "storage.tsdb.path": self.folder / "data",
            "storage.tsdb.retention.time": RETENTION,
            "web.listen-address": f"{LOOPBACK}:{self.port}",
            "log.level": "warn",
        }
        await self.process.start([program, *(f"--{name}={value}" for name, value in options.items())])

    async def _answers(self) -> bool:
        async with httpx.AsyncClient(timeout=2) as client:
            try:
                return (await client.get(f"{self.url}/-/ready")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False
