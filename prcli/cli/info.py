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
        for path in files:
            facts = describe(path)
            names = np.array([name for name, _ in facts], dtype=object)
            values = np.array([value for _, value in facts], dtype=object)
            emit_table(table_format, ("name", "value"), [{"name": names, "value": values}])
