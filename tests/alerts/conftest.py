"""One release under a Prometheus of its own, with every wait of the rules cut to a twentieth."""

from collections.abc import AsyncIterator

import pytest

from tests.alerts.prometheus import Prometheus
from tests.alerts.world import World
from tests.e2e.conftest import Release, Values, api_keys, host, image, market, node_parts, release
from tests.e2e.market import Market

__all__ = ["api_keys", "host", "image", "market", "node_parts", "release"]

FOR_SCALE = 0.05
REQUESTS_PER_MINUTE = 300


@pytest.fixture(scope="session")
def more_values() -> Values:
    return {
        "global": {"monitoring": {"enabled": True, "interval": "5s", "forScale": FOR_SCALE}},
        "api": {"settings": {"RATE_LIMIT_PER_MINUTE": str(REQUESTS_PER_MINUTE)}},
        "gateway": {"settings": {"TICKPLANE_CLIENT_BUFFER_BYTES_MAX": "4096"}},
        "indicators": {"settings": {"TICKPLANE_BATCH_RECORDS_MAX": "100"}},
    }


@pytest.fixture(scope="session")
async def prometheus(release: Release) -> AsyncIterator[Prometheus]:
    made = Prometheus(release.cluster)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="session")
async def world(
    release: Release, prometheus: Prometheus, market: Market, host: str, api_keys: dict[str, str]
) -> AsyncIterator[World]:
    """The release with feeds, clients and orders, all of it busy."""
    async with World(release, prometheus, market, host, api_keys) as made:
        yield made
