"""``prcli score``: rigidities and rankings."""

from __future__ import annotations

from typing import Any

import click

from prcli.cli.console import emit_table, session
from prcli.cli.options import (
    common_options,
    format_opt,
    input_options,
    overwrite_opt,
    regularizer_opt,
    scale_opt,
    weight_options,
)


@click.command()
@click.argument("hessian", metavar="HESSIAN")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option(
    "--per",
    type=click.Choice(["structure", "atom", "force", "stress"]),
    default="structure",
    show_default=True,
    help="PR of structures, LPR of atoms, or PR of every component of forces or stresses.",
)
@click.option(
    "--order",
    type=click.Choice(["rank", "file"]),
    default="rank",
    show_default=True,
    help="Least rigid first, or as in the files.",
)
@click.option("--top", type=int, metavar="K", help="Only the K least rigid.")
@click.option("--below", type=float, metavar="X", help="Only those of rigidity below X.")
@click.option(
    "--write",
    metavar="FILE",
    help="Also copy the frames to FILE with their rigidities added, otherwise byte for byte.",
)
@click.option(
    "--structures",
    multiple=True,
    metavar="FILE",
    help="extxyz file of the structures, in place of the one that the store names.",
)
@scale_opt
@regularizer_opt
@weight_options
@input_options
@format_opt
@overwrite_opt
@common_options
def score(
    table_format: str | None, quiet: bool, verbose: bool, threads: int | None, **choices: Any
) -> None:
    """Compute the rigidity of every structure, atom, force or stress of DATA.

    HESSIAN is a file of `prcli hessian`; DATA are feature stores or extxyz files with
    features. Forces and stresses need feature stores with gradients. The table goes to
    stdout, least rigid first.

    \b
    Examples:
      prcli score train.hessian pool.h5 --top 20
      prcli score train.hessian pool.h5 --per atom --write scored.xyz > lpr.tsv
      prcli score train.hessian pool.h5 --per force --below 10 > weak.tsv
    """
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.score_run import ScoreRequest, ScoreRun

    names = ("hessian", "data", "per", "order", "top", "below", "write", "structures", "overwrite")
    request = ScoreRequest(
        **{name: choices[name] for name in names},
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
    )
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        with ScoreRun(request, progress) as run:
            run.run()
            columns = run.columns
            # The bars are closed before the table appears.
            batches = run.table()
            progress("score", run.n_rows, run.n_rows)
            emit_table(table_format, columns, batches)
