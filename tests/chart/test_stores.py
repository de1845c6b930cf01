"""Kafka, Postgres and Valkey: the chart's own, or ones that there are."""

import pytest

from services.contracts.access import ACCESS, DATABASE_SERVICES, database_role
from services.contracts.topics import TOPICS
from tests.chart.tools import (
    EXTERNAL,
    KIND,
    PRODUCTION,
    RELEASE,
    Object,
    environment,
    of_kind,
    pod_specs,
    render,
    template,
)

OWN_KINDS = {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster", "Secret"}
SIZE_LIMIT = "TICKPLANE_POSTGRES_SIZE_LIMIT_GB"
KAFKA_SERVICES = {name for name, access in ACCESS.items() if access.topics}


def runs_valkey(objects: list[Object]) -> bool:
    return f"{RELEASE}-valkey" in of_kind(objects, "StatefulSet")


def migrate_environment(objects: list[Object]) -> Object:
    (spec,) = [spec for name, spec in pod_specs(objects).items() if name.startswith("Job/")]
    return {**environment(spec, objects), "args": spec["containers"][0]["args"]}


def test_with_external_stores_the_chart_makes_none() -> None:
    objects = render(EXTERNAL)
    assert {item["kind"] for item in objects} & OWN_KINDS == set()
    assert not runs_valkey(objects)
    assert {item["kind"] for item in render()} >= OWN_KINDS
    assert runs_valkey(render())


@pytest.mark.parametrize("external", [("kafka",), ("postgres",), ("valkey",), ("kafka", "valkey")], ids="+".join)
def test_each_store_can_be_external_by_itself(external: tuple[str, ...]) -> None:
    wanted: dict[str, Object] = {
        "kafka": {"bootstrapServers": "k:9092"},
        "postgres": {"host": "p", "secrets": {name: name for name in (*DATABASE_SERVICES, "migrate")}},
        "valkey": {"url": "redis://v:6379/0"},
    }
    objects = render(KIND, {"global": {name: {"external": {"enabled": True, **wanted[name]}} for name in external}})
    kinds = {item["kind"] for item in objects}
    assert ("Kafka" in kinds, "Cluster" in kinds, runs_valkey(objects)) == tuple(
        name not in external for name in ("kafka", "postgres", "valkey")
    )


# ---- Kafka


@pytest.mark.parametrize("retention_bytes", [2 << 30, 53_687_091_200, 16 << 20, 1 << 40])
@pytest.mark.parametrize(("partitions", "groups"), [(6, 1), (12, 3)])
def test_topics_are_as_the_code_has_them(partitions: int, groups: int, retention_bytes: int) -> None:
    layout = {"partitions": partitions, "marketGroups": groups}
    values: Object = {"global": layout, "kafka": {"retentionBytes": retention_bytes}}
    found = {
        item["spec"]["topicName"]: item["spec"] for item in of_kind(render(PRODUCTION, values), "KafkaTopic").values()
    }
    assert set(found) == {spec.topic for spec in TOPICS}
    for spec in TOPICS:
        wanted = {"product": partitions, "market_group": groups, None: 1}[spec.partitioned_by]
        assert found[spec.topic]["partitions"] == wanted
        assert found[spec.topic]["replicas"] == 3
        config = {name: str(value) for name, value in found[spec.topic]["config"].items()}
        assert config == spec.config(partitions=wanted, retention_bytes=retention_bytes), spec.topic


def test_each_user_of_kafka_may_do_what_its_service_does() -> None:
    users = of_kind(render(), "KafkaUser")
    assert set(users) == {f"{RELEASE}-{service}" for service in KAFKA_SERVICES}
    for service in KAFKA_SERVICES:
        spec = users[f"{RELEASE}-{service}"]["spec"]
        found = {
            (acl["resource"]["type"], acl["resource"]["name"]): set(acl["operations"])
            for acl in spec["authorization"]["acls"]
        }
        # Topics are KafkaTopics: not even the migration makes any.
        wanted = {(acl.resource, acl.name): set(acl.operations) - {"Create"} for acl in ACCESS[service].acls()}
        assert found == wanted, service
        assert spec["authentication"]["type"] == "scram-sha-512"
        assert spec["authentication"]["password"]["valueFrom"]["secretKeyRef"]["name"] == f"{RELEASE}-kafka-{service}"


def test_kafka_is_tls_and_scram_only_with_three_nodes_or_one() -> None:
    for objects, nodes in ((render(), 3), (render(KIND), 1)):
        kafka = of_kind(objects, "Kafka")[RELEASE]["spec"]["kafka"]
        (listener,) = kafka["listeners"]
        assert listener["tls"]
        assert listener["authentication"] == {"type": "scram-sha-512"}
        assert kafka["authorization"] == {"type": "simple"}
        assert kafka["config"]["min.insync.replicas"] == max(1, nodes - 1)
        (pool,) = of_kind(objects, "KafkaNodePool").values()
        assert pool["spec"]["replicas"] == nodes
        assert pool["spec"]["roles"] == ["controller", "broker"]
        assert pool["spec"]["storage"]["volumes"][0]["deleteClaim"] is False


def test_the_operator_tells_feeds_where_kafka_is() -> None:
    own = of_kind(render(), "ConfigMap")[f"{RELEASE}-operator"]["data"]
    assert own["TICKPLANE_FEED_KAFKA_BOOTSTRAP_SERVERS"] == f"{RELEASE}-kafka-bootstrap.market.svc:9093"
    assert own["TICKPLANE_FEED_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert own["TICKPLANE_FEED_KAFKA_SECRET"] == f"{RELEASE}-kafka-feed"
    assert own["TICKPLANE_FEED_KAFKA_CA_SECRET"] == f"{RELEASE}-cluster-ca-cert"
    external = of_kind(render(EXTERNAL), "ConfigMap")[f"{RELEASE}-operator"]["data"]
    assert external["TICKPLANE_FEED_KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example.com:9092"
    assert external["TICKPLANE_FEED_KAFKA_SECURITY_PROTOCOL"] == "PLAINTEXT"
    assert external["TICKPLANE_FEED_KAFKA_SECRET"] == external["TICKPLANE_FEED_KAFKA_CA_SECRET"] == ""


# ---- Postgres


def test_every_service_has_a_role_in_postgres_and_the_migrator_owns_the_database() -> None:
    objects = render()
    spec = of_kind(objects, "Cluster")[f"{RELEASE}-postgres"]["spec"]
    assert {role["name"] for role in spec["managed"]["roles"]} == {
        database_role(service) for service in DATABASE_SERVICES
    }
    assert not [role for role in spec["managed"]["roles"] if role.get("superuser") or role.get("createrole")]
    assert spec["bootstrap"]["initdb"]["owner"] == "tickplane_migrator"
    secrets = of_kind(objects, "Secret")
    for role in spec["managed"]["roles"]:
        assert secrets[role["passwordSecret"]["name"]]["stringData"]["username"] == role["name"]


def test_the_address_of_postgres_says_who_comes_and_asks_for_its_certificate() -> None:
    url = of_kind(render(), "ConfigMap")[f"{RELEASE}-candles"]["data"]["DATABASE_URL"]
    assert url == (
        f"postgresql://tickplane_candles@{RELEASE}-postgres-rw.market.svc:5432/tickplane"
        "?sslmode=verify-full&sslrootcert=/etc/tickplane/postgres-ca/ca.crt"
    )
    external = of_kind(render(EXTERNAL), "ConfigMap")[f"{RELEASE}-candles"]["data"]["DATABASE_URL"]
    assert external == "postgresql://tickplane_candles@postgres.example.com:5432/tickplane"


@pytest.mark.parametrize(
    ("size", "limit_gb"),
    [("200Gi", 214.748), ("5Gi", 5.369), ("1.5Ti", 1_649.267), ("40G", 40), ("2T", 2_000), ("5000000000", 5)],
)
def test_the_api_knows_how_large_the_charts_own_postgres_may_become(size: str, limit_gb: float) -> None:
    objects = render(PRODUCTION, {"global": {"postgres": {"storage": {"size": size}}}})
    assert str(of_kind(objects, "Cluster")[f"{RELEASE}-postgres"]["spec"]["storage"]["size"]) == size
    assert float(api_settings(objects)[SIZE_LIMIT]) == limit_gb


def test_how_large_another_postgres_may_become_its_owner_says() -> None:
    assert SIZE_LIMIT not in api_settings(render(EXTERNAL))
    for files in (EXTERNAL, PRODUCTION):
        assert api_settings(render(files, {"api": {"settings": {SIZE_LIMIT: 80}}}))[SIZE_LIMIT] == "80"


def api_settings(objects: list[Object]) -> dict[str, str]:
    found: dict[str, str] = of_kind(objects, "ConfigMap")[f"{RELEASE}-api"]["data"]
    return found


def test_backups_by_value() -> None:
    assert of_kind(render(), "ScheduledBackup") == {}
    backup = {"enabled": True, "cluster": {"volumeSnapshot": {"className": "fast"}}}
    objects = render(PRODUCTION, {"postgres": {"backup": backup}})
    spec = of_kind(objects, "ScheduledBackup")[f"{RELEASE}-postgres"]["spec"]
    assert (spec["method"], spec["schedule"]) == ("volumeSnapshot", "0 0 3 * * *")
    assert of_kind(objects, "Cluster")[f"{RELEASE}-postgres"]["spec"]["backup"] == backup["cluster"]


# ---- the migrations


def test_the_migration_waits_for_what_others_make() -> None:
    found = migrate_environment(render())
    assert found["args"] == ["migrate", "--wait-for-topics"]
    assert found["TICKPLANE_DATABASE_ROLES"] == "wait"
    assert not [name for name in found if name.endswith("_DATABASE_PASSWORD") and name.startswith("TICKPLANE")]


def test_the_migration_makes_roles_and_topics_in_external_stores() -> None:
    found = migrate_environment(render(EXTERNAL))
    assert found["args"] == ["migrate", "--topics"]
    assert found["TICKPLANE_DATABASE_ROLES"] == "make"
    assert (found["TICKPLANE_TOPICS_REPLICATION"], found["TICKPLANE_TOPICS_RETENTION_BYTES"]) == ("3", "53687091200")
    for service in DATABASE_SERVICES:
        secret = found[f"TICKPLANE_{service.upper()}_DATABASE_PASSWORD"]
        assert secret == {"name": f"tickplane-postgres-{service}", "key": "password"}


@pytest.mark.parametrize("roles", ["wait", "none"])
def test_the_migration_leaves_roles_to_others_by_value(roles: str) -> None:
    found = migrate_environment(render(EXTERNAL, {"global": {"postgres": {"external": {"roles": roles}}}}))
    assert found["TICKPLANE_DATABASE_ROLES"] == roles
    assert "TICKPLANE_RECORDER_DATABASE_PASSWORD" not in found


def test_the_jobs_name_has_the_version_and_changes_with_what_it_does() -> None:
    def name(values: Object) -> str:
        (found,) = of_kind(render(KIND, values), "Job")
        return found

    image = {"global": {"image": {"tag": "0.2.0"}}}
    assert name({}).startswith(f"{RELEASE}-migrate-0-1-0-")
    assert name({}) == name({"candles": {"replicas": 5}})
    assert name({}) != name(image), "a Job cannot be changed: an upgrade would be refused"


# ---- passwords


def test_passwords_are_made_and_stay_with_what_they_open() -> None:
    secrets = of_kind(render(), "Secret")
    assert set(secrets) == {
        *(f"{RELEASE}-kafka-{service}" for service in KAFKA_SERVICES),
        *(f"{RELEASE}-postgres-{service}" for service in (*DATABASE_SERVICES, "migrate")),
        f"{RELEASE}-valkey",
    }
    passwords = {item["stringData"]["password"] for item in secrets.values()}
    assert len(passwords) == len(secrets), "each its own"
    assert all(len(password) == 32 for password in passwords)
    assert all(item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for item in secrets.values())


def test_secrets_may_be_made_by_others() -> None:
    objects = render(PRODUCTION, {"global": {"makeSecrets": False}})
    assert of_kind(objects, "Secret") == {}
    users = of_kind(objects, "KafkaUser").values()
    assert {user["spec"]["authentication"]["password"]["valueFrom"]["secretKeyRef"]["name"] for user in users} == {
        f"{RELEASE}-kafka-{service}" for service in KAFKA_SERVICES
    }


def test_data_stays_when_the_chart_is_uninstalled() -> None:
    kept = {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster", "CustomResourceDefinition", "Secret"}
    for item in render():
        keeps = item["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        assert keeps == (item["kind"] in kept), f"{item['kind']}/{item['metadata']['name']}"
    valkey = of_kind(render(), "StatefulSet")[f"{RELEASE}-valkey"]
    assert valkey["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"


@pytest.mark.parametrize("store", ["postgres", "kafka"])
def test_an_external_store_without_its_secrets_is_refused_in_words(store: str) -> None:
    gone: Object = {"secrets": None} if store == "postgres" else {"securityProtocol": "SASL_SSL"}
    result = template(EXTERNAL, {"global": {store: {"external": gone}}})
    assert result.returncode != 0
    assert f"global.{store}.external.secrets" in result.stderr


def test_images_are_pinned_and_a_digest_decides() -> None:
    for name, spec in pod_specs(render()).items():
        assert ":" in spec["containers"][0]["image"], name
        assert not spec["containers"][0]["image"].endswith(":latest"), name
    digest = f"sha256:{'0' * 64}"
    values = {"global": {"image": {"digest": digest}}, "postgres": {"image": {"digest": digest}}}
    objects = render(PRODUCTION, values)
    assert of_kind(objects, "Deployment")[f"{RELEASE}-api"]["spec"]["template"]["spec"]["containers"][0]["image"] == (
        f"tickplane:0.1.0@{digest}"
    )
    assert of_kind(objects, "Cluster")[f"{RELEASE}-postgres"]["spec"]["imageName"].endswith(f"@{digest}")
    assert of_kind(objects, "ConfigMap")[f"{RELEASE}-operator"]["data"]["TICKPLANE_FEED_IMAGE"].endswith(f"@{digest}")
