"""Tables on a terminal as wide as it is, and in a pipe as wide as they are."""

from rich.console import Console
from rich.table import Table

PIPE_WIDTH_CHARACTERS = 240


def show_table(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH_CHARACTERS)
    console.print(table)
