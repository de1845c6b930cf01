"""Wrong values are refused, and the message names them."""

import pytest

from tests.chart.tools import EXTERNAL, KIND, PRODUCTION, Object, template


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"recoder": {"replicas": 2}}, "recoder"),
        ({"global": {"kafak": {}}}, "kafak"),
        ({"global": {"image": {"tagg": "1"}}}, "tagg"),
        ({"global": {"image": {"digest": "sha256:short"}}}, "digest"),
        ({"global": {"logLevel": "LOUD"}}, "logLevel"),
        ({"global": {"partitions": 0}}, "partitions"),
        ({"global": {"partitions": "six"}}, "partitions"),
        ({"global": {"marketGroups": 0}}, "marketGroups"),
        ({"global": {"kafka": {"external": {"enabled": True, "bootstrapServers": "no-port"}}}}, "bootstrapServers"),
        ({"global": {"kafka": {"external": {"enabled": True}}}}, "bootstrapServers"),
        ({"global": {"kafka": {"external": {"secrets": {"nobody": "x"}}}}}, "nobody"),
        ({"global": {"postgres": {"external": {"enabled": True}}}}, "host"),
        ({"global": {"postgres": {"external": {"roles": "guess"}}}}, "roles"),
        ({"global": {"valkey": {"external": {"enabled": True, "url": "redis://:password@host/0"}}}}, "url"),
        ({"global": {"monitoring": {"forScale": 0}}}, "forScale"),
        ({"global": {"edge": {"httpRoute": {"parentRefs": [{"sectionName": "https"}]}}}}, "name"),
        ({"candles": {"replica": 3}}, "replica"),
        ({"candles": {"replicas": "3"}}, "replicas"),
        ({"candles": {"graceSeconds": 0}}, "graceSeconds"),
        ({"candles": {"resources": {"limits": {"memory": "much"}}}}, "memory"),
        ({"candles": {"settings": {"TICKPLANE_GRACE_AFTER_BAR": 1}}}, "TICKPLANE_GRACE_AFTER_BAR"),
        ({"candles": {"settings": {"TICKPLANE_RETENTION_MONTHS": 1}}}, "TICKPLANE_RETENTION_MONTHS"),
        ({"matching": {"settings": {"TICKPLANE_MARKET_GROUP": 1}}}, "TICKPLANE_MARKET_GROUP"),
        ({"candles": {"settings": {"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}}}, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"migrate": {"topics": "yes"}}, "topics"),
        ({"kafka": {"replicas": 0}}, "replicas"),
        ({"postgres": {"backup": {"schedule": "daily"}}}, "schedule"),
        ({"valkey": {"persistence": True}}, "persistence"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_name(values: Object, said: str) -> None:
    result = template(PRODUCTION, values)
    assert result.returncode != 0
    assert "don't meet the specifications of the schema" in result.stderr
    assert said in result.stderr


@pytest.mark.parametrize("files", [PRODUCTION, KIND, EXTERNAL], ids=["production", "kind", "external"])
def test_the_values_files_are_right(files: tuple[str, ...]) -> None:
    result = template(files)
    assert result.returncode == 0, result.stderr


def test_a_right_value_is_taken() -> None:
    values = {
        "candles": {"settings": {"TICKPLANE_GRACE_AFTER_BAR_MS": 3000}, "nodeSelector": {"disk": "fast"}},
        "postgres": {"resources": {"requests": {"cpu": 2, "memory": "8Gi"}, "limits": {"memory": "8Gi"}}},
    }
    result = template(PRODUCTION, values)
    assert result.returncode == 0, result.stderr
