"""The operator as a process on this machine."""

from collections.abc import Mapping
from pathlib import Path

from tests.operator.kube import Kube
from tests.support.polling import eventually
from tests.support.services import Service


class Operator(Service):
    """``tickplane operator``."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        super().__init__("operator", env, log)

    async def begin(self, **env: str) -> None:
        """Start it, with these variables too, and wait until it is ready."""
        self._env.update(env)
        await self.start()
        await self.wait_ready()

    async def again(self) -> None:
        """Stopped as Kubernetes stops it, and started."""
        assert await self.terminate() == 0, self.last_output()
        await self.begin()

    async def writes(self) -> float:
        """Writes that the API server took from this process."""
        return (await self.metrics()).total("operator_api_writes_total")

    async def reconciles(self) -> float:
        return (await self.metrics()).total("operator_reconciles_total")

    async def look_again(self, kube: Kube, *feeds: str) -> None:
        """Make it look at each feed once more, and wait until it has."""
        before = await self.reconciles()
        await kube.touch(*feeds)
        await eventually(lambda: self._has_looked(before + len(feeds)))

    async def _has_looked(self, times: float) -> bool:
        page = await self.metrics()
        return page.total("operator_reconciles_total") >= times and page.total("operator_queue_depth") == 0

    async def settled(self, kube: Kube, *feeds: str) -> bool:
        """Whether it wrote nothing when it looked again."""
        before = await self.writes()
        await self.look_again(kube, *feeds)
        return await self.writes() == before
