"""Which shard has which product: rendezvous hashing, so that another number of either moves the fewest.

Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (IEEE/ACM ToN, 1998).
"""

from collections.abc import Iterable
from hashlib import blake2b


def assign(products: Iterable[str], shards: int) -> dict[int, tuple[str, ...]]:
    """Each shard's products, sorted, by its number from 0. A shard to which none falls is left out.

    The order in which the products are given does not matter: a shard changes only where its set does.
    """
    found: dict[int, list[str]] = {}
    for product in sorted(products):
        found.setdefault(max(range(shards), key=lambda shard: _weight(product, shard)), []).append(product)
    return {shard: tuple(found[shard]) for shard in sorted(found)}


def _weight(product: str, shard: int) -> bytes:
    return blake2b(f"{product}/{shard}".encode(), digest_size=8).digest()
