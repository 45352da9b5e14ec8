"""What a person sees: tables on stdout; progress, messages and errors on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.ranks import current_communicator, refuse_ranks
from prcli.records import Communicator, Progress, no_progress

if TYPE_CHECKING:
    from rich.progress import TaskID

_LABELS = {
    "hessian": "training rows",
    "scale": "scale",
    "score": "rows",
    "select": "picks",
    "import": "structures",
    "write": "frames",
    "calibrate": "validation rows",
    "refits": "refits",
    "targets": "targets",
    "audit": "strategies",
    "prune": "removals",
    "gradients": "gradient rows",
}


#: Bars on the terminal at this moment: at most one set.
_live: list[Any] = []


def say(message: str) -> None:
    """Write a message to stderr, above the bars where there are any."""
    if _live:
        _live[-1].console.print(f"prcli: {message}", markup=False, highlight=False, soft_wrap=True)
    else:
        click.echo(f"prcli: {message}", err=True)


def _clear_bars() -> None:
    """Take the bars away before data appear on what may be the same terminal."""
    for bars in _live:
        bars.stop()
    _live.clear()


class _Messages(logging.Handler):
    """Messages of the library on stderr, warnings marked as such."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        say(f"{prefix}{record.getMessage()}")


@contextmanager
def session(
    *, quiet: bool, verbose: bool, threads: int | None, as_ranks: bool = False
) -> Iterator[Progress]:
    """Set up messages, threads and progress for the body of a command.

    Parameters
    ----------
    quiet, verbose : bool
    threads : int, optional
    as_ranks : bool
        Whether the command divides its work among the ranks of a parallel run.

    Yields
    ------
    progress : callable
        Draws a bar on a terminal, and nothing elsewhere.
    """
    from prcli.parallel.node import node_share
    from prcli.parallel.threads import limit_threads

    communicator = current_communicator()
    if not as_ranks:
        refuse_ranks(communicator)
    processors = node_share(communicator).n_processors if communicator.size > 1 else None
    logger = logging.getLogger("prcli")
    handler = _Messages()
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        with limit_threads(threads, processors), _progress(quiet) as progress:
            yield progress if communicator.size == 1 else _heeding(communicator, progress)
    finally:
        logger.removeHandler(handler)


def _heeding(communicator: Communicator, progress: Progress) -> Progress:
    """Look at every report whether another rank has failed."""

    def report(task: str, done: int, total: int | None) -> None:
        progress(task, done, total)
        communicator.check()

    return report


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    if quiet or not sys.stderr.isatty() or current_communicator().size > 1:
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # stdout stays what it is: rich would otherwise send data to the terminal.
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bars:
        _live.append(bars)
        tasks: dict[str, TaskID] = {}

        def report(task: str, done: int, total: int | None) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(_LABELS.get(task, task), total=total)
            bars.update(tasks[task], completed=done, total=total)

        try:
            yield report
        finally:
            _live.clear()


def emit_table(
    table_format: str | None,
    columns: Sequence[str],
    batches: Iterable[Mapping[str, Any]],
    *,
    header: bool = True,
) -> None:
    """Write a table to stdout.

    Parameters
    ----------
    table_format : {"table", "tsv", "csv", "jsonl"}, optional
        By default a table on a terminal and tsv elsewhere.
    columns : sequence of str
    batches : iterable of mapping of str to array
    header : bool
        Whether the names of the columns come first.
    """
    _clear_bars()
    # Launchers pass on what ranks write, some through what looks like a terminal.
    on_terminal = sys.stdout.isatty() and current_communicator().size == 1
    table_format = table_format or ("table" if on_terminal else "tsv")
    if table_format == "table":
        _print_table(columns, batches, header)
        return
    from prcli.data.tables import write_table

    write_table(sys.stdout, table_format, columns, batches, header=header)  # type: ignore[arg-type]
    sys.stdout.flush()


def _print_table(
    columns: Sequence[str], batches: Iterable[Mapping[str, Any]], header: bool
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numeric: dict[str, bool] = {}
    rows: list[list[Text]] = []
    for batch in batches:
        for name in columns:
            numeric.setdefault(
                name,
                getattr(batch[name], "dtype", None) is not None and batch[name].dtype.kind in "iuf",
            )
        rows += [
            # Not markup: a name of a file may hold brackets and colons.
            [Text(_cell(value)) for value in row]
            for row in zip(*(batch[name] for name in columns), strict=True)
        ]
    table = Table(box=None, pad_edge=False, show_header=header)
    for name in columns:
        table.add_column(name, justify="right" if numeric.get(name) else "left")
    for row in rows:
        table.add_row(*row)
    # A terminal wraps long lines by itself; rich would cut numbers to make them fit.
    console = Console(width=10_000)
    # Written here and not by rich, which would answer a closed pipe with exit code 1.
    with console.capture() as captured:
        console.print(table)
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def _cell(value: Any) -> str:
    """Six digits are enough for eyes; the other formats keep all of them."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def emit_bytes(pieces: Iterable[bytes]) -> None:
    """Write frames to stdout as they are."""
    _clear_bars()
    stream = sys.stdout.buffer
    for piece in pieces:
        stream.write(piece)
    stream.flush()
