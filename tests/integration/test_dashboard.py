"""The dashboard's build and its own tests, by the Node that `make run` brings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.local import dashboard
from services.local.ports import LOOPBACK, free_port

ROOT = Path(__file__).parents[2]
TOOL = Path("services") / "local" / "dashboard.py"
FOLDER = Path("services") / "gateway" / "dashboard"
TIMEOUT_S = 120


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    try:
        dashboard.build()
    except dashboard.BuildError as error:
        pytest.skip(f"the dashboard cannot be built: {error}")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Only the sources, as in a fresh clone."""
    generated = shutil.ignore_patterns("node_modules", "dist", "dist.new")
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER, ignore=generated)
    (tmp_path / TOOL).parent.mkdir()
    shutil.copy(ROOT / TOOL, tmp_path / TOOL)
    return tmp_path


def build(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / TOOL, "build"],
        check=False, capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, **env},
    )  # fmt: skip


def npm_run(script: str) -> subprocess.CompletedProcess[str]:
    command = [dashboard.executable(), str(dashboard.npm()), "run", "--silent", script]
    return subprocess.run(
        command,
        check=False, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT / FOLDER, env=dashboard.environment(),
    )  # fmt: skip


@pytest.mark.parametrize("script", ["check", "test"])
def test_types_and_unit_tests(script: str) -> None:
    ended = npm_run(script)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_is_built_stays_until_a_source_changes(checkout: Path) -> None:
    (checkout / FOLDER / "node_modules").symlink_to(dashboard.MODULES)
    first = build(checkout)
    assert (first.returncode, first.stdout) == (0, "tickplane: building the dashboard\n"), first.stderr
    page = checkout / FOLDER / "dist" / "index.html"
    written = page.stat().st_mtime_ns

    again = build(checkout)
    assert (again.returncode, again.stdout, page.stat().st_mtime_ns) == (0, "", written)

    (checkout / FOLDER / "src" / "style.css").write_text("body { margin: 1px }")
    assert build(checkout).stdout == "tickplane: building the dashboard\n"
    assert page.stat().st_mtime_ns != written


def test_without_a_registry_it_says_so_in_a_line_and_the_last_build_is_kept(checkout: Path) -> None:
    registry = {"npm_config_registry": f"http://{LOOPBACK}:{free_port()}/", "npm_config_cache": str(checkout / "cache")}
    failed = build(checkout, **registry)
    assert failed.returncode == 1
    assert failed.stderr.startswith(
        "tickplane: the dashboard is not built, everything else works without it: `npm ci` failed: "
    )
    assert failed.stderr.count("\n") == 1

    page = checkout / FOLDER / "dist" / "index.html"
    page.parent.mkdir()
    page.write_text("the last build")
    assert "the one built before is served" in build(checkout, **registry).stderr
    assert page.read_text() == "the last build"


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in (ROOT / FOLDER / "package-lock.json").read_text()
