"""The one list of metrics is what the code has, by names that Prometheus' conventions know."""

import re
from collections import Counter

from services.contracts.metrics import PROCESS_METRICS, PROMETHEUS_METRICS, Metric
from services.local.scrape import Scrape
from services.runtime.metrics import exposition, gauge, withdraw
from tests.support.metrics import value
from tests.support.services import ROOT


def test_every_metric_is_somewhere_in_the_code() -> None:
    files = [file for folder in ("services", "operator") for file in (ROOT / folder).rglob("*.py")]
    used = {name for file in files for name in re.findall(r"\bMetric\.([A-Z_]+)", file.read_text())}
    assert used == set(Metric.__members__)


def test_names_are_as_prometheus_has_them_and_each_is_there_once() -> None:
    names = [metric.value.name for metric in Metric]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert not PROCESS_METRICS & PROMETHEUS_METRICS
    assert not {*names} & (PROCESS_METRICS | PROMETHEUS_METRICS)
    for metric in Metric:
        spec = metric.value
        assert re.fullmatch("[a-z][a-z0-9_]*", spec.name), spec.name
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert spec.help.endswith("."), spec.name


def test_the_client_library_says_what_we_rely_on() -> None:
    assert Scrape.parse(exposition().decode()).names() >= PROCESS_METRICS


def test_a_gauge_can_be_absent_and_come_back() -> None:
    gauge(Metric.KAFKA_TOPIC_HEALTHY).labels("a").set(1)
    withdraw(Metric.KAFKA_TOPIC_HEALTHY)
    withdraw(Metric.KAFKA_TOPIC_HEALTHY)
    assert value(Metric.KAFKA_TOPIC_HEALTHY, "a") is None
    gauge(Metric.KAFKA_TOPIC_HEALTHY).labels("b").set(0)
    assert (value(Metric.KAFKA_TOPIC_HEALTHY, "a"), value(Metric.KAFKA_TOPIC_HEALTHY, "b")) == (None, 0)
    withdraw(Metric.KAFKA_TOPIC_HEALTHY)
