"""Redis with a password, which comes apart from the URL."""

from collections.abc import AsyncIterator, Callable

import pytest
import redis.asyncio as redis

from tests.conftest import StartService
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

PASSWORD = "the password of redis"


@pytest.fixture
async def closed_redis(redis_url: str) -> AsyncIterator[None]:
    """Nobody is let in without the password."""
    async with redis.Redis.from_url(redis_url, single_connection_client=True) as admin:
        await admin.config_set("requirepass", PASSWORD)
        yield
        await admin.config_set("requirepass", "")


async def _redis(service: Service) -> tuple[bool, str]:
    state = (await service.ready())["dependencies"]["redis"]
    return state["up"], state["detail"]


async def test_the_password_lets_in_and_another_is_refused_and_said(
    service: StartService, closed_redis: None, free_port: Callable[[], int]
) -> None:
    right = await service("gateway", REDIS_PASSWORD=PASSWORD, TICKPLANE_GATEWAY_PORT=free_port())
    await right.wait_ready()
    assert await _redis(right) == (True, "")
    for password, said in (("another", "invalid username-password pair"), ("", "AuthenticationError")):
        wrong = await service("gateway", REDIS_PASSWORD=password, TICKPLANE_GATEWAY_PORT=free_port())

        async def refused(wrong: Service = wrong, said: str = said) -> bool:
            assert "redis" in (await wrong.ready())["dependencies"]
            up, detail = await _redis(wrong)
            assert said in detail
            return not up

        await eventually(refused)
