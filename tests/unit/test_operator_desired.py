"""What a MarketFeed needs in the cluster: golden files for the whole, and rules that must hold for any of it.

Where a golden file changes, running shards restart on the operator's next version: so let it be on purpose, and write
it anew with ``python -m tests.operator.golden``.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from market_operator.desired import desired
from market_operator.settings import OperatorSettings
from services.feed.settings import FeedSettings
from tests.operator.golden import CASES, FOLDER, as_yaml, feed

Object = dict[str, Any]


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_it_was(name: str) -> None:
    assert as_yaml(name) == (FOLDER / f"{name}.yaml").read_text()


def test_each_golden_file_is_of_a_case() -> None:
    assert {Path(path).stem for path in FOLDER.glob("*.yaml")} == set(CASES)


def _of(kind: str, objects: list[Object]) -> list[Object]:
    return [item for item in objects if item["kind"] == kind]


def _pods(objects: list[Object]) -> list[Object]:
    return [item["spec"]["template"]["spec"] for item in _of("Deployment", objects)]


def _variables(pod: Object) -> dict[str, Object]:
    return {each["name"]: each for each in pod["containers"][0]["env"]}


@pytest.mark.parametrize(
    "change",
    [
        {"operator_workers": 9},
        {"stale_after_s": 10},
        {"feed_monitor_labels": {"release": "prometheus"}},
        {"feed_scraper_namespaces": ("observability",)},
        {"operator_namespace": "elsewhere"},
    ],
)
def test_a_setting_that_is_not_of_the_pods_restarts_none(change: dict[str, Any]) -> None:
    spec = {"products": ["BTC-USD", "ETH-USD", "SOL-USD"], "shards": 3}
    before, after = (desired(feed(spec), OperatorSettings(**settings)) for settings in ({}, change))
    assert _of("Deployment", before) == _of("Deployment", after)


def test_another_product_restarts_one_shard() -> None:
    products = ["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"]
    before, after = (
        _of("Deployment", desired(feed({"products": those, "shards": 3}), OperatorSettings()))
        for those in (products[:-1], products)
    )
    assert len([item for item in after if item not in before]) == 1


def test_a_paused_feed_keeps_everything_but_its_pods() -> None:
    running, paused = (desired(feed({"paused": each}), OperatorSettings()) for each in (False, True))
    assert [item["metadata"]["name"] for item in running] == [item["metadata"]["name"] for item in paused]
    assert [item["spec"]["replicas"] for item in _of("Deployment", paused)] == [0]


def test_a_product_that_another_feed_has_is_left_out() -> None:
    spec = {"products": ["BTC-USD", "ETH-USD"]}
    (pod,) = _pods(desired(feed(spec), OperatorSettings(), without=frozenset({"BTC-USD"})))
    assert _variables(pod)["TICKPLANE_PRODUCTS"]["value"] == "ETH-USD"
    nothing = desired(feed(spec), OperatorSettings(), without=frozenset(spec["products"]))
    assert {item["kind"] for item in nothing} == {"ServiceAccount", "NetworkPolicy", "PodMonitor"}


def test_every_feed_is_scraped_as_the_job_feed() -> None:
    objects = desired(feed({}), OperatorSettings())
    (monitor,), (deployment,) = _of("PodMonitor", objects), _of("Deployment", objects)
    pod_labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert pod_labels[monitor["spec"]["jobLabel"]] == "feed"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod_labels.items()


def test_without_the_api_of_pod_monitors_there_is_none() -> None:
    assert not _of("PodMonitor", desired(feed({}), OperatorSettings(), monitored=False))


def test_the_feed_takes_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"gapRepair": {"maxAge": "2d", "maxTrades": 9}, "settings": {"depth": "5"}, "endpoint": "ws://replay:9901"}
    (pod,) = _pods(desired(feed({**spec, "products": ["BTC-USD"], "logLevel": "DEBUG"}), OperatorSettings()))
    for name, variable in _variables(pod).items():
        monkeypatch.setenv(name, variable["value"])
    settings = FeedSettings.load(_env_file=None)
    assert (settings.products, settings.endpoint, settings.log_level) == (("BTC-USD",), "ws://replay:9901", "DEBUG")
    assert (settings.gap_repair_max_age_s, settings.venue_settings) == (172_800, {"depth": "5"})
    assert settings.grace_s < pod["terminationGracePeriodSeconds"]


KAFKA: Object = {
    "feed_kafka_bootstrap_servers": "default:9093",
    "feed_kafka_security_protocol": "SASL_SSL",
    "feed_kafka_secret": "default-user",
    "feed_kafka_ca_secret": "default-ca",
}


@pytest.mark.parametrize(
    ("kafka", "protocol", "servers", "secret", "ca"),
    [
        ({}, "SASL_SSL", "default:9093", "default-user", "default-ca"),
        ({"secretRef": {"name": "own"}}, "SASL_SSL", "default:9093", "own", "default-ca"),
        ({"bootstrapServers": "own:9092"}, "PLAINTEXT", "own:9092", None, None),
        ({"bootstrapServers": "own:9092", "caSecretRef": {"name": "ca"}}, "SSL", "own:9092", None, "ca"),
        ({"bootstrapServers": "own:9092", "secretRef": {"name": "own"}}, "SASL_SSL", "own:9092", "own", None),
    ],
)
def test_whose_kafka_it_is(kafka: Object, protocol: str, servers: str, secret: str | None, ca: str | None) -> None:
    (pod,) = _pods(desired(feed({"kafka": kafka}), OperatorSettings(**KAFKA)))
    variables = _variables(pod)
    assert variables["KAFKA_SECURITY_PROTOCOL"]["value"] == protocol
    assert variables["KAFKA_BOOTSTRAP_SERVERS"]["value"] == servers
    password = variables.get("KAFKA_SASL_PASSWORD", {}).get("valueFrom", {}).get("secretKeyRef", {}).get("name")
    assert password == secret
    assert [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume] == ([ca] if ca else [])
    assert ("KAFKA_CA_FILE" in variables) == (ca is not None)


@pytest.mark.parametrize(("ratio", "endpoint", "port"), [(0.01, "http://otel:4318", 4318), (1, "https://otel", 443)])
def test_feeds_trace_as_the_operator_is_told(
    monkeypatch: pytest.MonkeyPatch, ratio: float, endpoint: str, port: int
) -> None:
    objects = desired(feed({}), OperatorSettings(traces_sample_ratio=ratio, otlp_endpoint=endpoint))
    for name, variable in _variables(_pods(objects)[0]).items():
        monkeypatch.setenv(name, variable["value"])
    settings = FeedSettings.load(_env_file=None)
    assert (settings.traces_sample_ratio, settings.otlp_endpoint) == (ratio, endpoint)
    (policy,) = _of("NetworkPolicy", objects)
    assert port in {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


def test_the_policy_lets_out_what_the_feed_has_to_reach() -> None:
    spec = {"endpoint": "ws://replay:9901", "kafka": {"bootstrapServers": "a:9092,b:19092"}}
    (policy,) = _of("NetworkPolicy", desired(feed(spec), OperatorSettings()))
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 9092, 19092, 9901}


def test_each_object_belongs_to_its_feed() -> None:
    for item in desired(feed({"products": ["BTC-USD", "ETH-USD"], "shards": 2}), OperatorSettings()):
        (owner,) = item["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid-of-it", True)
        assert len(item["metadata"]["name"]) <= 63
        assert yaml.safe_load(yaml.safe_dump(item)) == item, "plain data only"
