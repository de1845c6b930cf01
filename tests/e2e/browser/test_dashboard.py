"""The dashboard on a real stack: what a user sees within seconds, and what he sees when the gateway restarts."""

import json
import os
import re
import signal

import pytest
from playwright.async_api import Page, expect

from tests.e2e.browser.canvas import candle_is_drawn
from tests.support.polling import eventually
from tests.support.run import Run

pytestmark = pytest.mark.browser

PATIENCE_MS = 20_000
FIRST_PAINT_MAX_MS = 1_000
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


async def test_rows_arrive_and_their_prices_move(page: Page, edge: str) -> None:
    await page.goto(edge)
    row = page.get_by_role("row", name=re.compile("^BTC-USD"))
    await expect(row.locator("td.state")).to_contain_text("live", timeout=PATIENCE_MS)
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(row.locator("td.change")).to_contain_text("%", timeout=PATIENCE_MS)
    price = await row.locator("td.price").inner_text()
    await expect(row.locator("td.price")).not_to_have_text(price, timeout=PATIENCE_MS)


async def test_the_first_paint_takes_less_than_a_second(page: Page, edge: str) -> None:
    await page.goto(edge)
    await page.wait_for_function(FIRST_PAINT)
    assert 0 < await page.evaluate(FIRST_PAINT) < FIRST_PAINT_MAX_MS


async def test_a_candle_is_drawn_and_the_last_bar_lives(page: Page, edge: str) -> None:
    await page.goto(f"{edge}/#/chart/demo/BTC-USD/1m")
    legend = page.locator(".legend")
    await expect(legend).to_contain_text("open", timeout=PATIENCE_MS)
    await eventually(lambda: candle_is_drawn(page))
    before = await legend.inner_text()
    await expect(legend).not_to_have_text(before, timeout=PATIENCE_MS)
    await expect(page.locator(".tape tbody tr")).not_to_have_count(0)
    await expect(page.locator(".values")).to_contain_text("EMA 12")


async def test_an_invalid_tick_turns_red(page: Page, edge: str) -> None:
    await page.goto(f"{edge}/#/validation")
    send = page.get_by_role("button", name="Send tick")
    await expect(send).to_be_enabled(timeout=PATIENCE_MS)
    await send.click()
    valid = page.locator("tr[data-status=VALID]").first
    await expect(valid).to_contain_text("ACME", timeout=PATIENCE_MS)

    await page.get_by_label("Price").fill("999999")
    await page.get_by_label("Price").press("Enter")
    invalid = page.locator("tr[data-status=INVALID]").first
    await expect(invalid).to_contain_text("Price out of acceptable range", timeout=PATIENCE_MS)
    await expect(page.locator(".result")).to_contain_text("✕ Invalid")
    colors = [
        await row.locator("td.verdict").evaluate("cell => getComputedStyle(cell).color") for row in (valid, invalid)
    ]
    down = await page.evaluate("() => getComputedStyle(document.querySelector('tr[data-status=INVALID] td')).color")
    assert colors[0] != colors[1] == down


async def test_the_operations_show_feeds_and_consumers(page: Page, edge: str) -> None:
    await page.goto(f"{edge}/#/operations")
    await expect(page.get_by_role("table", name="Feeds")).to_contain_text("BTC-USD", timeout=PATIENCE_MS)
    await expect(page.get_by_role("table", name="Lag of the consumers")).to_contain_text("candle_builder")
    await expect(page.locator(".tile").nth(0)).to_contain_text("✓ Ready", timeout=PATIENCE_MS)
    await expect(page.locator(".tile").nth(1)).to_contain_text("ms", timeout=PATIENCE_MS)


async def test_an_order_rests_is_crossed_by_another_account_and_tells_its_life(page: Page, edge: str, run: Run) -> None:
    """On the symbol where no bot trades: the book is what this test makes of it."""
    keys = json.loads((run.folder / ".tickplane" / "keys.json").read_text())
    await page.goto(f"{edge}/#/orders/BTC-USD")
    account = page.get_by_label("Account", exact=True)
    await expect(account).to_contain_text("alice without a key", timeout=PATIENCE_MS)
    await expect(page.locator(".ladder-state")).to_have_text("Live", timeout=PATIENCE_MS)
    await place(page, "buy", "60000.5", "0.02")
    await expect(page.locator(".order-ticket .result")).to_have_text("Resting: Buy 0.02 BTC-USD at 60,000.5")
    level = page.get_by_role("button", name=re.compile(r"^Bid 60000\.50, quantity 0\.02000"))
    await expect(level).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_role("table", name="Own orders")).to_contain_text("○ Resting")

    await page.get_by_label("API key of another account").fill(keys["bob"])
    await page.keyboard.press("Enter")
    await expect(account).to_contain_text("bob by its key", timeout=PATIENCE_MS)
    await level.click()
    await place(page, "sell", None, "0.02")
    await expect(page.locator(".order-ticket .result")).to_have_text("Filled: Sell 0.02 BTC-USD at 60,000.5")
    await expect(page.get_by_role("table", name="Executions")).to_contain_text("▼ 60,000.50", timeout=PATIENCE_MS)
    await expect(level).to_have_count(0)
    steps = page.get_by_role("list", name="Steps").locator("li")
    executions = page.get_by_role("list", name="Executions of this order")
    await expect(steps).to_contain_text(["Received", "Accepted", "Filled"])
    await expect(executions).to_contain_text("as taker")

    await page.get_by_role("button", name="Forget the key").click()
    await expect(account).to_contain_text("alice without a key", timeout=PATIENCE_MS)
    await page.get_by_role("radio", name="Recent").click()
    await page.get_by_role("button", name="Timeline of the order").first.click()
    await expect(steps).to_contain_text(["Received", "Accepted", "Resting", "Filled"])
    await expect(executions).to_contain_text("as maker")
    assert str(keys["bob"]) not in page.url


async def place(page: Page, side: str, price: str | None, quantity: str) -> None:
    """At the price that is in the ticket, where none is given."""
    await page.get_by_role("radio", name=side.capitalize()).click()
    if price is not None:
        await page.get_by_label("Price", exact=True).fill(price)
    await page.get_by_label("Quantity", exact=True).fill(quantity)
    await page.get_by_role("button", name="Review order").click()
    await page.get_by_role("button", name=f"Send {side} order").click()
    await expect(page.locator(".order-ticket .result")).not_to_have_text("", timeout=PATIENCE_MS)


async def test_the_gateway_restarts_and_the_page_resumes(page: Page, edge: str, run: Run) -> None:
    """Not a trade is missing in the list that it shows, and it said meanwhile that it was stale."""
    requests: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: requests.append(str(text))))
    await page.goto(f"{edge}/#/chart/demo/BTC-USD/1m")
    await expect(page.locator(".tape tbody tr")).not_to_have_count(0, timeout=PATIENCE_MS)
    await page.evaluate(SEEN_STATES)

    (gateway,) = run.endpoints()["pids"]["gateway"]
    os.kill(gateway, signal.SIGTERM)
    await expect(page.locator("#connection")).to_contain_text("Stale since", timeout=PATIENCE_MS)
    await expect(page.locator("#banner")).to_contain_text("Stale since")
    await expect(page.locator("#connection")).to_have_text("Live", timeout=PATIENCE_MS)

    resumed = [text for text in requests if '"resume"' in text]
    assert any('"channel":"trades"' in text for text in resumed), requests
    before = await page.locator(".tape tbody tr").first.inner_text()
    await expect(page.locator(".tape tbody tr").first).not_to_have_text(before, timeout=PATIENCE_MS)
    # It is said once a change, for those who cannot see it.
    assert await page.evaluate("window.announced") == ["Connection lost, prices are stale", "Prices are live"]


SEEN_STATES = """
() => {
    window.announced = []
    const region = document.getElementById('announcement')
    const observer = new MutationObserver(() => region.textContent && window.announced.push(region.textContent))
    observer.observe(region, { childList: true, characterData: true, subtree: true })
}
"""
