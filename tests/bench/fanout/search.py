"""The highest load that a server takes. Pure."""

from collections.abc import Awaitable, Callable

GROWTH = 1.5


async def highest(holds: Callable[[float], Awaitable[bool]], first: float, precision: float, limit: float) -> float:
    """The highest load that ``holds``, within ``precision`` (0.1: a tenth); 0 where not even the least tried does.

    Grows from ``first`` by halves until one does not hold or ``limit`` is reached, then halves what is between.
    """
    good, bad = 0.0, first
    while bad <= limit and await holds(bad):
        good, bad = bad, bad * GROWTH
    while bad <= limit and bad > (good or first / 8) * (1 + precision):
        middle = (good + bad) / 2
        if await holds(middle):
            good = middle
        else:
            bad = middle
    return good
