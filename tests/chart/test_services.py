"""What every service's pod is like, and what restarts it."""

import re
from pathlib import Path
from typing import Any

import pytest

from services.__main__ import settings_classes
from services.contracts.access import ACCESS
from services.contracts.metrics import Metric
from services.local.parts import Caddy
from services.runtime.settings import refuse_unknown, variables
from tests.chart.tools import (
    EXTERNAL,
    KIND,
    PRODUCTION,
    RELEASE,
    SERVICES,
    VALUES_FILES,
    Object,
    environment,
    of_kind,
    pod_specs,
    render,
    template,
)

PUBLIC = ("api", "gateway", "orders")
"""What the edge reaches."""
SERVING = (*PUBLIC, "validator")
"""What answers requests, the edge's or others' of ours."""
CONSUMERS = ("recorder", "candles", "indicators")
OWNER = "matching"
"""What has one pod for each market group."""


def workload(service: str, objects: list[Object]) -> Object:
    """What makes the service's pods."""
    return of_kind(objects, "StatefulSet" if service == OWNER else "Deployment")[f"{RELEASE}-{service}"]


def template_of(service: str, values: Object | None = None) -> Object:
    found: Object = workload(service, render(KIND, values))["spec"]["template"]
    return found


@pytest.mark.parametrize("files", VALUES_FILES.values(), ids=VALUES_FILES)
def test_every_service_is_a_deployment_of_its_own_but_for_the_owner_of_market_groups(files: tuple[str, ...]) -> None:
    objects = render(files)
    found = of_kind(objects, "Deployment")
    assert sorted(found) == [f"{RELEASE}-{service}" for service in SERVICES if service != OWNER]
    for service in SERVICES:
        assert workload(service, objects)["spec"]["template"]["spec"]["containers"][0]["args"] == [service]


@pytest.mark.parametrize("files", VALUES_FILES.values(), ids=VALUES_FILES)
def test_every_pod_is_confined(files: tuple[str, ...]) -> None:
    specs = pod_specs(render(files))
    assert len(specs) >= len(SERVICES) + 4
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["runAsUser"] >= 10_000, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["enableServiceLinks"] is False, name
        speaks_to_the_api_server = name.endswith(("-operator", "-marketfeed"))
        assert spec["automountServiceAccountToken"] is speaks_to_the_api_server, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            for amounts in (container["resources"]["requests"], container["resources"]["limits"]):
                assert {"memory", "ephemeral-storage"} <= set(amounts), name
            assert "cpu" in container["resources"]["requests"], name
        assert all("emptyDir" not in volume or volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"]), name


@pytest.mark.parametrize("service", SERVICES)
def test_probes_ask_different_things(service: str) -> None:
    container = workload(service, render())["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready?scope=self", "port": "ops"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "ops"}
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    assert startup["httpGet"] == {"path": "/health", "port": "ops"}
    assert startup["periodSeconds"] < liveness["periodSeconds"]
    assert {"name": "ops", "containerPort": 9000, "protocol": "TCP"} in container["ports"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_is_given_longer_than_its_grace_and_the_public_ones_serve_on_while_they_leave(service: str) -> None:
    objects = render(PRODUCTION, {service: {"settings": {"TICKPLANE_DRAIN_S": 7}}} if service in PUBLIC else None)
    spec = workload(service, objects)["spec"]["template"]["spec"]
    container = spec["containers"][0]
    variables_of = environment(spec, objects)
    pre_stop_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace_s = int(variables_of["TICKPLANE_GRACE_S"]) + int(variables_of.get("TICKPLANE_DRAIN_S", 0))
    assert spec["terminationGracePeriodSeconds"] > pre_stop_s + grace_s
    assert (pre_stop_s > 0) == (service in SERVING)


@pytest.mark.parametrize("service", [service for service in SERVICES if service != OWNER])
def test_a_new_pod_is_there_before_the_old_one_leaves_but_for_the_operator(service: str) -> None:
    strategy = workload(service, render())["spec"]["strategy"]
    if service == "operator":
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@pytest.mark.parametrize("service", SERVICES)
def test_pods_are_spread(service: str) -> None:
    spec = workload(service, render())["spec"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(each["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"] for each in spread)


def test_a_market_group_has_one_pod_that_knows_which_is_its() -> None:
    objects = render(PRODUCTION, {"global": {"marketGroups": 3}})
    spec = workload(OWNER, objects)["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (3, "Parallel")
    assert "updateStrategy" not in spec, "the default: the old pod ends before the new one starts"
    (group,) = [each for each in spec["template"]["spec"]["containers"][0]["env"] if each["name"].endswith("_GROUP")]
    assert group == {
        "name": "TICKPLANE_MARKET_GROUP",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}},
    }
    assert f"{RELEASE}-{OWNER}" in of_kind(objects, "Service"), "a StatefulSet names one"
    for service in ("orders", "gateway", OWNER):
        assert of_kind(objects, "ConfigMap")[f"{RELEASE}-{service}"]["data"]["TICKPLANE_MARKET_GROUPS"] == "3"
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler"):
        assert f"{RELEASE}-{OWNER}" not in of_kind(objects, kind), "there is never a second one to go on"


def test_a_budget_only_where_there_are_two() -> None:
    assert sorted(of_kind(render(), "PodDisruptionBudget")) == sorted(
        f"{RELEASE}-{name}" for name in (*CONSUMERS, *SERVING)
    )
    assert of_kind(render(KIND), "PodDisruptionBudget") == {}


@pytest.mark.parametrize("service", SERVING)
def test_what_serves_requests_scales_by_cpu(service: str) -> None:
    objects = render()
    autoscaler = of_kind(objects, "HorizontalPodAutoscaler")[f"{RELEASE}-{service}"]
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == f"{RELEASE}-{service}"
    assert autoscaler["spec"]["minReplicas"] == 2
    assert "replicas" not in workload(service, objects)["spec"], "an upgrade would undo what the autoscaler did"


@pytest.mark.parametrize("service", CONSUMERS)
def test_consumers_scale_by_lag_by_value(service: str) -> None:
    values = {service: {"keda": {"enabled": True, "maxReplicas": 50}}}
    objects = render(PRODUCTION, values)
    assert of_kind(render(), "ScaledObject") == {}
    scaled = of_kind(objects, "ScaledObject")[f"{RELEASE}-{service}"]["spec"]
    trigger = scaled["triggers"][0]
    assert scaled["maxReplicaCount"] == 6, "more than there are partitions would have nothing to do"
    assert trigger["metadata"]["consumerGroup"] == ACCESS[service].group
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
    authentication = of_kind(objects, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]["spec"]
    assert {each["parameter"]: each["name"] for each in authentication["secretTargetRef"]} == {
        "username": f"{RELEASE}-kafka-{service}",
        "password": f"{RELEASE}-kafka-{service}",
        "ca": f"{RELEASE}-cluster-ca-cert",
    }
    assert "replicas" not in workload(service, objects)["spec"]


def test_keda_asks_a_kafka_without_passwords_as_it_is() -> None:
    objects = render(EXTERNAL, {"candles": {"keda": {"enabled": True}}})
    trigger = of_kind(objects, "ScaledObject")[f"{RELEASE}-candles"]["spec"]["triggers"][0]
    assert trigger["metadata"]["bootstrapServers"] == "kafka.example.com:9092"
    assert trigger["metadata"]["tls"] == "disable"
    assert "sasl" not in trigger["metadata"]
    assert "authenticationRef" not in trigger
    assert of_kind(objects, "TriggerAuthentication") == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"api": {"keda": {"enabled": True}, "autoscaling": {"enabled": False}}}, "api has no consumer group"),
        ({"candles": {"keda": {"enabled": True}, "autoscaling": {"enabled": True}}}, "cannot both be enabled"),
        ({OWNER: {"replicas": 2}}, "matching: a market group has one pod, its owner: global.marketGroups"),
        ({OWNER: {"autoscaling": {"enabled": True}}}, "global.marketGroups says how many there are"),
        ({OWNER: {"keda": {"enabled": True}}}, "global.marketGroups says how many there are"),
        ({"kafka": {"replicas": 1}}, "kafka.replication is 3, but there are kafka.replicas 1"),
    ],
)
def test_what_cannot_be_is_refused_in_words(values: Object, said: str) -> None:
    result = template(PRODUCTION, values)
    assert result.returncode != 0
    assert said in result.stderr


def test_a_changed_setting_restarts_only_its_own_service() -> None:
    changed = {"candles": {"settings": {"TICKPLANE_GRACE_AFTER_BAR_MS": 3000}}}
    restarted = [service for service in SERVICES if template_of(service) != template_of(service, changed)]
    assert restarted == ["candles"]


def test_another_log_level_restarts_all() -> None:
    changed = {"global": {"logLevel": "DEBUG"}}
    assert [service for service in SERVICES if template_of(service) != template_of(service, changed)] == SERVICES


def test_new_passwords_restart_who_reads_them() -> None:
    changed = {"global": {"valkey": {"rotation": 1}}}
    restarted = {service for service in SERVICES if template_of(service) != template_of(service, changed)}
    assert restarted == {"recorder", "indicators", "gateway", "api", "orders", "matching"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_template_knows_no_version_of_the_chart(service: str) -> None:
    metadata = template_of(service)["metadata"]
    assert not [
        name for name in (*metadata["labels"], *metadata["annotations"]) if "chart" in name or "version" in name
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_each_is_scraped_at_its_ops_port_under_labels_of_ones_own(service: str) -> None:
    values = {"global": {"monitoring": {"labels": {"release": "prometheus"}, "interval": "5s"}}}
    objects = render(PRODUCTION, values)
    monitor = of_kind(objects, "ServiceMonitor")[f"{RELEASE}-{service}"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("ops", "/metrics", "5s")
    scraped = of_kind(objects, "Service")[f"{RELEASE}-{service}"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= scraped["metadata"]["labels"].items()
    assert [port["targetPort"] for port in scraped["spec"]["ports"] if port["name"] == "ops"] == ["ops"]


@pytest.mark.parametrize("service", SERVICES)
def test_its_job_is_its_bare_name_and_its_metrics_keep_their_labels(service: str) -> None:
    objects = render(PRODUCTION)
    spec = of_kind(objects, "ServiceMonitor")[f"{RELEASE}-{service}"]["spec"]
    assert of_kind(objects, "Service")[f"{RELEASE}-{service}"]["metadata"]["labels"][spec["jobLabel"]] == service
    # Prometheus gives each target these labels: of one that a metric has too, the metric's is renamed `exported_...`.
    given = {"namespace", "pod", "container", "endpoint", "service", "job", "instance"}
    for rule in spec["endpoints"][0]["relabelings"]:
        assert rule["action"] == "labeldrop"
        given = {label for label in given if not re.fullmatch(rule["regex"], label)}
    ours = {label for metric in Metric for label in metric.value.labels}
    assert not spec["endpoints"][0].get("honorLabels"), "a target says who it is by its address alone"
    assert not given & ours
    assert given == {"namespace", "pod", "container", "endpoint", "job", "instance"}


# ---- settings


@pytest.mark.parametrize("files", VALUES_FILES.values(), ids=VALUES_FILES)
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_understands_its_environment(
    service: str, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    classes = settings_classes()
    if service not in classes:
        pytest.skip(f"{service} cannot be started yet")
    objects = render(files)
    found = environment(workload(service, objects)["spec"]["template"]["spec"], objects)
    (tmp_path / "ca.crt").touch()
    given = {name: value if isinstance(value, str) else "from-a-secret" for name, value in found.items()}
    given = {name: re.sub("^/etc/tickplane/.*", str(tmp_path / "ca.crt"), value) for name, value in given.items()}
    refuse_unknown(variables(classes[service]).values(), given)
    monkeypatch.chdir(tmp_path)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings: Any = classes[service].load()
    assert settings.ops_host == "0.0.0.0"
    assert settings.ops_port == 9000


def test_numbers_reach_a_service_as_they_were_written() -> None:
    values = {"recorder": {"settings": {"TICKPLANE_RETENTION_DAYS": 30, "TICKPLANE_BATCH_RECORDS_MAX": 1000000}}}
    data = of_kind(render(KIND, values), "ConfigMap")[f"{RELEASE}-recorder"]["data"]
    assert (data["TICKPLANE_RETENTION_DAYS"], data["TICKPLANE_BATCH_RECORDS_MAX"]) == ("30", "1000000")


@pytest.mark.parametrize("files", VALUES_FILES.values(), ids=VALUES_FILES)
def test_each_service_gets_its_own_passwords_and_nobody_elses(files: tuple[str, ...]) -> None:
    sasl = {"securityProtocol": "SASL_SSL", "secrets": {name: f"kafka-{name}" for name in ACCESS if name != "operator"}}
    external = {"global": {"kafka": {"external": sasl}, "valkey": {"external": {"secret": "tickplane-valkey"}}}}
    objects = render(files, external if files == EXTERNAL else None)
    for service in SERVICES:
        found = environment(workload(service, objects)["spec"]["template"]["spec"], objects)
        secrets = {value["name"] for value in found.values() if isinstance(value, dict)}
        assert all(name.endswith((f"-{service}", "-valkey")) for name in secrets), service
        assert ("DATABASE_PASSWORD" in found) == ("postgres" in ACCESS[service].stores)
        assert ("REDIS_PASSWORD" in found) == ("redis" in ACCESS[service].stores)
        assert ("KAFKA_SASL_PASSWORD" in found) == bool(ACCESS[service].topics)


@pytest.mark.parametrize("files", VALUES_FILES.values(), ids=VALUES_FILES)
def test_no_password_is_in_the_clear(files: tuple[str, ...]) -> None:
    objects = render(files)
    texts = [text for item in of_kind(objects, "ConfigMap").values() for text in item["data"].items()]
    texts += [
        (variable["name"], variable["value"])
        for spec in pod_specs(objects).values()
        for variable in spec["containers"][0].get("env", [])
        if "value" in variable
    ]
    assert not [name for name, value in texts if "PASSWORD" in name or re.search(r"://[^/@]*:[^/@]*@", value)]


# ---- the edge


def routes_of_make_run() -> dict[str, set[str]]:
    """The paths of each service by the Caddyfile of `make run`; the api has all others."""
    caddyfile = Caddy(Path("unused"), "127.0.0.1", 80, api=8001, gateway=8002, orders=8003)._caddyfile()
    found = re.findall(r"@(\w+) path (.*)", caddyfile)
    return {service: {path.removesuffix("/*") for path in paths.split()} for service, paths in found}


def routed(found: dict[tuple[str, str], str]) -> dict[str, set[str]]:
    """The paths of each service, all others left out, by (path, type) to the name of a Service."""
    services = {name.removeprefix(f"{RELEASE}-") for name in found.values()} - {"api"}
    return {
        service: {path for (path, _), name in found.items() if name == f"{RELEASE}-{service}"} for service in services
    }


def test_the_ingress_goes_where_make_run_goes() -> None:
    ingress = of_kind(render(PRODUCTION, edge(ingress={"enabled": True})), "Ingress")[RELEASE]
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    found = {(path["path"], path["pathType"]): path["backend"]["service"]["name"] for path in paths}
    assert routed(found) == routes_of_make_run()
    assert found["/", "Exact"] == f"{RELEASE}-gateway"
    assert found["/", "Prefix"] == f"{RELEASE}-api"
    assert {path["backend"]["service"]["port"]["name"] for path in paths} == {"http"}
    assert ingress["spec"]["tls"] == [{"secretName": "tickplane-tls", "hosts": ["t.example.com"]}]


def test_the_route_goes_where_make_run_goes() -> None:
    listener = [{"name": "gateway", "sectionName": "https"}]
    plain = [{"name": "gateway", "sectionName": "http"}]
    values = edge(httpRoute={"enabled": True, "parentRefs": listener, "redirectParentRefs": plain})
    routes = of_kind(render(PRODUCTION, values), "HTTPRoute")
    found = {}
    for rule in routes[RELEASE]["spec"]["rules"]:
        (match,), (backend,) = rule["matches"], rule["backendRefs"]
        found[match["path"]["value"], match["path"]["type"]] = backend["name"]
        assert rule["timeouts"]["request"] == ("0s" if backend["name"] == f"{RELEASE}-gateway" else "60s")
        (header,) = rule["filters"][0]["responseHeaderModifier"]["set"]
        assert header["name"] == "Strict-Transport-Security"
    assert routed(found) == routes_of_make_run()
    assert found["/", "PathPrefix"] == f"{RELEASE}-api"
    redirect = routes[f"{RELEASE}-redirect"]["spec"]
    assert redirect["parentRefs"] == plain
    assert redirect["rules"][0]["filters"][0]["requestRedirect"]["scheme"] == "https"


def test_nothing_is_reachable_unless_asked_for() -> None:
    objects = render()
    assert not [item for item in objects if item["kind"] in ("Ingress", "HTTPRoute")]
    assert all(item["spec"]["type"] == "ClusterIP" for item in objects if item["kind"] == "Service")


def test_the_edge_is_known_to_whom_it_reaches_and_its_name_to_the_api() -> None:
    data = of_kind(render(PRODUCTION, edge(trustedProxies=["10.0.0.0/8"])), "ConfigMap")
    assert data[f"{RELEASE}-api"]["data"]["TICKPLANE_PUBLIC_URL"] == "https://t.example.com"
    for service in PUBLIC:
        assert data[f"{RELEASE}-{service}"]["data"]["TICKPLANE_TRUSTED_PROXIES"] == "10.0.0.0/8"
    assert "TICKPLANE_PUBLIC_URL" not in data[f"{RELEASE}-gateway"]["data"]


def edge(**values: Any) -> Object:
    return {"global": {"edge": {"host": "t.example.com", **values}}}
