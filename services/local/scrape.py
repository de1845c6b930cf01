"""Reading another process's ``/metrics``."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    """The samples of one page: (name, labels, value)."""

    samples: tuple[tuple[str, Mapping[str, str], float], ...]

    @classmethod
    def parse(cls, page: str) -> "Scrape":
        families = text_string_to_metric_families(page)
        return cls(tuple((s.name, s.labels, s.value) for family in families for s in family.samples))

    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _, _ in self.samples}

    def total(self, name: str, **labels: str) -> float:
        """The sum over the samples of this name that have these labels; 0 where there are none."""
        return sum(value for found, has, value in self.samples if found == name and labels.items() <= has.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums per value of one label."""
        values = {has[label] for found, has, _ in self.samples if found == name}
        return {value: self.total(name, **{label: value}) for value in values}


async def scrape(client: httpx.AsyncClient, metrics_url: str) -> Scrape:
    """Raises httpx.HTTPError where the process does not answer."""
    response = await client.get(metrics_url)
    return Scrape.parse(response.raise_for_status().text)
