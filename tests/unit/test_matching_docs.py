"""The table of rules in docs/order-lab.md names tests that exist, and every rule of the suite is in it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = "tests/contract/test_matching.py"


def named() -> set[tuple[str, str]]:
    """(file, test) of each test named; … is the file named before."""
    found, file = set(), ""
    for path, test in re.findall(r"`(tests/\S+\.py|…)::(\w+)`", (ROOT / "docs/order-lab.md").read_text()):
        file = file if path == "…" else path
        found.add((file, test))
    return found


def found_in(file: str) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", (ROOT / file).read_text(), re.MULTILINE))


def test_every_test_that_is_named_exists() -> None:
    assert named()
    assert {(file, test) for file, test in named() if test not in found_in(file)} == set()


def test_every_rule_of_the_suite_is_named() -> None:
    assert found_in(SUITE) - {test for file, test in named() if file == SUITE} == set()
