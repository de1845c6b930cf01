"""The dashboard against a made-up edge: what a real stack cannot be made to do at will."""

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from itertools import pairwise

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.browser.canvas import candle_is_drawn
from tests.e2e.browser.fake import ORIGIN, FakeEdge
from tests.support.polling import eventually

pytestmark = pytest.mark.browser

VIEWS = ("markets", "chart/demo/BTC-USD/1m", "validation", "orders", "operations")
UPDATES_PER_SECOND = 200
PRODUCTS = 50
MEASURED_S = 3
FRAME_MS = 1000 / 60
REST_S = 1
AT_REST_SHARE_MAX = 0.02
DROPPED_SHARE_MAX = 0.05
"""One of twenty is what other work on the machine costs; a page that draws each update by itself drops most."""
ROUNDS_MAX = 8
ROUNDS_COUNTED = 3
"""The best of three, of those before and after which an empty page lost no frames: else other work on the machine is
what is measured."""
TRIES = 4
FRAMES = """
(duration) => new Promise((done) => {
    const times = []
    const next = (time) => {
        times.push(time)
        if (time - times[0] < duration) requestAnimationFrame(next)
        else done(times)
    }
    requestAnimationFrame(next)
})
"""


async def live(page: Page) -> None:
    await expect(page.locator("#connection")).to_have_text("Live")


async def test_two_hundred_updates_a_second_drop_no_frame(context: BrowserContext, page: Page) -> None:
    fake = FakeEdge([f"P{number:02}-USD" for number in range(PRODUCTS)])
    await fake.serve(page)
    await page.goto(ORIGIN)
    await live(page)
    await expect(page.get_by_role("row")).to_have_count(1 + 1 + len(fake.products))

    async def trade() -> None:
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            while sent < (loop.time() - began) * UPDATES_PER_SECOND:
                fake.trade(fake.products[sent % len(fake.products)], 100 + random.random())
                sent += 1
            await asyncio.sleep(0.005)

    empty = await context.new_page()
    shares: list[float] = []
    for _ in range(ROUNDS_MAX):
        share, at_rest = await measured(page, empty, trade)
        if at_rest <= AT_REST_SHARE_MAX:
            shares.append(share)
        if (shares and shares[-1] <= DROPPED_SHARE_MAX) or len(shares) == ROUNDS_COUNTED:
            break
    if not shares:
        pytest.skip("this machine is too busy: it drops frames of an empty page")
    print(f"{PRODUCTS} rows; dropped, of all frames: {', '.join(f'{share:.1%}' for share in shares)}")
    assert min(shares) <= DROPPED_SHARE_MAX


async def measured(page: Page, empty: Page, trade: Callable[[], Coroutine[None, None, None]]) -> tuple[float, float]:
    """The share of frames that is dropped while it trades, and that of an empty page, the worse of before and after."""
    await empty.bring_to_front()
    before = await dropped_share(empty, REST_S)
    await page.bring_to_front()
    trading = asyncio.create_task(trade())
    share = await dropped_share(page, MEASURED_S)
    rate = int((await page.locator(".summary").inner_text()).split("·")[1].split()[0])
    trading.cancel()
    assert rate > UPDATES_PER_SECOND * 0.8
    await empty.bring_to_front()
    return share, max(before, await dropped_share(empty, REST_S))


async def dropped_share(page: Page, duration_s: float) -> float:
    """Frames that should have been there, of all that should."""
    times: list[float] = await page.evaluate(FRAMES, duration_s * 1000)
    due = [round((after - before) / FRAME_MS) for before, after in pairwise(times)]
    return (sum(due) - len(due)) / sum(due)


async def test_a_hole_is_asked_for_and_nothing_is_shown_twice(page: Page, fake: FakeEdge) -> None:
    await page.goto(f"{ORIGIN}/#/chart/demo/BTC-USD/1m")
    rows = page.locator(".tape tbody tr")
    await eventually(lambda: any(each.get("channel") == "indicators" for each in fake.requests))
    for _ in range(3):
        fake.trade("BTC-USD", 100)
    fake.trade("BTC-USD", 100, lost=True)
    fake.trade("BTC-USD", 100)
    await expect(rows).to_have_count(3)

    def asked() -> list[int]:
        return [each["sequence"] for each in fake.requests if each["op"] == "resume"]

    assert await eventually(asked) == [3]
    fake.replay("BTC-USD", 4)
    await expect(rows).to_have_count(5)


async def test_a_lost_connection_is_stale_since_and_not_live(page: Page, fake: FakeEdge) -> None:
    await page.goto(ORIGIN)
    await live(page)
    fake.trade("BTC-USD", 101)
    row = page.get_by_role("row", name=re.compile("^BTC-USD"))
    await expect(row.locator("td.state")).to_contain_text("live")
    fake.accepting = False
    await fake.drop()
    await expect(page.locator("#connection")).to_have_text(re.compile(r"^Stale since \d\d:\d\d:\d\d$"))
    await expect(row.locator("td.state")).to_have_text(re.compile(r"stale since \d\d:\d\d:\d\d$"))
    # Its own attempts come ever further apart, the button's at once.
    await eventually(lambda: fake.refused >= TRIES)
    tried = fake.refused
    await page.get_by_role("button", name="Try now").click()
    await eventually(lambda: fake.refused > tried)
    fake.accepting = True
    await expect(page.locator("#connection")).to_have_text("Live", timeout=30_000)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_window_between_phone_and_desk_needs_none_either(page: Page, fake: FakeEdge, view: str) -> None:
    await page.set_viewport_size({"width": 650, "height": 800})
    await page.goto(f"{ORIGIN}/#/{view}")
    await live(page)
    assert await page.evaluate("() => document.documentElement.scrollWidth") == 650


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_of_320_pixels_needs_no_scrolling_sideways(
    page: Page, fake: FakeEdge, view: str, scheme: str
) -> None:
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(f"{ORIGIN}/#/{view}")
    await live(page)
    assert await page.evaluate("() => document.documentElement.scrollWidth") == 320
    luminance = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert (sum(await page.evaluate(luminance)) < 3 * 128) is (scheme == "dark")


async def test_the_keyboard_reaches_everything(page: Page, fake: FakeEdge) -> None:
    await page.goto(ORIGIN)
    await live(page)
    focused = "() => document.activeElement.textContent.trim()"
    await page.locator("tbody a").first.focus()
    await page.keyboard.press("ArrowDown")
    assert await page.evaluate(focused) == "ETH-USD"
    await page.keyboard.press("End")
    assert await page.evaluate(focused) == "SOL-USD"
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#/chart/demo/SOL-USD/1m$"))

    await page.get_by_role("radio", name="1m", exact=True).focus()
    await page.keyboard.press("ArrowRight")
    await expect(page).to_have_url(re.compile("#/chart/demo/SOL-USD/5m$"))
    assert await page.evaluate(focused) == "5m"
    assert await page.evaluate("() => document.activeElement.getAttribute('aria-checked')") == "true"


async def test_the_theme_that_was_chosen_is_kept(context: BrowserContext, page: Page, fake: FakeEdge) -> None:
    await page.goto(ORIGIN)
    button = page.get_by_role("button", name=re.compile("^Theme: system"))
    await button.click()
    await page.get_by_role("button", name=re.compile("^Theme: light")).click()
    await page.reload()
    await expect(page.get_by_role("button", name=re.compile("^Theme: dark"))).to_be_visible()
    assert await page.evaluate("() => document.documentElement.dataset.theme") == "dark"


async def test_a_canvas_without_bars_has_no_candle(page: Page, fake: FakeEdge) -> None:
    """The control of `candle_is_drawn`: the same page, with its axes, before there is a bar, and after."""
    bars, fake.bars = fake.bars, 0
    await page.goto(f"{ORIGIN}/#/chart/demo/BTC-USD/1m")
    await expect(page.locator(".legend")).to_have_text("No bar yet")
    assert not await candle_is_drawn(page)
    fake.bars = bars
    await page.reload()
    await eventually(lambda: candle_is_drawn(page))


async def test_older_bars_come_as_the_chart_moves_left(page: Page, fake: FakeEdge) -> None:
    fake.bars = 1_000
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/candles/" in request.url else None)
    await page.goto(f"{ORIGIN}/#/chart/demo/BTC-USD/1m")
    await expect(page.locator(".legend")).to_contain_text("open")
    chart = page.get_by_role("img", name=re.compile("candles of BTC-USD"))
    await chart.focus()
    before = len(asked)

    async def older() -> bool:
        await page.keyboard.press("ArrowLeft")
        return any("end=" in url for url in asked[before:])

    await eventually(older)
