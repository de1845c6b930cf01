"""``python -m tests.e2e.browser.screenshots URL [VIEW ...]``: the pictures of `docs/images`, of what runs at URL.

Those there are of an hour that Kraken traded (2019-07-01, of the recorded data) and of two demo feeds:

    tickplane replay $TICKPLANE_RECORDED/kraken/trades_BTC-USD_20190701.csv.gz --speed max
    TICKPLANE_FEEDS=feeds.yaml TICKPLANE_RETENTION_DAYS=0 make run

with MarketFeeds of venue `kraken` at `ws://127.0.0.1:9901`, of `demo`, and of `demo` under the exchange `slow` with
`settings: {interval_ms: "10000"}` and some hours of `backfill`.
"""

import asyncio
import re
import sys
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright

from tests.e2e.browser.conftest import ARGUMENTS, chromium

IMAGES = Path(__file__).parents[3] / "docs" / "images"
SIZES = {"": ViewportSize(width=1280, height=760), "-phone": ViewportSize(width=375, height=720)}
VIEWS = {
    "markets": "markets",
    "chart": "chart/kraken/BTC-USD/1m",
    "validation": "validation",
    "orders": "orders/DEMO-USD",
    "operations": "operations",
}
SETTLED_MS = 3_000
TICKS = (
    ("ACME", "101.25"),
    ("GLOBEX", "48.10"),
    ("INITECH", "7.35"),
    ("ACME", "99999"),
    ("GLOBEX", "48.22"),
    ("AB", "5"),
)


async def main(url: str, *views: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for suffix, size in SIZES.items():
            for scheme in ("light", "dark"):
                page = await browser.new_page(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
                for name in views or VIEWS:
                    await page.goto(f"{url}/#/{VIEWS[name]}")
                    if name == "validation":
                        await _send_ticks(page)
                    if name == "orders":
                        await _place_orders(page)
                    await page.wait_for_timeout(SETTLED_MS)
                    await page.screenshot(path=IMAGES / f"{name}{suffix}-{scheme}.png")
                await page.close()
        await browser.close()


async def _send_ticks(page: Page) -> None:
    for instrument, price in TICKS:
        await page.get_by_label("Instrument", exact=True).fill(instrument)
        await page.get_by_label("Price").fill(price)
        await page.get_by_role("button", name="Send tick").click()


async def _place_orders(page: Page) -> None:
    """One that rests behind the best bid, one that trades at once."""
    await page.locator(".level[data-side=bid]:not([disabled])").nth(3).click()
    await _place(page, "2.5")
    await page.locator(".level[data-side=ask]:not([disabled])").last.click()
    await _place(page, "1.25")
    await page.evaluate("scrollTo(0, 0)")


async def _place(page: Page, quantity: str) -> None:
    await page.get_by_label("Quantity", exact=True).fill(quantity)
    await page.get_by_role("button", name="Review order").click()
    await page.get_by_role("button", name="Send buy order").click()
    await page.locator(".order-ticket .result", has_text=re.compile("Resting|Filled|Partly")).wait_for()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].rstrip("/"), *sys.argv[2:]))
