"""The orders' view against a made-up edge: holes, lost answers, refusals, replicas that come and go."""

import json
import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.browser.fake import ORIGIN, FakeEdge
from tests.e2e.browser.lab import SYMBOL, refusal
from tests.support.polling import eventually

pytestmark = pytest.mark.browser

BURST = 300
DRAWN_TIMES = """
() => {
    window.drawn = []
    const frame = () => { window.frame = (window.frame ?? 0) + 1; requestAnimationFrame(frame) }
    frame()
    new MutationObserver(() => window.drawn.push(window.frame)).observe(
        document.querySelector('.levels'), { childList: true, characterData: true, subtree: true })
}
"""


@pytest.fixture
async def orders(page: Page, fake: FakeEdge) -> Page:
    """The view, with its book."""
    await page.goto(f"{ORIGIN}/#/orders")
    await expect(state(page)).to_have_text("Live")
    await expect(page.get_by_label("Account", exact=True)).to_contain_text("alice")
    return page


def state(page: Page) -> Locator:
    return page.locator(".ladder-state")


def level(page: Page, price: str) -> Locator:
    return page.get_by_role("button", name=re.compile(rf"^(Ask|Bid) {re.escape(price)},"))


def result(page: Page) -> Locator:
    return page.locator(".order-ticket .result")


async def fill(page: Page, **fields: str) -> None:
    for label, text in fields.items():
        await page.get_by_label(label, exact=True).fill(text)


async def send(page: Page) -> None:
    await page.get_by_role("button", name="Review order").click()
    await page.get_by_role("button", name="Send buy order").click()


# The ladder


async def test_the_ladder_moves_with_the_book_and_a_click_takes_a_price(orders: Page, fake: FakeEdge) -> None:
    prices = orders.locator(".level:not([disabled]) .level-price")
    await expect(prices).to_have_text(["101.00", "100.50", "99.50", "99.00"])
    await expect(orders.locator(".spread")).to_have_text("Spread 1.00")
    fake.tell("book", fake.lab.change("bid", "99.75", "0.250"))
    fake.tell("book", fake.lab.change("ask", "100.50", "0"))
    await expect(prices).to_have_text(["101.00", "99.75", "99.50", "99.00"])
    await expect(level(orders, "99.50")).to_contain_text("2.250")
    await expect(level(orders, "101.00")).to_have_count(1)

    await level(orders, "99.75").click()
    await expect(orders.get_by_label("Price", exact=True)).to_have_value("99.75")
    await level(orders, "99.75").focus()
    await orders.keyboard.press("ArrowDown")
    await orders.keyboard.press("Enter")
    await expect(orders.get_by_label("Price", exact=True)).to_have_value("99.50")


async def test_a_hole_in_the_book_is_asked_for_again_and_never_shown(orders: Page, fake: FakeEdge) -> None:
    fake.tell("book", fake.lab.change("bid", "99.90", "1.000"), lost=True)
    fake.tell("book", fake.lab.change("bid", "99.80", "1.000"))
    await expect(level(orders, "99.90")).to_be_visible()
    await expect(level(orders, "99.80")).to_be_visible()
    await expect(state(orders)).to_have_text("Live")
    asked = [each["op"] for each in fake.requests if each.get("channel") == "book"]
    assert asked == ["subscribe", "unsubscribe", "subscribe"]


async def test_a_book_without_a_hole_is_not_asked_for_again(orders: Page, fake: FakeEdge) -> None:
    """The control of the one before."""
    fake.tell("book", fake.lab.change("bid", "99.90", "1.000"))
    fake.tell("book", fake.lab.change("bid", "99.80", "1.000"))
    await expect(level(orders, "99.80")).to_be_visible()
    assert [each["op"] for each in fake.requests if each.get("channel") == "book"] == ["subscribe"]


async def test_a_book_whose_checksum_is_wrong_is_asked_for_again(orders: Page, fake: FakeEdge) -> None:
    fake.tell("book", fake.lab.change("bid", "99.90", "1.000") | {"checksum": 1})
    await eventually(lambda: [each["op"] for each in fake.requests if each.get("channel") == "book"][1:])
    await expect(level(orders, "99.90")).to_be_visible()
    await expect(state(orders)).to_have_text("Live")


async def test_a_burst_of_changes_is_drawn_once_a_frame(orders: Page, fake: FakeEdge) -> None:
    await orders.evaluate(DRAWN_TIMES)
    for number in range(BURST):
        fake.tell("book", fake.lab.change("bid", "99.90", f"{number + 1}.000"))
    await expect(level(orders, "99.90")).to_contain_text(f"{BURST}.000")
    drawn: list[int] = await orders.evaluate("window.drawn")
    assert len(drawn) == len(set(drawn)) < BURST


async def test_a_lost_connection_is_stale_since_and_comes_back_with_the_book(orders: Page, fake: FakeEdge) -> None:
    fake.accepting = False
    await fake.drop()
    await expect(state(orders)).to_have_text(re.compile(r"^Stale since \d\d:\d\d:\d\d UTC$"))
    fake.lab.change("ask", "100.25", "3.000")
    fake.accepting = True
    await expect(level(orders, "100.25")).to_be_visible(timeout=30_000)
    await expect(state(orders)).to_have_text("Live")


async def test_executions_are_listed_and_move_the_last_price(orders: Page, fake: FakeEdge) -> None:
    fake.tell("executions", fake.lab.execution("100.5", "0.25", "buy"))
    rows = orders.get_by_role("table", name="Executions").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("▲ 100.50")
    await expect(orders.locator(".last-price")).to_have_text("100.50")


# The ticket


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"Price": "", "Quantity": "1"}, "A price is needed"),
        ({"Price": "1e400", "Quantity": "1"}, "not a number"),
        ({"Price": "99.505", "Quantity": "1"}, "has to be a multiple of 0.01"),
        ({"Price": "99.50", "Quantity": "0"}, "has to be above zero"),
        ({"Price": "99.50", "Quantity": "0.0001"}, "has to be a multiple of 0.001"),
        ({"Price": "99.50", "Quantity": "1000.001"}, "at most 1,000 DEMO"),
        ({"Price": "99.50", "Quantity": "0.001"}, "at least 1 USD is needed"),
        ({"Price": "150", "Quantity": "1"}, "from 90.00 to 110.00"),
    ],
)
async def test_what_does_not_fit_is_told_at_its_field_and_not_sent(
    orders: Page, fake: FakeEdge, fields: dict[str, str], told: str
) -> None:
    fake.tell("executions", fake.lab.execution("100", "1", "buy"))
    await expect(orders.locator(".last-price")).to_have_text("100.00")
    await fill(orders, **fields)
    await orders.get_by_label("Quantity", exact=True).press("Enter")
    invalid = orders.locator("[aria-invalid=true]")
    await expect(invalid).to_be_focused()
    await expect(orders.locator(f"#{await invalid.get_attribute('aria-describedby')}")).to_contain_text(told)
    await expect(orders.locator("dialog")).to_have_count(0)
    assert fake.lab.placed() == []


async def test_an_order_by_keyboard_is_confirmed_received_and_rests(orders: Page, fake: FakeEdge) -> None:
    await fill(orders, Price="99.50")
    await orders.get_by_label("Quantity", exact=True).press_sequentially("1.5")
    await orders.keyboard.press("Enter")
    dialog = orders.get_by_role("dialog", name="Buy 1.5 DEMO-USD at 99.5")
    await expect(dialog).to_contain_text("149.25 USD in all")
    await orders.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert fake.lab.placed() == []

    await orders.keyboard.press("Enter")
    await expect(orders.get_by_role("button", name="Send buy order")).to_be_focused()
    await orders.keyboard.press("Enter")
    await expect(result(orders)).to_have_text("Resting: Buy 1.5 DEMO-USD at 99.5")
    (order,) = fake.lab.placed()
    assert {name: value for name, value in order.items() if name != "id"} == {
        "symbol": SYMBOL,
        "side": "buy",
        "type": "limit",
        "quantity": "1.5",
        "price": "99.50",
        "time_in_force": "GTC",
        "self_trade": "cancel_newest",
    }
    steps = orders.get_by_role("list", name="Steps").locator("li")
    await expect(steps).to_contain_text(["Received", "Accepted", "Resting"])
    await expect(orders.get_by_role("table", name="Own orders")).to_contain_text("○ Resting")
    await expect(orders.get_by_role("radio", name="Open 1")).to_be_visible()
    await expect(level(orders, "99.50")).to_contain_text("•")


async def test_only_what_goes_together_can_be_chosen(orders: Page, fake: FakeEdge) -> None:
    times = orders.get_by_label("Time in force")
    post_only = orders.get_by_label("Post-only: never take")
    await orders.get_by_role("radio", name="Stop-limit").click()
    await expect(times.locator("option")).to_have_text([re.compile("^GTC"), re.compile("^GTD")])
    await expect(post_only).to_be_disabled()
    await times.select_option("GTD")
    await orders.get_by_role("radio", name="Sell").click()
    await fill(orders, **{"Stop price": "95", "Price": "94.50", "Quantity": "1", "Minutes until it expires": "30"})
    await orders.get_by_role("button", name="Review order").click()
    await orders.get_by_role("button", name="Send sell order").click()
    await eventually(fake.lab.placed)
    (order,) = fake.lab.placed()
    assert (order["type"], order["stop_price"], order["price"]) == ("stop_limit", "95", "94.50")
    assert order["time_in_force"] == "GTD"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", order["expire_time"])
    assert "post_only" not in order

    await orders.get_by_role("radio", name="Market").click()
    await expect(orders.get_by_label("Price", exact=True)).to_be_hidden()
    await expect(times).to_have_value("IOC")


async def test_an_order_without_an_answer_is_sent_again_as_the_same_order(orders: Page, fake: FakeEdge) -> None:
    fake.lab.losing = 1
    await fill(orders, Price="99.50", Quantity="1")
    await send(orders)
    await expect(result(orders)).to_contain_text("Whether it was received is not known")
    fake.lab.refusing = refusal(429, "too_many_requests", "", "try again in 1 s")
    await orders.get_by_role("button", name="Try again").click()
    await expect(result(orders)).to_contain_text("Not taken this time; before, that is not known")
    fake.lab.refusing = None
    await orders.get_by_role("button", name="Try again").click()
    await expect(result(orders)).to_contain_text("Resting")
    first, second, third = fake.lab.placed()
    assert first == second == third
    await expect(orders.get_by_role("button", name="Try again")).to_be_hidden()

    await send(orders)
    await eventually(lambda: len(fake.lab.placed()) == 4)
    assert fake.lab.placed()[3]["id"] != first["id"], "the same fields once more are another order"


async def test_a_refusal_is_told_with_its_field_and_nothing_is_sent_again(orders: Page, fake: FakeEdge) -> None:
    fake.lab.refusing = refusal(400, "tick_size", "price", "must be a multiple of 0.05")
    await fill(orders, Price="99.51", Quantity="1")
    await send(orders)
    await expect(result(orders)).to_have_text("✕ Not taken: price: must be a multiple of 0.05")
    await expect(orders.locator("#note-price")).to_have_text("must be a multiple of 0.05")
    await expect(orders.get_by_label("Price", exact=True)).to_be_focused()
    await expect(orders.get_by_role("button", name="Try again")).to_be_hidden()


async def test_what_the_engine_rejects_is_told_with_its_reason(orders: Page, fake: FakeEdge) -> None:
    fake.lab.becomes, fake.lab.reason = "rejected", "insufficient_balance"
    await fill(orders, Price="99.50", Quantity="1")
    await send(orders)
    await expect(result(orders)).to_contain_text("✕ Rejected")
    await expect(result(orders)).to_contain_text("the account has not enough for it")
    await expect(result(orders)).to_have_attribute("data-bad", "true")


async def test_the_notice_goes_on_with_the_order(orders: Page, fake: FakeEdge) -> None:
    await fill(orders, Price="99.50", Quantity="1")
    await send(orders)
    await expect(result(orders)).to_contain_text("Resting")
    (order,) = fake.lab.orders.values()
    order |= {"state": "filled", "filled": "1", "remaining": "0"}
    fake.tell("executions", fake.lab.execution("99.5", "1", "sell"))
    await expect(result(orders)).to_have_text("Filled: Buy 1 DEMO-USD at 99.5")
    await expect(orders.get_by_role("list", name="Steps")).to_contain_text("Filled")


# Own orders and the account


async def test_an_open_order_is_cancelled_once_it_is_confirmed(orders: Page, fake: FakeEdge) -> None:
    await fill(orders, Price="99.50", Quantity="1")
    await send(orders)
    cancel = orders.get_by_role("button", name="Cancel buy 1 DEMO-USD at 99.50")
    await cancel.click()
    await orders.get_by_role("button", name="Back").click()
    assert not any(each.method == "DELETE" for each in fake.lab.asked)
    await cancel.click()
    await orders.get_by_role("button", name="Cancel the order").click()
    await expect(result(orders)).to_contain_text("Cancelled: Buy 1 DEMO-USD at 99.5, as asked for")
    await expect(orders.get_by_role("list", name="Steps")).to_contain_text("Cancelled")


async def test_a_key_makes_the_page_act_as_its_account_and_stays_in_the_tab(orders: Page, fake: FakeEdge) -> None:
    account = orders.get_by_label("Account", exact=True)
    await orders.get_by_label("API key of another account").fill("bobs-key")
    await orders.keyboard.press("Enter")
    await expect(account).to_contain_text("bob by its key")
    await expect(orders.get_by_label("API key of another account")).to_have_value("")
    assert "bobs-key" not in orders.url
    assert "bobs-key" not in json.dumps(await orders.evaluate("({...localStorage})"))
    assert "bobs-key" in json.dumps(await orders.evaluate("({...sessionStorage})"))

    await orders.reload()
    await expect(account).to_contain_text("bob by its key")
    await orders.get_by_role("button", name="Forget the key").click()
    await expect(account).to_contain_text("alice without a key")
    assert await orders.evaluate("sessionStorage.length") == 0


async def test_a_key_that_nobody_has_is_told(orders: Page, fake: FakeEdge) -> None:
    await orders.get_by_label("API key of another account").fill("wrong")
    await orders.keyboard.press("Enter")
    await expect(orders.locator(".notice").first).to_contain_text("Orders need an API key")
    await expect(orders.get_by_label("Account", exact=True)).to_contain_text("the key is not known")


async def test_another_replica_is_shown_beside_the_one_before(orders: Page, fake: FakeEdge) -> None:
    await expect(orders.locator(".replica")).to_have_text("Answered by orders-a")
    fake.lab.instance = "orders-b"
    await expect(orders.locator(".replica")).to_contain_text("Answered by orders-b, until", timeout=10_000)
    await expect(orders.locator(".replicas")).to_have_text("Replicas seen: orders-a, orders-b")
