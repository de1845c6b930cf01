"""The one table of what can be started: ``python -m services <name>``, or ``tickplane <name>``."""

import sys
from importlib import import_module

from services.contracts.errors import ConfigError
from services.runtime import logging
from services.runtime.settings import Settings, refuse_unknown, variables

SERVICES = {
    "feed": "services.feed",
    "recorder": "services.recorder",
    "candles": "services.candles",
    "indicators": "services.indicators",
    "gateway": "services.gateway",
    "api": "services.api",
    "validator": "services.validator",
    "orders": "services.orders",
    "matching": "services.matching",
    "operator": "market_operator",
}
"""Each has ``app.main`` and ``settings.SETTINGS``. Everything else is a tool of ``services.cli``."""

OTHER_SETTINGS = ("services.local", "services.cli", "services.replay")

TEST_VARIABLES = (
    "TICKPLANE_RECORDED",
    "TICKPLANE_KUBE_TOOLS",
    "TICKPLANE_KUBE_SCHEMAS",
    "TICKPLANE_AUDIT_LOG",
    "TICKPLANE_E2E_IMAGE",
    "TICKPLANE_E2E_HOST",
)


def settings_classes() -> dict[str, type[Settings]]:
    """Every settings class, by the name of what reads it."""
    packages = {**SERVICES, **{package.rpartition(".")[2]: package for package in OTHER_SETTINGS}}
    return {name: import_module(f"{package}.settings").SETTINGS for name, package in packages.items()}


def main() -> None:
    service = SERVICES.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if service is not None:
        logging.configure(sys.argv[1])
    try:
        classes = settings_classes()
        known = [variable for settings in classes.values() for variable in variables(settings).values()]
        refuse_unknown([*known, *TEST_VARIABLES])
    except ConfigError as error:
        if service is not None:
            logging.logger().error("bad_setting", error=str(error))
        else:
            print(f"tickplane: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    if service is not None:
        import_module(f"{service}.app").main()
    else:
        import_module("services.cli.app").app("tickplane", classes)


if __name__ == "__main__":
    main()
