"""``prcli score``: rigidities and rankings."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import emit_table, session, summarize
from prcli.cli.help_groups import GroupedCommand
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
from prcli.cli.ranks import current_communicator
from prcli.cli.trajectory_options import (
    BELOW,
    follow_options,
    relative_options,
    trajectory_options,
)
from prcli.wording import counted

if TYPE_CHECKING:
    from prcli.workflows.score_follow import FollowRun
    from prcli.workflows.score_run import ScoreRun

#: Columns of rigidities, of which a table has one.
_RIGIDITIES = ("pr", "lpr", "cpr", "lcpr")

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


@click.command(cls=GroupedCommand)
@click.argument("hessian", metavar="HESSIAN")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option(
    "--per",
    type=click.Choice(["structure", "atom", "force", "stress", "component", "atom-component"]),
    default="structure",
    show_default=True,
    help="PR of structures, LPR of atoms, PR of every component of forces or stresses, or of what "
    "each named block of features contributes to a structure (CPR) or an atom (LCPR).",
)
@click.option(
    "--order",
    type=click.Choice(["rank", "file"]),
    help="Least rigid first, or as in the files.  [default: rank; with --shard or --relative-to "
    "file]",
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
@trajectory_options
@common_options
def score(
    table_format: str | None,
    header: bool | None,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> int:
    """Compute the rigidity of every structure, atom, force, stress or component of DATA.

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
      prcli score train.hessian pool.h5 --per component --top 20
      prcli score train.hessian md.h5 --relative-to test.h5 --window 200 --threshold 0.5
      prcli score train.hessian md.xyz --per atom --relative-to first --write lpr.xyz \\
        --featurizer soap > lpr.tsv

    Tables of all shards, one after the other, are that of the whole in the order of the files,
    without its ranks.
    """
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.score_follow import FollowRun
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
    following = follow_options(choices, table_format)
    request = ScoreRequest(
        **{name: choices[name] for name in names},
        limits=Limits(**{field.name: choices[field.name] for field in fields(Limits)}),
        relative=relative_options(choices),
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
    )
    communicator = current_communicator()
    with session(quiet=quiet, verbose=verbose, threads=threads, as_ranks=True) as progress:
        if following is not None:
            is_below = _follow(FollowRun(request, following, communicator), table_format, header)
            return BELOW if is_below else 0
        with ScoreRun(request, progress, communicator) as run:
            run.run()
            if communicator.rank == 0:
                # The bars are closed before the table appears.
                batches = run.table()
                progress("score", run.n_rows, run.n_rows)
                if header is None:
                    header = request.shard is None or request.shard.number == 1
                n_shown = emit_table(table_format, run.columns, batches, header=header)
                if not quiet:
                    summarize(_summary(run, n_shown))
            return BELOW if run.is_below else 0


def _summary(run: ScoreRun, n_shown: int) -> str:
    """Say what was scored, how rigid it is, and how much of it the table has."""
    import numpy as np

    rigidity = run.scores.rigidity
    if not len(rigidity):
        return "nothing to score"
    low, middle, high = np.quantile(rigidity, [0.0, 0.5, 1.0], method="nearest").tolist()
    per = run.scores.per
    scored = counted(len(rigidity), per if per in ("structure", "atom") else "row")
    shown = "" if n_shown == len(rigidity) else f", {n_shown} in the table"
    name = next(name for name in run.columns if name in _RIGIDITIES).upper()
    return f"{scored} scored{shown}; {name} {low:.6g} to {high:.6g}, median {middle:.6g}"


def _follow(run: FollowRun, table_format: str | None, header: bool | None) -> bool:
    """Write rows as they come; say whether the run ended at the threshold."""
    batches = iter(run.table())
    # What cannot be read is found out before the names of the columns are written.
    begun = list(islice(batches, 1))
    # Rows that come one by one cannot be aligned.
    emit_table(
        table_format or "tsv",
        run.columns,
        _flushed(chain(begun, batches)),
        header=header is not False,
    )
    return run.is_below


def _flushed(batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Let whoever reads the table see each batch at once."""
    for batch in batches:
        yield batch
        sys.stdout.flush()
