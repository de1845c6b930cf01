"""What a run consists of, before anything is started."""

from pathlib import Path

import pytest

from services.local.settings import LocalSettings
from services.local.stack import Stack


def services(folder: Path) -> set[str]:
    return {child.name for child in Stack(LocalSettings.load(folder=folder), [], None).services}


def test_every_market_group_has_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = services(tmp_path)
    assert {"orders", "matching"} <= one
    monkeypatch.setenv("TICKPLANE_MARKET_GROUPS", "3")
    assert services(tmp_path) == one | {"matching-1", "matching-2"}


@pytest.mark.parametrize("there", [True, False])
def test_prometheus_is_one_of_the_children_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    program = tmp_path / "bin/prometheus"
    program.parent.mkdir()
    program.touch(mode=0o755 if there else 0o644)
    monkeypatch.setenv("PATH", str(program.parent))
    stack = Stack(LocalSettings.load(folder=tmp_path), [], None)
    assert [child.name for child in stack.children if child.name == "prometheus"] == ["prometheus"] * there
    assert ("prometheus" in stack.endpoints()) == there
