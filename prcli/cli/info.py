"""``prcli info``: what a file is."""

from __future__ import annotations

import click

from prcli.cli.console import emit_table, session
from prcli.cli.options import common_options, format_opt


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@format_opt
@common_options
def info(
    files: tuple[str, ...],
    table_format: str | None,
    quiet: bool,
    verbose: bool,
    threads: int | None,
) -> None:
    """Say what files are: kind, shapes, types, scale, blocks, provenance.

    \b
    Example:
      prcli info pool.h5 train.hessian
    """
    import numpy as np

    from prcli.workflows.info import describe

    with session(quiet=quiet, verbose=verbose, threads=threads):
        facts = [(path, name, value) for path in files for name, value in describe(path)]
    columns = ("file", "name", "value")
    cells = np.array(facts, dtype=object).T
    emit_table(table_format, columns, [dict(zip(columns, cells, strict=True))])
