"""Which MarketFeed has a product, where several claim it: the oldest. Pure."""

from collections.abc import Iterable, Mapping

from market_operator.feeds import Feed, Key

Claim = tuple[str, str, str]
"""The Kafka, the exchange's label, the product: what one feed alone may publish."""
Holder = tuple[str, Key]
"""Sorts older feeds before younger ones, the same way for ever."""


def claims(feed: Feed, exchange: str, default_kafka: str) -> dict[Claim, Holder]:
    """What a feed claims; nothing while it is paused."""
    if feed.spec.paused:
        return {}
    kafka = feed.spec.kafka.bootstrap_servers or default_kafka
    holder = (f"{feed.created}/{feed.uid}", feed.key)
    return {(kafka, exchange, product): holder for product in feed.spec.products}


def conflicts(mine: Mapping[Claim, Holder], all_claims: Mapping[Claim, Iterable[Holder]]) -> dict[str, Key]:
    """The products that an older feed has, with its name."""
    found = {}
    for claim, me in mine.items():
        _, owner = min([me, *all_claims.get(claim, ())])
        if owner != me[1]:
            found[claim[2]] = owner
    return found


def rivals(mine: Iterable[Claim], all_claims: Mapping[Claim, Iterable[Holder]]) -> set[Key]:
    """Every feed that claims something of these."""
    return {key for claim in mine if claim in all_claims for _, key in all_claims[claim]}
