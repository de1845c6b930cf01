"""Which venues the operator's own image has, and the label of their trades."""

from services.adapters.venues import registry


def labels() -> dict[str, str]:
    """Each venue's default label in the data, by its name."""
    return {name: registry.load(name).exchange for name in registry.names()}
