"""Venues are found by entry point, ours included: a third party's adapter is a package away."""

from importlib.metadata import entry_points

from services.adapters.venues.base import Venue
from services.contracts.errors import ConfigError

GROUP = "tickplane.venues"


def names() -> list[str]:
    return sorted(entry.name for entry in entry_points(group=GROUP))


def load(name: str) -> type[Venue]:
    """The class registered under ``name``. Raises ConfigError for one that is not."""
    for entry in entry_points(group=GROUP, name=name):
        venue = entry.load()
        if not (isinstance(venue, type) and issubclass(venue, Venue)):
            raise ConfigError(f"the venue {name!r} ({entry.value}) is not a Venue class")
        return venue
    raise ConfigError(f"there is no venue {name!r}; there are: {', '.join(names())}")
