"""What a process says of the memory and the certificates that it was given."""

from pathlib import Path
from typing import Any

import pytest

from services.adapters.grpc import GrpcSettings
from services.api.settings import ApiSettings
from services.contracts.metrics import Metric
from services.runtime import cgroup, surroundings
from services.runtime.certificates import expiry_time_s
from services.runtime.settings import KafkaSettings
from tests.support.metrics import value
from tests.support.secure import CA, CLIENT, SERVER

MIB = 1 << 20
CGROUPS: dict[str, tuple[str, dict[str, str], int | None]] = {
    "a container": ("0::/", {"memory.max": f"{512 * MIB}\n"}, 512 * MIB),
    "a container without a limit": ("0::/", {"memory.max": "max\n"}, None),
    "a group in a smaller one": (
        "0::/pods/one",
        {"memory.max": "max", "pods/memory.max": str(MIB), "pods/one/memory.max": str(2 * MIB)},
        MIB,
    ),
    "a group beside a smaller one": ("0::/one", {"one/memory.max": str(2 * MIB), "two/memory.max": str(MIB)}, 2 * MIB),
    "version 1": (
        "5:cpu,cpuacct:/a\n4:memory:/a\n0::/",
        {"memory/a/memory.limit_in_bytes": str(MIB), "memory/memory.limit_in_bytes": "9223372036854771712"},
        MIB,
    ),
    "version 1 without a limit": ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),
    "version 1 in a container that is not told so": (
        "4:memory:/kubepods/pod1/container1",
        {"memory/memory.limit_in_bytes": str(MIB)},
        MIB,
    ),
    "a host": ("0::/user.slice", {}, None),
}


@pytest.mark.parametrize(("memberships", "files", "limit_bytes"), CGROUPS.values(), ids=CGROUPS)
def test_the_memory_limit_is_the_smallest_around_the_process(
    tmp_path: Path, memberships: str, files: dict[str, str], limit_bytes: int | None
) -> None:
    (tmp_path / "memberships").write_text(memberships)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup.memory_limit_bytes(tmp_path / "memberships", tmp_path) == limit_bytes


def test_where_there_are_no_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup.memory_limit_bytes(tmp_path / "nothing", tmp_path) is None


def test_a_service_says_what_its_limit_is() -> None:
    limits = [512 * MIB, 1024 * MIB, None, 512 * MIB]
    found = iter(limits)
    for limit_bytes in limits:
        surroundings.look("limited", KafkaSettings.load(), lambda: next(found))
        assert value(Metric.MEMORY_LIMIT, "limited") == limit_bytes


def test_a_certificate_that_was_replaced_in_its_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(CA.read_text())
    settings = KafkaSettings.load(kafka_ca_file=str(file))

    def looked() -> float | None:
        surroundings.look("replaced", settings)
        return value(Metric.TLS_CERTIFICATE_EXPIRY_TIME, "replaced", "kafka_ca_file")

    assert looked() == expiry_time_s(CA)
    file.write_text(CLIENT.read_text())
    assert looked() == expiry_time_s(CLIENT)
    file.write_text("half a certif")
    assert looked() == expiry_time_s(CLIENT), "the last that is known"
    file.unlink()
    assert looked() == expiry_time_s(CLIENT)
    file.write_text(CA.read_text())
    assert looked() == expiry_time_s(CA)


def test_every_file_of_certificates_is_found_and_no_key() -> None:
    given: dict[str, Any] = {
        "kafka_ca_file": str(CA),
        "database_url": f"postgresql://u:p@h/d?sslmode=verify-full&sslrootcert={CA}&sslcert={CLIENT}&sslkey={CLIENT}",
        "redis_url": f"rediss://h:6379/0?ssl_ca_certs={CA}",
    }
    assert ApiSettings.load(**given).certificate_files() == {
        "kafka_ca_file": CA,
        "database_url_sslrootcert": CA,
        "database_url_sslcert": CLIENT,
        "redis_url_ssl_ca_certs": CA,
    }
    grpc = GrpcSettings.load(grpc_ca_file=str(CA), grpc_certificate_file=str(SERVER), grpc_key_file=str(SERVER))
    assert grpc.certificate_files() == {"grpc_ca_file": CA, "grpc_certificate_file": SERVER}
    assert ApiSettings.load().certificate_files() == {}
