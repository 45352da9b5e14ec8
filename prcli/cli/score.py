"""``prcli score``: rigidities and rankings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from prcli.cli.console import emit_table, session
from prcli.cli.options import (
    common_options,
    compose,
    format_opt,
    input_options,
    overwrite_opt,
    regularizer_opt,
    scale_opt,
    shard_opt,
    weight_options,
)

_limit_options = compose(
    click.option("--below", type=float, metavar="X", help="Only those of rigidity below X."),
    click.option("--above", type=float, metavar="X", help="Only those of rigidity above X."),
    click.option(
        "--below-sigma",
        type=float,
        metavar="X",
        help="Only those of sigma below X, in the unit of its column; needs a calibrated Hessian.",
    ),
    click.option("--above-sigma", type=float, metavar="X", help="The same, above X."),
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
    help="Least rigid first, or as in the files.  [default: rank; with --shard file]",
)
@click.option("--top", type=int, metavar="K", help="Only the K least rigid.")
@_limit_options
@shard_opt
@click.option(
    "--header/--no-header",
    default=None,
    help="Whether tsv and csv begin with the names of the columns.  [default: header, but with "
    "--shard only the first share]",
)
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
    table_format: str | None,
    header: bool | None,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Compute the rigidity of every structure, atom, force or stress of DATA.

    HESSIAN is a file of `prcli hessian`; DATA are feature stores or extxyz files with
    features, or with --featurizer structures alone. Forces and stresses need feature stores with
    gradients, or --featurizer with --gradients. The table goes to
    stdout, least rigid first. If HESSIAN is calibrated (prcli calibrate), it has sigma too, the
    standard deviation of the prediction, with its unit in the name of the column: eV/atom where
    rows of energies are per atom, else eV; eV of atoms; eV/A and eV/A^3. A row of low rigidity
    has a high sigma.

    \b
    Examples:
      prcli score train.hessian pool.h5 --top 20
      prcli score train.hessian pool.h5 --per atom --write scored.xyz > lpr.tsv
      prcli score train.hessian pool.h5 --per force --below 10 > weak.tsv
      prcli score calibrated.hessian pool.h5 --above-sigma 0.02 > uncertain.tsv
      prcli score train.hessian pool.xyz --featurizer soap --top 20
      prcli score train.hessian pool.h5 --shard 3/8 > part-3.tsv

    Tables of all shards, one after the other, are that of the whole in the order of the files,
    without its ranks.
    """
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.score_run import ScoreRequest, ScoreRun
    from prcli.workflows.score_table import Limits

    names = (
        "hessian",
        "data",
        "per",
        "shard",
        "order",
        "top",
        "write",
        "structures",
        "overwrite",
    )
    request = ScoreRequest(
        **{name: choices[name] for name in names},
        limits=Limits(**{field.name: choices[field.name] for field in fields(Limits)}),
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
            if header is None:
                header = request.shard is None or request.shard.number == 1
            emit_table(table_format, columns, batches, header=header)
