"""Whether a topic can be used, by what the brokers say of it."""

from types import SimpleNamespace

from aiokafka.cluster import ClusterMetadata

from services.adapters.kafka import is_healthy

LEADER, NOBODY = 1, -1
FINE, LEADER_NOT_AVAILABLE = 0, 5


def test_a_topic_is_healthy_where_each_partition_has_a_leader() -> None:
    topics = {
        "led": [(FINE, 0, LEADER, [1], [1]), (FINE, 1, LEADER, [1], [1])],
        "half led": [(FINE, 0, LEADER, [1], [1]), (LEADER_NOT_AVAILABLE, 1, NOBODY, [1], [])],
        "without partitions": [],
    }
    cluster = ClusterMetadata()
    cluster.update_metadata(
        SimpleNamespace(
            API_VERSION=1,
            brokers=[(LEADER, "localhost", 9092, None)],
            controller_id=LEADER,
            topics=[(FINE, name, False, partitions) for name, partitions in topics.items()],
        )
    )
    assert [name for name in (*topics, "unknown") if is_healthy(cluster, name)] == ["led"]
