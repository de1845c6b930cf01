"""The live figures follow from two readings."""

from services.local.figures import ExchangeFigures, Reading, figures
from services.local.scrape import Scrape

FEED = """
feed_connected{{exchange="demo",venue="demo"}} {connected}
feed_gaps_open{{exchange="demo",product_id="BTC-USD"}} 2
feed_gaps_open{{exchange="demo",product_id="ETH-USD"}} 1
messages_published_total{{exchange="demo",topic="market_trades"}} {published}
messages_published_total{{exchange="demo",topic="feed_state"}} 9000
"""
CANDLES = """
consumer_lag{consumer_group="candle_builder",topic="market_trades",partition="0"} 3
consumer_lag{consumer_group="candle_builder",topic="market_trades",partition="1"} 4
"""


def reading(time_s: float, published: int, connected: int = 1) -> Reading:
    feed = FEED.format(connected=connected, published=published)
    return Reading(time_s, (Scrape.parse(feed), Scrape.parse(CANDLES)))


def test_rates_are_per_second_and_gaps_and_lag_are_summed() -> None:
    shown = figures(reading(10, 100), reading(12, 150))
    assert shown.exchanges == {"demo": ExchangeFigures(trades_per_s=25, gaps_open=3, connected=True)}
    assert shown.lag == {"candle_builder": 7}


def test_a_feed_that_started_anew_has_no_negative_rate() -> None:
    assert figures(reading(10, 100), reading(12, 5)).exchanges["demo"].trades_per_s == 0


def test_an_exchange_that_cannot_be_reached_is_shown() -> None:
    assert not figures(reading(10, 0), reading(12, 0, connected=0)).exchanges["demo"].connected
