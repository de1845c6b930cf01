"""What ``/status`` of a feed says. The operator and people read it."""

from collections.abc import Mapping

from services.feed.feed import Feed
from services.feed.product import Product
from services.feed.repair import Repairer
from services.runtime.clock import rfc3339
from services.runtime.health import Health


def document(feed: Feed, products: Mapping[str, Product], repairer: Repairer, health: Health) -> dict[str, object]:
    return {
        "dependencies": health.dependencies(),
        "connected": feed.connected,
        "last_end": feed.last_end,
        "reconnects": feed.reconnects,
        "repair": repairer.state,
        "products": {
            product_id: {
                "subscribed": product.subscribed,
                "rejected": product.rejected,
                "last_trade_time": _time(product.tracker.newest_time),
                "last_received_time": _time(product.last_message_time),
                "highest_trade_number": product.tracker.highest,
                "open_gaps": [
                    {"first": gap.first, "last": gap.last, "reason": gap.reason} for gap in product.tracker.open
                ],
            }
            for product_id, product in products.items()
        },
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else rfc3339(time_ns)
