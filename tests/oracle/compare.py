"""What differs between rows that were found and those that were expected."""

from collections.abc import Iterable, Mapping
from typing import Any


def compare(
    rows: Iterable[Mapping[str, Any]], expected: Mapping[tuple[Any, ...], Mapping[str, Any]], key: tuple[str, ...]
) -> list[str]:
    """One line a difference: a row too many, one found twice, a column that differs, a row that is missing.

    ``rows`` are looked at in the columns that ``expected`` has; what else they have is not compared. ``key`` names the
    columns that the keys of ``expected`` are made of.
    """
    differences = []
    missing = dict(expected)
    for row in rows:
        name = tuple(row[column] for column in key)
        if name not in missing:
            differences.append(f"{name}: {'found twice' if name in expected else 'not expected'}")
            continue
        differences += [
            f"{name}: {column} is {row[column]!r}, expected {value!r}"
            for column, value in missing.pop(name).items()
            if row[column] != value
        ]
    return differences + [f"{name}: missing" for name in missing]
