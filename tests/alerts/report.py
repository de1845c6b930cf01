"""What was seen, as the table of docs/monitoring.md."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "monitoring.md"
BEGIN, END = "<!-- alerts: begin -->", "<!-- alerts: end -->"
HEAD = "| broken | alert | fires after | its runbook shows the cause by | clears after |\n|---|---|---|---|---|\n"


@dataclass
class Seen:
    """Of one alert of one fault; times are None while they are not known."""

    fault: str
    alert: str
    fired_s: float | None = None
    command: str | None = None
    cleared_s: float | None = None
    trouble: str = ""

    def row(self) -> str:
        command = f"`{self.command.replace('|', chr(92) + '|')}`" if self.command else self.trouble or "-"
        return f"| {self.fault} | {self.alert} | {_s(self.fired_s)} | {command} | {_s(self.cleared_s)} |\n"


def write(seen: list[Seen], for_scale: float) -> None:
    """Replace what is between the marks."""
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    head = f"{when} (UTC), every `for` times {for_scale}:\n\n"
    table = head + HEAD + "".join(one.row() for one in seen)
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(re.sub(f"{BEGIN}.*{END}", lambda _found: f"{BEGIN}\n{table}{END}", text, flags=re.DOTALL))


def _s(seconds: float | None) -> str:
    return "not" if seconds is None else f"{seconds:.0f} s"
