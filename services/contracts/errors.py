"""Errors that say whose fault it is, because what happens next follows from that.

``PeerError``: their data; skip it, count it, go on. ``ConfigError``: exit 2. ``InfraError``: wait and try again.
Anything else is a broken invariant: exit 1, restart, replay.
"""


class TickplaneError(Exception):
    """The base of all of ours."""


class PeerError(TickplaneError):
    """Data from outside that cannot be used. ``error_type`` is a short, bounded label for metrics and dead letters."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class ConfigError(TickplaneError):
    """A setting is wrong; the message names it and says what to change."""


class InfraError(TickplaneError):
    """A dependency is away. ``dependency`` is ``kafka``, ``postgres``, ``redis`` or an exchange."""

    def __init__(self, dependency: str, message: str) -> None:
        super().__init__(f"{dependency}: {message}")
        self.dependency = dependency
