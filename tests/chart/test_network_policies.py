"""NetworkPolicies against the design's table of who reads, writes and calls what."""

from typing import Any

import pytest

from services.contracts.access import ACCESS
from tests.chart.tools import EXTERNAL, PRODUCTION, RELEASE, Object, of_kind, render

KAFKA, POSTGRES, VALKEY = "kafka", "postgres", "valkey"
API_SERVER, FEEDS, VALIDATOR = "API server", "feeds", "validator"

DESIGN = {
    "recorder": {KAFKA, POSTGRES, VALKEY},
    "candles": {KAFKA, POSTGRES},
    "indicators": {KAFKA, POSTGRES, VALKEY},
    # The latest values of what the log read so far did not give are in Valkey.
    "gateway": {KAFKA, VALKEY, VALIDATOR},
    "api": {KAFKA, POSTGRES, VALKEY},
    "validator": {KAFKA, POSTGRES},
    "orders": {KAFKA, POSTGRES, VALKEY},
    "matching": {KAFKA, POSTGRES, VALKEY},
    "operator": {API_SERVER, FEEDS},
    "migrate": {KAFKA, POSTGRES},
}
"""Whom each speaks to first. The feeds' own policies are the operator's."""

CALLED_FROM_OUTSIDE = {"gateway": 8002, "api": 8001, "orders": 8003}
GRPC_PORT = 50_051
SCRAPED = set(DESIGN) - {"migrate"}
PORTS = {
    9093: KAFKA,
    5432: POSTGRES,
    6379: VALKEY,
    443: API_SERVER,
    6443: API_SERVER,
    9000: FEEDS,
    GRPC_PORT: VALIDATOR,
}
EXTERNAL_PORTS = {9092 if port == 9093 else port: name for port, name in PORTS.items()}


def policies(objects: list[Object]) -> dict[str, Object]:
    """The spec of each policy, by its name without the release's."""
    return {name.removeprefix(f"{RELEASE}-"): item["spec"] for name, item in of_kind(objects, "NetworkPolicy").items()}


def targets(policy: Object, ports: dict[int, str]) -> set[str]:
    """Whom the policy lets its pods speak to; DNS, which all may ask, left out."""
    numbers = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert 53 in numbers
    return {ports[number] for number in numbers - {53}}


def peers(rules: list[Object], port: int) -> list[Any]:
    return [peer for rule in rules for peer in rule["from"] if {"port": port, "protocol": "TCP"} in rule["ports"]]


def pods_of(service: str) -> Object:
    labels = {"app.kubernetes.io/name": service, "app.kubernetes.io/instance": RELEASE}
    return {"podSelector": {"matchLabels": labels}}


def names(peer: Object) -> set[str]:
    """The services that a peer's selector names."""
    (expression,) = peer["podSelector"]["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("app.kubernetes.io/name", "In")
    return set(expression["values"])


def who_uses(store: str) -> set[str]:
    return {service for service, uses in DESIGN.items() if store in uses}


def test_the_table_has_every_service() -> None:
    assert set(DESIGN) == set(ACCESS) - {"feed"}


@pytest.mark.parametrize(("files", "ports"), [(PRODUCTION, PORTS), (EXTERNAL, EXTERNAL_PORTS)], ids=["own", "external"])
def test_each_speaks_to_whom_the_design_says_and_to_nobody_else(files: tuple[str, ...], ports: dict[int, str]) -> None:
    found = policies(render(files))
    assert {service: targets(found[service], ports) for service in DESIGN} == DESIGN


def test_each_selects_its_own_pods_and_both_directions() -> None:
    found = policies(render())
    for service in DESIGN:
        assert found[service]["podSelector"]["matchLabels"] == {
            "app.kubernetes.io/name": service,
            "app.kubernetes.io/instance": RELEASE,
        }
        assert found[service]["policyTypes"] == ["Ingress", "Egress"]


def test_the_gateway_calls_the_validator_and_nothing_else_of_ours() -> None:
    rules = [rule for rule in policies(render())["gateway"]["egress"] if rule["ports"][0]["port"] == GRPC_PORT]
    assert rules == [{"to": [pods_of("validator")], "ports": [{"port": GRPC_PORT, "protocol": "TCP"}]}]


def test_what_no_policy_lets_through_is_denied() -> None:
    deny = policies(render())["default-deny"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    selected = deny["podSelector"]["matchLabels"].items()
    for item in render():
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            assert selected <= item["spec"]["template"]["metadata"]["labels"].items(), item["metadata"]["name"]


def test_only_the_edge_comes_to_the_public_ports_and_only_the_scraper_to_the_others() -> None:
    found = policies(render(PRODUCTION, {"global": {"networkPolicy": {"edgeCidrs": ["10.1.0.0/16"]}}}))
    edge = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
        pods_of("helm-test"),
    ]
    scraper = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    for service in DESIGN:
        rules = found[service].get("ingress", [])
        open_ports = {port["port"] for rule in rules for port in rule["ports"]}
        wanted = {9000} if service in SCRAPED else set()
        if service in CALLED_FROM_OUTSIDE:
            wanted.add(CALLED_FROM_OUTSIDE[service])
            assert peers(rules, CALLED_FROM_OUTSIDE[service]) == edge
        if service in SCRAPED:
            assert peers(rules, 9000) == scraper
        if service == "validator":
            wanted.add(GRPC_PORT)
            assert peers(rules, GRPC_PORT) == [pods_of("gateway")]
        assert open_ports == wanted


def test_the_stores_let_in_whom_the_design_says() -> None:
    objects = render()
    found = policies(objects)
    (services,) = peers(found["valkey"]["ingress"], 6379)
    assert names(services) == who_uses(VALKEY)
    assert found["valkey"].get("egress") is None
    services, instances, operator = peers(found["postgres"]["ingress"], 5432)
    assert names(services) == who_uses(POSTGRES)
    assert instances == {"podSelector": {"matchLabels": {"cnpg.io/cluster": f"{RELEASE}-postgres"}}}
    assert operator == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}}


def test_the_brokers_let_in_whom_the_design_says() -> None:
    (listener,) = of_kind(render(), "Kafka")[RELEASE]["spec"]["kafka"]["listeners"]
    services, feeds, keda = listener["networkPolicyPeers"]
    assert names(services) == who_uses(KAFKA)
    assert feeds == {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "feed"}}}
    assert keda == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}


def test_the_operator_asks_feeds_of_its_namespace_or_of_all_by_value() -> None:
    def feeds_rule(values: Object) -> Any:
        (rule,) = [
            rule
            for rule in policies(render(PRODUCTION, values))["operator"]["egress"]
            if rule["ports"][0]["port"] == 9000
        ]
        return rule["to"]

    pods = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "feed"}}}
    assert feeds_rule({}) == [pods]
    assert feeds_rule({"global": {"feeds": {"allNamespaces": True}}}) == [{**pods, "namespaceSelector": {}}]


def test_without_policies_there_are_none() -> None:
    objects = render(PRODUCTION, {"global": {"networkPolicy": {"enabled": False}}})
    assert policies(objects) == {}
    assert "networkPolicyPeers" not in of_kind(objects, "Kafka")[RELEASE]["spec"]["kafka"]["listeners"][0]
