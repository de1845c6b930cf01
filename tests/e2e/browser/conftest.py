"""Fixtures: the machine's own Chromium, and one `make run` with made-up trades for all tests of the session."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

from services.local import dashboard
from tests.e2e.browser.fake import FakeEdge
from tests.support.run import Run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = ViewportSize(width=1280, height=800)


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def built() -> None:
    try:
        dashboard.build()
    except dashboard.BuildError as error:
        pytest.skip(f"the dashboard cannot be built: {error}")


@pytest.fixture(scope="session")
async def browser(built: None) -> AsyncIterator[Browser]:
    found = chromium()
    if found is None:
        pytest.skip(f"this machine has no Chromium: none of {', '.join(NAMES)} is in the PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A new profile. Whatever its pages report as an error fails the test."""
    context = await browser.new_context(viewport=DESKTOP, color_scheme="light")
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    # What breaks the page's security policy is reported so, and a failed request is not an error of the page.
    context.on("console", lambda message: errors.append(message.text) if "policy" in message.text.lower() else None)
    yield context
    await context.close()
    assert errors == []


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@pytest.fixture
async def fake(page: Page) -> FakeEdge:
    """The page's whole world, made up."""
    fake = FakeEdge(["BTC-USD", "ETH-USD", "SOL-USD"])
    await fake.serve(page)
    return fake


@pytest.fixture(scope="session")
async def run(browser: Browser) -> AsyncIterator[Run]:
    """Everything of `make run`, up, on made-up trades."""
    with tempfile.TemporaryDirectory(prefix="tickplane-test-", ignore_cleanup_errors=True) as name:
        run = Run(Path(name), TICKPLANE_FEEDS="demo:BTC-USD+ETH-USD+SOL-USD", RATE_LIMIT_PER_MINUTE=10_000)
        await run.start("up", "--plain")
        try:
            await run.up()
            yield run
        finally:
            await run.process.stop()


@pytest.fixture
def edge(run: Run) -> str:
    """Where the dashboard is."""
    return str(run.endpoints()["edge"])
