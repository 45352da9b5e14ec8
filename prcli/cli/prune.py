"""``prcli prune``: which training structures can go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import emit_table, say, session, summarize
from prcli.cli.loss_options import loss_options
from prcli.cli.options import (
    common_options,
    format_opt,
    input_options,
    number_options,
    overwrite_opt,
    provenance_opt,
    target_options,
)
from prcli.wording import counted

if TYPE_CHECKING:
    from prcli.workflows.prune_run import PruneRun


class Share(click.ParamType[float]):
    """A share of a whole: 0.01 or 1%."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number, with or without a percent sign."""
        text = str(value).strip()
        try:
            return float(text[:-1]) / 100.0 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{value!r} is neither a share such as 0.01 nor a percentage such as 1%.")


@click.command()
@click.argument("train", nargs=-1, required=True, metavar="TRAIN...")
@click.option(
    "--target", multiple=True, required=True, metavar="DATA", help="Structures you care about."
)
@click.option(
    "--max-loss",
    type=Share(),
    metavar="X%",
    help="Stop before the mean rigidity of the targets has fallen by more than this, without "
    "counting what duplicates took.",
)
@click.option("-n", "--keep", "n_to_keep", type=int, metavar="N", help="Structures to keep.")
@click.option(
    "--duplicates",
    type=float,
    metavar="DISTANCE",
    help="First remove every structure within this distance of an earlier one that stays: 0 for "
    "exact copies, else a distance of mean features divided by the scale.",
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Result directory. Without it the table of removals goes to stdout.",
)
@click.option(
    "--objective",
    type=click.Choice(["mean-pr", "mean-log-pr", "mean-variance"]),
    default="mean-pr",
    show_default=True,
    help="The mean rigidity that is kept high: arithmetic, geometric or harmonic.",
)
@target_options
@click.option(
    "--structures",
    multiple=True,
    metavar="FILE",
    help="extxyz file of the training set, in place of the one that its store names.",
)
@number_options
@loss_options
@input_options
@format_opt
@overwrite_opt
@provenance_opt
@common_options
def prune(
    train: tuple[str, ...],
    output: str | None,
    table_format: str | None,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Find the training structures that the targets would miss least.

    TRAIN is what `prcli hessian` takes; the structures of Hessian files stay. Structures go one
    by one, with all their rows, each time the one whose removal lowers the mean rigidity of the
    targets least; of equal ones the last goes. Regularizer, scale and weights stay those of the
    whole set. Every number that is told is that of a factorization of what is left.

    The result directory has the frames in kept.xyz and removed.xyz, as they were.

    \b
    Examples:
      prcli prune train.h5 --target target.h5 --max-loss 1% -o out/
      prcli prune train.h5 --target target.h5 --keep 500 | head
      prcli prune train.xyz --target target.xyz --featurizer soap --duplicates 0 -o out/
    """
    from prcli.workflows.prune_output import PRUNED_COLUMNS, pruned_table
    from prcli.workflows.prune_run import PruneRun

    if choices["n_to_keep"] is choices["max_loss"] is choices["duplicates"] is None:
        raise click.UsageError("Say how much may go: --max-loss, -n/--keep or --duplicates.")
    if output == "-":
        raise click.UsageError("-o names a directory; the table goes to stdout without it.")
    if output is not None and table_format is not None:
        raise click.UsageError("--format is for the table on stdout, which is not asked for here.")
    request = prune_request(train, output, choices)
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        with PruneRun(request, progress) as run:
            run.run()
            if output is not None:
                run.write(output)
            else:
                emit_table(table_format, PRUNED_COLUMNS, [pruned_table(run.pruning, run.train)])
            if not quiet:
                _summarize(run, output)


def prune_request(train: tuple[str, ...], output: str | None, choices: dict[str, Any]) -> Any:
    """Build the request from the values of the options."""
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.prune_options import PruneOptions, PruneRequest

    how = ("n_to_keep", "max_loss", "duplicates", "objective", "target_per")
    what = ("target", "target_weight", "structures", "overwrite", "with_provenance")
    return PruneRequest(
        options=PruneOptions(**{name: choices[name] for name in how}),
        train=train,
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
        output=output,
        **{name: choices[name] for name in what},
    )


#: What a pruning ended with, by what stopped it.
_ENDING = {
    "n_to_keep": "no more may go",
    "max_loss": "one more would lose too much",
    "duplicates": "only duplicates were to go",
    "needed": "the Hessian needs the others",
}


def _summarize(run: PruneRun, output: str | None) -> None:
    """Say on stderr what can go."""
    pruning, train = run.pruning, run.train
    n_removed, means = len(pruning.indices), pruning.states.mean
    n_atoms = int(train.n_atoms[pruning.indices].sum())
    place = "" if output is None else f"{output}: "
    if pruning.n_duplicates:
        share = 100.0 * (1.0 - means[pruning.n_duplicates] / means[0])
        say(
            f"{counted(pruning.n_duplicates, 'duplicate')} went first, which took {share:.3g} % "
            f"of {means[0]:.6g} and is not counted as loss"
        )
    summarize(
        f"{place}{n_removed} of {train.n_structures} structures can go, with {n_atoms} of "
        f"{train.n_atoms_total} atoms; {pruning.options.objective}: mean PR "
        f"{means[pruning.n_duplicates]:.6g} -> {means[-1]:.6g}, a loss of "
        f"{100.0 * pruning.loss:.3g} %; {_ENDING[pruning.stopped]}; "
        f"largest drift {pruning.drift:.1e}"
    )
