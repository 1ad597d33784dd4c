"""A bar for work that goes through episodes one by one."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.progress import TimeRemainingColumn


def progress(console: Console) -> Progress:
    """A bar that goes away when the work is done."""
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def complain(console: Console, problems: list[tuple[object, str]]) -> None:
    """Say what could not be read; every message names its file itself."""
    for _, text in problems:
        console.print(text, style='red', markup=False, highlight=False, soft_wrap=True)
