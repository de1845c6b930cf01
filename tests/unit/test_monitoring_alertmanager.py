"""The example for Alertmanager: it is valid, it sends each severity where it belongs, and silences echoes only."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.chart.tools import run
from tests.support.rules import MONITORING, alerts

FOLDER = MONITORING / "alertmanager"
CONFIG: dict[str, Any] = yaml.safe_load((FOLDER / "alertmanager.yaml").read_text())
NAMES = {alert.name for alert in alerts()}
MATCHER = re.compile(r'\s*(\w+)\s*(=~|=)\s*"?(.*?)"?\s*')

Labels = Mapping[str, str]


def matches(matchers: list[str], labels: Labels) -> bool:
    """As Alertmanager does: every matcher, regular expressions on the whole value."""
    for matcher in matchers:
        found = MATCHER.fullmatch(matcher)
        assert found is not None, matcher
        name, operator, wanted = found.groups()
        value = labels.get(name, "")
        if not (re.fullmatch(wanted, value) if operator == "=~" else value == wanted):
            return False
    return True


def told(*firing: Labels) -> list[str]:
    """The names of those that somebody is told of."""
    return [alert["alertname"] for alert in firing if not any(silences(other, alert) for other in firing)]


def silences(source: Labels, target: Labels) -> bool:
    return source is not target and any(
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(label) == target.get(label) for label in rule["equal"])
        for rule in CONFIG["inhibit_rules"]
    )


def alert(alertname: str, namespace: str = "one", **labels: str) -> Labels:
    return {"alertname": alertname, "namespace": namespace, **labels}


POSTGRES_DOWN = (
    alert("DependencyDown", dependency="postgres", severity="page"),
    alert("PostgresUnreachable", dependency="postgres", service="recorder", severity="page"),
    alert("PostgresUnreachable", dependency="postgres", service="api", severity="page"),
    alert("ConsumerStuck", job="recorder", consumer_group="raw_consumer", severity="page"),
    alert("CandlesLate", exchange="kraken", severity="page"),
    alert("ApiErrorRatioHigh", service="api", severity="page"),
    alert("ApiAvailabilityBudgetBurn", slo="api_availability", severity="page"),
    alert("MatchingStuck", job="matching", pod="matching-0", severity="page"),
)


@pytest.mark.parametrize(
    ("firing", "left"),
    [
        (POSTGRES_DOWN, ["DependencyDown"]),
        # Another installation's troubles are its own.
        (
            (POSTGRES_DOWN[0], alert("PostgresUnreachable", "two", dependency="postgres", service="api")),
            ["DependencyDown", "PostgresUnreachable"],
        ),
        # So are those of another dependency, and that the API does not answer at all.
        (
            (
                POSTGRES_DOWN[0],
                alert("RedisUnreachable", dependency="redis", service="api"),
                alert("ApiDown", job="api"),
            ),
            ["DependencyDown", "RedisUnreachable", "ApiDown"],
        ),
        (
            (
                alert("ApiDown", job="api", severity="page"),
                alert("ApiAvailabilityBudgetBurn", severity="page"),
                alert("ApiLatencyBudgetBurn", severity="ticket"),
                alert("ApiErrorRatioHigh", service="api", severity="page"),
                alert("ReplicaDown", job="api", severity="ticket"),
            ),
            ["ApiDown"],
        ),
        # The other interface is not the API.
        (
            (alert("ApiDown", job="api"), alert("ApiErrorRatioHigh", service="orders")),
            ["ApiDown", "ApiErrorRatioHigh"],
        ),
        (
            (alert("ServiceDown", job="candles"), alert("CandlesLate", exchange="kraken"), alert("FeedDisconnected")),
            ["ServiceDown", "FeedDisconnected"],
        ),
        (
            (alert("ServiceDown", job="validator"), alert("ValidatorBreakerOpen")),
            ["ServiceDown"],
        ),
        (
            (
                alert("ServiceDown", job="recorder"),
                alert("ServiceCrashLooping", job="recorder", pod="recorder-1"),
                alert("ServiceCrashLooping", job="candles", pod="candles-1"),
            ),
            ["ServiceDown", "ServiceCrashLooping"],
        ),
        (
            (
                alert("FeedDisconnected", exchange="kraken", severity="page"),
                alert("FeedStale", exchange="kraken", product_id="BTC-USD", severity="ticket"),
                alert("FeedStale", exchange="demo", product_id="BTC-USD", severity="ticket"),
            ),
            ["FeedDisconnected", "FeedStale"],
        ),
        # Whoever is paged needs no ticket for the same, but one for another certificate.
        (
            (
                alert("CertificateExpiresSoon", service="api", certificate="kafka_ca_file", severity="page"),
                alert("CertificateExpiresSoon", service="api", certificate="kafka_ca_file", severity="ticket"),
                alert("CertificateExpiresSoon", service="orders", certificate="kafka_ca_file", severity="ticket"),
            ),
            ["CertificateExpiresSoon", "CertificateExpiresSoon"],
        ),
        (
            (
                alert("ConsumerStuck", job="recorder", consumer_group="raw_consumer"),
                alert("ConsumerLagHigh", job="recorder", consumer_group="raw_consumer", topic="market_trades"),
                alert("ConsumerLagGrowing", job="recorder", consumer_group="raw_consumer", topic="market_trades"),
                alert("ConsumerLagHigh", job="candles", consumer_group="candle_builder", topic="market_trades"),
            ),
            ["ConsumerStuck", "ConsumerLagHigh"],
        ),
    ],
    ids=lambda value: "+".join(dict.fromkeys(value)) if value and isinstance(value[0], str) else "of",
)
def test_of_what_fires_at_once_somebody_is_told_of_the_causes(firing: tuple[Labels, ...], left: list[str]) -> None:
    assert told(*firing) == left


def test_every_rule_names_alerts_that_exist() -> None:
    """Each alternative of a pattern fits at least one alert."""
    for rule in CONFIG["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            found = MATCHER.fullmatch(matcher)
            assert found is not None, matcher
            if found[1] != "alertname":
                continue
            for alternative in _alternatives(found[3]):
                assert any(re.fullmatch(alternative, name) for name in NAMES), alternative


def _alternatives(pattern: str) -> list[str]:
    """Of one in brackets each, with what is around it: `A(b|c)|d` is Ab, Ac and d."""
    found: list[str] = []
    for part in re.findall(r"(?:[^|()]|\([^()]*\))+", pattern):
        before, bracket, rest = part.partition("(")
        inside, _, after = rest.partition(")")
        found += [f"{before}{each}{after}" for each in inside.split("|")] if bracket else [part]
    return found


def test_nothing_is_silenced_by_an_alert_of_its_own_kind_and_severity() -> None:
    for rule in CONFIG["inhibit_rules"]:
        for name in NAMES:
            same = {"alertname": name, "severity": "page"}
            assert not (matches(rule["source_matchers"], same) and matches(rule["target_matchers"], same)), name


def test_each_severity_has_its_receiver() -> None:
    receivers = {receiver["name"] for receiver in CONFIG["receivers"]}
    routes = CONFIG["route"]["routes"]
    assert {route["receiver"] for route in routes} == receivers
    by_severity = {
        severity: next(route["receiver"] for route in routes if matches(route["matchers"], {"severity": severity}))
        for severity in ("page", "ticket", "info")
    }
    assert by_severity == {"page": "pager", "ticket": "tickets", "info": "nobody"}


def test_amtool_finds_it_right() -> None:
    result = run("amtool", "check-config", str(FOLDER / "alertmanager.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_message_says_what_where_how_much_and_what_to_do(tmp_path: Any) -> None:
    own = {"summary": "The API is slow", "description": "It takes 2s.", "runbook_url": "https://example.com/runbook"}
    labels = {"alertname": "ApiLatencyHigh", "namespace": "one"}
    one = {"status": "firing", "labels": labels, "annotations": own, "startsAt": "2026-01-31T10:00:00Z"}
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"status": "firing", "alerts": [one], "commonLabels": labels}))
    result = run(
        "amtool",
        *("template", "render", f"--template.glob={FOLDER / 'tickplane.tmpl'}", f"--template.data={data}"),
        '--template.text={{ template "tickplane.title" . }}\n{{ template "tickplane.text" . }}',
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines() == [
        "[FIRING 1] ApiLatencyHigh in one",
        "The API is slow",
        "It takes 2s.",
        "Since 2026-01-31 10:00:00 UTC. What to do: https://example.com/runbook",
    ]
