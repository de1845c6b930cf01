"""What each service may reach: topics, consumer group, stores and other services. ACLs, database roles and
NetworkPolicies follow this table, and tests hold them against it.

Every service also answers probes and the scraper on its ops port, and may send traces.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from services.contracts.topics import Group, Topic


class Store(StrEnum):
    POSTGRES = "postgres"
    REDIS = "redis"


class Peer(StrEnum):
    """What is called that is neither a store nor a service of ours."""

    EXCHANGE = "exchange"
    """Any exchange's WebSocket and REST interface, on the internet."""
    API_SERVER = "api-server"
    """Kubernetes' own."""


Operation = Literal["Read", "Write", "Describe", "Create", "DescribeConfigs"]


@dataclass(frozen=True)
class Acl:
    """One resource of Kafka, by its literal name, and what may be done with it. The names are Kafka's own:
    https://kafka.apache.org/documentation/#operations_resources_and_protocols
    """

    resource: Literal["topic", "group"]
    name: str
    operations: frozenset[Operation]


@dataclass(frozen=True)
class Access:
    """One service's row. ``describes`` are topics of which only ends and leaders are asked, never a record."""

    reads: frozenset[Topic] = frozenset()
    writes: frozenset[Topic] = frozenset()
    describes: frozenset[Topic] = frozenset()
    creates: frozenset[Topic] = frozenset()
    group: Group | None = None
    stores: frozenset[Store] = frozenset()
    calls: frozenset[str] = frozenset()
    """Services by their name in ``ACCESS``, and ``Peer``."""

    @property
    def topics(self) -> frozenset[Topic]:
        """Every topic that has to be there."""
        return self.reads | self.writes | self.describes | self.creates

    def acls(self) -> list[Acl]:
        """What Kafka has to allow, and nothing more. Idempotent producers need no more than Write (KIP-679)."""
        operations: dict[Topic, set[Operation]] = {topic: {"Describe"} for topic in self.topics}
        for topics, operation in ((self.reads, "Read"), (self.writes, "Write"), (self.creates, "Create")):
            for topic in topics:
                operations[topic].add(operation)  # type: ignore[arg-type]
        found = [Acl("topic", topic, frozenset(operations[topic])) for topic in sorted(operations)]
        if self.group is not None:
            found.append(Acl("group", self.group, frozenset({"Read"})))
        return found


ALL_TOPICS = frozenset(Topic)

ACCESS: Mapping[str, Access] = {
    "feed": Access(
        reads=frozenset({Topic.FEED_STATE}),
        writes=frozenset({Topic.MARKET_TRADES, Topic.FEED_STATE, Topic.MARKET_TRADES_DLQ, Topic.RAW_FRAMES}),
        calls=frozenset({Peer.EXCHANGE}),
    ),
    "recorder": Access(
        reads=frozenset({Topic.MARKET_TRADES, Topic.FEED_STATE}),
        writes=frozenset({Topic.MARKET_TRADES_DLQ}),
        group=Group.RECORDER,
        stores=frozenset({Store.POSTGRES, Store.REDIS}),
    ),
    "candles": Access(
        reads=frozenset({Topic.MARKET_TRADES, Topic.FEED_STATE}),
        writes=frozenset({Topic.CANDLES}),
        group=Group.CANDLES,
        stores=frozenset({Store.POSTGRES}),
    ),
    "indicators": Access(
        # Of feed_state only the log's identity, as every group does.
        reads=frozenset({Topic.MARKET_TRADES, Topic.CANDLES, Topic.FEED_STATE}),
        writes=frozenset({Topic.INDICATORS}),
        group=Group.INDICATORS,
        stores=frozenset({Store.POSTGRES, Store.REDIS}),
    ),
    "gateway": Access(
        reads=frozenset(
            {
                Topic.MARKET_TRADES,
                Topic.CANDLES,
                Topic.INDICATORS,
                Topic.VALIDATED_TRADES,
                Topic.EXECUTIONS,
                Topic.BOOK,
                Topic.FEED_STATE,
            }
        ),
        stores=frozenset({Store.REDIS}),
        calls=frozenset({"validator"}),
    ),
    "api": Access(
        # It watches over all of them.
        describes=ALL_TOPICS,
        stores=frozenset({Store.POSTGRES, Store.REDIS}),
    ),
    "validator": Access(
        # Of feed_state only the log's identity.
        reads=frozenset({Topic.RAW_TICKS, Topic.VALIDATED_TRADES, Topic.FEED_STATE}),
        writes=frozenset({Topic.VALIDATED_TRADES, Topic.RAW_TICKS_DLQ}),
        group=Group.VALIDATOR,
        stores=frozenset({Store.POSTGRES}),
    ),
    "orders": Access(
        writes=frozenset({Topic.ORDERS}),
        stores=frozenset({Store.POSTGRES, Store.REDIS}),
    ),
    "matching": Access(
        # Of feed_state only the log's identity.
        reads=frozenset({Topic.ORDERS, Topic.FEED_STATE}),
        writes=frozenset({Topic.ORDERS, Topic.EXECUTIONS, Topic.BOOK, Topic.ORDERS_DLQ}),
        group=Group.MATCHING,
        stores=frozenset({Store.POSTGRES, Store.REDIS}),
    ),
    "operator": Access(calls=frozenset({"feed", Peer.API_SERVER})),
    "migrate": Access(
        reads=frozenset({Topic.FEED_STATE}),
        writes=frozenset({Topic.FEED_STATE}),
        creates=ALL_TOPICS,
        stores=frozenset({Store.POSTGRES}),
    ),
}
"""By the name under which each is started."""


def database_role(service: str) -> str:
    """The role in Postgres whose grants a service has. What may do DDL is the migrator, who owns the schema."""
    return f"tickplane_{service}"


DATABASE_SERVICES = tuple(
    service for service, access in ACCESS.items() if Store.POSTGRES in access.stores and service != "migrate"
)
"""The services with a database role of their own."""
