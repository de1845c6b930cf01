"""``helm test``: the operator takes a MarketFeed up. It is paused, so that no trade of it is left behind."""

# ruff: noqa: T201

import asyncio
import os

from lightkube import ApiError, AsyncClient
from lightkube.generic_resource import create_namespaced_resource

from market_operator.connection import lightkube_client

MarketFeed = create_namespaced_resource("tickplane.io", "v1alpha1", "MarketFeed", "marketfeeds")
NAME = "helm-test"
NAMESPACE = os.environ["NAMESPACE"]
TIMEOUT_S = 60
SPEC = {"venue": "demo", "exchange": "helm-test", "products": ["TEST-USD"], "paused": True}


async def main() -> None:
    client = lightkube_client("helm-test")
    await remove(client)
    await client.create(MarketFeed(metadata={"name": NAME, "namespace": NAMESPACE}, spec=SPEC))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await wait_until_paused(client)
    except TimeoutError:
        raise SystemExit(f"the operator has not taken the MarketFeed up in {TIMEOUT_S} s") from None
    finally:
        await remove(client)


async def wait_until_paused(client: AsyncClient) -> None:
    while True:
        status = (await client.get(MarketFeed, NAME, namespace=NAMESPACE)).status or {}
        if any(c["type"] == "Paused" and c["status"] == "True" for c in status.get("conditions", [])):
            print(f"the operator says {status}")
            return
        await asyncio.sleep(0.5)


async def remove(client: AsyncClient) -> None:
    try:
        await client.delete(MarketFeed, NAME, namespace=NAMESPACE)
    except ApiError as error:
        if error.status.code != 404:
            raise


asyncio.run(main())
