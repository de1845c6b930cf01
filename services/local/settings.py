"""Settings of `make run`."""

from pathlib import Path

from pydantic import Field

from services.runtime.settings import Settings


class LocalSettings(Settings):
    host: str = "127.0.0.1"
    """Where the public port listens. ``0.0.0.0`` lets other machines in; there is no login."""

    port: int = Field(8080, ge=0, le=65_535)
    """The one public port. 0 takes a free one, which `endpoints.json` tells."""

    feeds: str = Field("coinbase,kraken,demo", min_length=1)
    """What to connect to: ``venue[:PRODUCT+PRODUCT][@endpoint],…``, or a YAML file of MarketFeeds."""

    market_maker: bool = True
    """Whether a market maker keeps quotes on the order lab's `DEMO-USD`, and now and then somebody trades with it."""

    folder: Path = Path(".tickplane")
    """Where data, logs and `endpoints.json` are kept. Two runs at the same time need two."""

    disk_free_min_mb: int = Field(1_024, ge=64, le=1 << 20)
    """`make run` does not start with less room than this: Kafka and Postgres fail badly on a full disk."""

    restart_backoff_max_s: float = Field(30, ge=0.1, le=3_600)
    """A part or service that keeps dying is started again after at most this long."""

    figures_interval_s: float = Field(2, ge=0.2, le=60)
    """How often the live figures are read from the services."""


SETTINGS = LocalSettings
