"""A MarketFeed as it is read from the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import msgspec

from market_operator.resource import GROUP, KIND, MarketFeedSpec

FEED_LABEL = f"{GROUP}/feed"
SHARD_LABEL = f"{GROUP}/shard"
RECONCILE = f"{GROUP}/reconcile"
"""The annotation whose every new value makes the operator apply everything again."""


class Key(NamedTuple):
    """What the work queue holds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Feed:
    """``created`` is RFC 3339; ``status`` is as it stands in the cluster, not parsed: it may be an older operator's."""

    key: Key
    uid: str
    generation: int
    created: str
    spec: MarketFeedSpec
    status: dict[str, Any]
    asked: str = ""
    """The value of the annotation ``tickplane.io/reconcile``."""

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        """Raises msgspec.ValidationError for a spec that this operator does not know."""
        metadata = body["metadata"]
        return cls(
            key=Key(metadata["namespace"], metadata["name"]),
            uid=metadata["uid"],
            generation=metadata["generation"],
            created=metadata["creationTimestamp"],
            spec=msgspec.convert(body["spec"], MarketFeedSpec),
            status=body.get("status") or {},
            asked=metadata.get("annotations", {}).get(RECONCILE, ""),
        )


def feed_of(kind: str, body: Mapping[str, Any]) -> Key | None:
    """Whose object it is, by its owner or else by its label; None where somebody took both away."""
    metadata = body["metadata"]
    owners = [owner["name"] for owner in metadata.get("ownerReferences", ()) if owner["kind"] == KIND]
    names = [metadata["name"]] if kind == KIND else [*owners, metadata.get("labels", {}).get(FEED_LABEL)]
    return None if names[0] is None else Key(metadata["namespace"], names[0])
