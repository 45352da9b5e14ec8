"""What a person sees: tables on stdout; progress, messages and errors on stderr."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import click

from prcli.cli.aligned_table import table_lines, terminal_columns
from prcli.cli.bars import clear_bars, drawn_progress, say_above
from prcli.cli.ranks import current_communicator, refuse_ranks
from prcli.records import Communicator, Progress
from prcli.wording import duration

#: When the command that is running began, by a clock that goes on; at most one.
_begun: list[float] = []


def say(message: str) -> None:
    """Write a message to stderr, above the bars where there are any."""
    if not say_above(f"prcli: {message}"):
        click.echo(f"prcli: {message}", err=True)


def summarize(message: str) -> None:
    """Close a command with a line on stderr: what came of it, and how long it took."""
    clear_bars()
    say(f"{message}; {duration(monotonic() - _begun[-1])}" if _begun else message)


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
    _begun[:] = [monotonic()]
    try:
        with limit_threads(threads, processors), drawn_progress(quiet) as progress:
            yield progress if communicator.size == 1 else _heeding(communicator, progress)
    finally:
        logger.removeHandler(handler)
        _begun.clear()


def _heeding(communicator: Communicator, progress: Progress) -> Progress:
    """Look at every report whether another rank has failed."""

    def report(task: str, done: int, total: int | None) -> None:
        progress(task, done, total)
        communicator.check()

    return report


def emit_table(
    table_format: str | None,
    columns: Sequence[str],
    batches: Iterable[Mapping[str, Any]],
    *,
    header: bool = True,
) -> int:
    """Write a table to stdout.

    Parameters
    ----------
    table_format : {"table", "tsv", "csv", "jsonl"}, optional
        By default a table on a terminal and tsv elsewhere.
    columns : sequence of str
    batches : iterable of mapping of str to array
    header : bool
        Whether the names of the columns come first.

    Returns
    -------
    n_rows : int
    """
    _make_room()
    # Launchers pass on what ranks write, some through what looks like a terminal.
    on_terminal = sys.stdout.isatty() and current_communicator().size == 1
    table_format = table_format or ("table" if on_terminal else "tsv")
    n_rows = 0

    def counted_batches() -> Iterator[Mapping[str, Any]]:
        nonlocal n_rows
        for batch in batches:
            n_rows += len(batch[columns[0]])
            yield batch

    if table_format == "table":
        _print_table(columns, counted_batches(), header)
    else:
        from prcli.data.tables import write_table

        rows = counted_batches()
        write_table(sys.stdout, table_format, columns, rows, header=header)  # type: ignore[arg-type]
    sys.stdout.flush()
    return n_rows


def _print_table(
    columns: Sequence[str], batches: Iterable[Mapping[str, Any]], header: bool
) -> None:
    from rich.console import Console
    from rich.text import Text

    # In a pipe nothing is shortened.
    width = terminal_columns() if sys.stdout.isatty() else None
    console = Console(width=10_000)
    for line, is_header in table_lines(columns, batches, header=header, width=width):
        text = line
        if is_header:
            # Written here and not by rich, which would answer a closed pipe with exit code 1.
            with console.capture() as captured:
                console.print(Text(line, style="bold"), end="")
            text = captured.get()
        sys.stdout.write(f"{text}\n")


def _make_room() -> None:
    """Take the bars away, unless data go where nobody sees them beside."""
    try:
        if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
            return
    except (OSError, ValueError):
        pass
    clear_bars()


def emit_bytes(pieces: Iterable[bytes]) -> None:
    """Write frames to stdout as they are."""
    _make_room()
    stream = sys.stdout.buffer
    for piece in pieces:
        stream.write(piece)
    stream.flush()
