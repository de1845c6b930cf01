"""Products that move between shards: the shard that gets one streams before the other lets it go. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

from market_operator.desired import CONTAINER
from market_operator.resource import PRODUCTS_VARIABLE

Object = dict[str, Any]
Products = Mapping[str, Collection[str]]
"""Products by the name of the Deployment that has them."""


def held(wanted: Products, live: Products, settled: Collection[str]) -> set[str]:
    """Deployments that must not be changed or deleted yet, because what they give up does not stream elsewhere.

    ``settled`` are the Deployments that are as wanted and whose pods stream. This cannot come to a standstill: with
    rendezvous hashing products move from lower shards to higher ones, or away from shards that end.
    """
    takers = {product: name for name, products in wanted.items() for product in products}
    found = set()
    for name, products in live.items():
        given_up = set(products) - set(wanted.get(name, ()))
        if any(takers.get(product, name) not in {name, *settled} for product in given_up):
            found.add(name)
    return found


def products_of(deployment: Object) -> tuple[str, ...]:
    """What a shard's Deployment subscribes to; others may have added containers, or taken the variable away."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    variables = [each for item in containers if item["name"] == CONTAINER for each in item.get("env", [])]
    products = next((each.get("value", "") for each in variables if each["name"] == PRODUCTS_VARIABLE), "")
    return tuple(products.split(",")) if products else ()
