"""What the terminal shows: what is starting, then where everything is, then how it goes. Or, plain, the logs only."""

from collections.abc import Iterable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.local.figures import Figures
from services.local.supervisor import Child, State

STYLES = {
    State.WAITING: "dim",
    State.STARTING: "yellow",
    State.READY: "green",
    State.DEAD: "bold red",
    State.STOPPED: "dim",
}


class Screen(Protocol):
    """``say`` shows one line for people; ``line`` one line of a service's log."""

    def say(self, text: str) -> None: ...
    def line(self, text: str) -> None: ...
    def children(self, children: Iterable[Child]) -> None: ...
    def urls(self, urls: dict[str, str]) -> None: ...
    def figures(self, figures: Figures) -> None: ...
    def close(self) -> None: ...


class Plain:
    """Logs as they come, and what there is to say, one line each."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def line(self, text: str) -> None:
        print(text, flush=True)

    def children(self, children: Iterable[Child]) -> None:
        """The logs tell."""

    def urls(self, urls: dict[str, str]) -> None:
        for name, url in urls.items():
            self.say(f"{name}: {url}")

    def figures(self, figures: Figures) -> None:
        """The logs tell."""

    def close(self) -> None:
        """Nothing to put back."""


class Rich:
    """One table that is redrawn; lines that are said scroll by above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._children: list[Child] = []
        self._urls: dict[str, str] = {}
        self._figures = Figures()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def line(self, text: str) -> None:
        """The log files have it."""

    def children(self, children: Iterable[Child]) -> None:
        self._children = list(children)

    def urls(self, urls: dict[str, str]) -> None:
        self._urls = urls

    def figures(self, figures: Figures) -> None:
        self._figures = figures

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        shown: list[RenderableType] = [self._states()]
        if self._urls:
            shown += [_urls_table(self._urls), _figures_table(self._figures)]
        return Group(*shown)

    def _states(self) -> Text:
        text = Text()
        for child in self._children:
            text.append("● ", STYLES[child.state])
            text.append(f"{child.name} ", "bold" if child.state is State.DEAD else "")
        return text


def _urls_table(urls: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False)
    for name, url in urls.items():
        table.add_row(name, Text(url, "cyan"))
    return table


def _figures_table(figures: Figures) -> Table:
    table = Table("exchange", "trades/s", "open gaps", "connected", box=None)
    for exchange, row in sorted(figures.exchanges.items()):
        connected = Text("yes", "green") if row.connected else Text("no, trying", "yellow")
        table.add_row(exchange, f"{row.trades_per_s:,.1f}", f"{row.gaps_open:,.0f}", connected)
    lag = ", ".join(f"{group} {records:,.0f}" for group, records in sorted(figures.lag.items()))
    table.caption = f"lag: {lag}" if lag else None
    return table
