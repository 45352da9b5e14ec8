"""Bars on a terminal: how far the work is, how fast it goes, and how long it will take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any

from prcli.cli.ranks import current_communicator
from prcli.records import Progress, no_progress
from prcli.wording import rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task, TaskID

#: What is counted, by the task that workflows report.
LABELS = {
    "audit": "strategies",
    "calibrate": "validation rows",
    "check": "structures checked",
    "compute": "structures described",
    "describe": "small structures judged",
    "embed": "small structures made",
    "ensemble": "rows of members",
    "gradients": "gradient rows",
    "hessian": "training rows",
    "import": "structures",
    "index": "MiB searched for frames",
    "pool": "pool, structures read",
    "prune": "removals",
    "refine": "picks looked at again",
    "refits": "refits",
    "scale": "rows for the scale",
    "score": "rows",
    "select": "picks",
    "targets": "targets",
    "write": "frames",
}

#: Within which a launcher passes on what a rank has written.
_RELAY_SECONDS = 0.1

#: Reports that are older say nothing of the rate: a single pick may take an hour.
_MEMORY_SECONDS = 86_400.0

#: Bars on the terminal at this moment: at most one set.
_live: list[Any] = []


def say_above(message: str) -> bool:
    """Write a line above the bars; False where there are none."""
    if _live:
        _live[-1].console.print(message, markup=False, highlight=False, soft_wrap=True)
    return bool(_live)


def clear_bars() -> None:
    """Take the bars away for good, or leave them be where they cannot be taken away."""
    for bars in _live:
        bars.stop()
        if not bars.live.transient:
            # What is relayed arrives when the launcher likes; what follows must not come first.
            sleep(_RELAY_SECONDS)
    _live.clear()


@contextmanager
def drawn_progress(quiet: bool) -> Iterator[Progress]:
    """Draw progress where somebody sees it.

    Parameters
    ----------
    quiet : bool

    Yields
    ------
    progress : callable
        Draws a bar for every task on the terminal behind stderr; nothing where there is none, and
        for ranks but the first.
    """
    console, is_relayed = (None, False) if quiet else _console()
    if console is None:
        yield no_progress
        return
    from rich.progress import Progress

    with Progress(
        *_columns(),
        console=console,
        # Of what is relayed nobody knows what stands below it by then.
        transient=not is_relayed,
        # stdout stays what it is: rich would otherwise send data to the terminal.
        redirect_stdout=False,
        redirect_stderr=False,
        speed_estimate_period=_MEMORY_SECONDS,
    ) as bars:
        _live.append(bars)
        tasks: dict[str, TaskID] = {}
        seen: dict[str, int] = {}

        def report(task: str, done: int, total: int | None) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(LABELS.get(task, task), total=total)
            if done < seen.get(task, 0):
                # A second pass over the same data has a pace of its own.
                bars.reset(tasks[task], total=total)
            seen[task] = done
            bars.update(tasks[task], completed=done, total=total)

        try:
            yield report
        finally:
            _live.clear()


def _console() -> tuple[Console | None, bool]:
    """Make a console for the terminal behind stderr, and say whether a launcher relays to it."""
    communicator = current_communicator()
    if communicator.rank:
        return None, False
    if sys.stderr.isatty():
        from rich.console import Console

        return Console(stderr=True), False
    if communicator.size == 1:
        return None, False
    # Ranks have no terminal, but what started them may write to one.
    from prcli.parallel.relayed import relayed_terminal, terminal_width

    device = relayed_terminal()
    if device is None:
        return None, False
    from rich.console import Console

    return Console(stderr=True, force_terminal=True, width=terminal_width(device)), True


def _columns() -> list[ProgressColumn]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate(speed), style="progress.data.speed")

    class TimeLeft(TimeRemainingColumn):
        """Time that is left while it runs, time that it took afterwards."""

        def render(self, task: Task) -> Text:
            if not task.finished and task.time_remaining is None:
                return Text()
            return super().render(task).append(" taken" if task.finished else " left")

    return [
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Rate(),
        TimeLeft(elapsed_when_finished=True),
    ]
