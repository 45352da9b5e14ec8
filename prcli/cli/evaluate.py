"""``prcli evaluate``: refits on the training set and what was selected."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from prcli.cli.console import emit_table, session, summarize
from prcli.cli.loss_options import loss_options
from prcli.cli.options import (
    common_options,
    format_opt,
    input_options,
    number_options,
    overwrite_opt,
)
from prcli.wording import counted


@click.command()
@click.option(
    "--train", multiple=True, required=True, metavar="DATA", help="Training set to start from."
)
@click.option(
    "--target", multiple=True, required=True, metavar="DATA", help="Structures you care about."
)
@click.option("--pool", multiple=True, required=True, metavar="DATA", help="Candidates.")
@click.option(
    "--selection",
    "selections",
    multiple=True,
    metavar="[NAME=]DIR",
    help="Result directory of `prcli select` on this pool; those of one name are averaged.",
)
@click.option(
    "--strategy",
    metavar="LIST",
    help="Strategies to run here, such as pr,random; by default all four (fps and leverage "
    "too) where there is no --selection.",
)
@click.option("-n", "--n-to-select", type=int, help="Structures that strategies pick.")
@click.option(
    "--random-where",
    multiple=True,
    metavar="EXPRESSION",
    help="Also run random among the candidates that pass this filter.",
)
@click.option(
    "--seeds",
    "n_seeds",
    type=int,
    default=10,
    show_default=True,
    help="Draws of random strategies, averaged.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the first draw.")
@click.option(
    "--counts",
    metavar="LIST",
    help="Numbers of structures to add; default 0,1,2,5,10,20... and all of each selection.",
)
@click.option(
    "--baseline",
    type=click.Choice(["composition", "mean", "none"]),
    help="What energies are measured from, fitted to --train alone: an energy for each element "
    "(default for several), or one for every atom (default for one).",
)
@click.option(
    "--objective",
    type=click.Choice(["mean-pr", "mean-log-pr", "min-pr", "mean-variance", "log-det"]),
    default="mean-pr",
    show_default=True,
    help="What the strategy pr maximizes.",
)
@click.option(
    "--target-per",
    type=click.Choice(["structure", "atom"]),
    default="structure",
    show_default=True,
    help="Whose rigidities are averaged.",
)
@click.option("--exclude-train", is_flag=True, help="Leave out what is in the training set.")
@click.option("--where", metavar="EXPRESSION", help="Filter on the pool, for all strategies.")
@click.option(
    "--structures",
    multiple=True,
    metavar="FILE",
    help="extxyz file of the pool, in place of the one that its store names.",
)
@click.option(
    "--plots",
    metavar="DIR",
    help="Write the learning curves as PNG and SVG; needs prcli[report].",
)
@click.option("--memory", metavar="SIZE", help="Memory that may be held, such as 8G.")
@number_options
@loss_options
@input_options
@format_opt
@overwrite_opt
@common_options
def evaluate(
    table_format: str | None, quiet: bool, verbose: bool, threads: int | None, **choices: Any
) -> None:
    """Refit models as selected structures are added, and measure their errors on --target.

    Every fit is least squares with the rows, weights, scale and prior of the Hessian, on
    --train and the first structures of a selection; no model is trained. All three sets need
    reference energies (--reference, default energy), and forces where the loss counts them.

    The table on stdout has the errors over the number of structures added, in eV/atom and
    eV/Å, the mean PR of the targets, and whether each selection beats random ones.

    \b
    Examples:
      prcli evaluate --train train.h5 --target target.h5 --pool pool.h5 -n 20 --plots plots/
      prcli evaluate --train train.h5 --target target.h5 --pool pool.h5 \\
        --selection out_pr --selection random=out_0 --selection random=out_1
    """
    from prcli.workflows.evaluate_run import run_evaluation
    from prcli.workflows.evaluate_table import evaluation_table, lowest_error

    request = evaluate_request(choices)
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        evaluation = run_evaluation(request, progress)
        table = evaluation_table(evaluation)
        emit_table(table_format, list(table), [table])
        if not quiet:
            summarize(f"{counted(len(evaluation.curves), 'curve')}: {lowest_error(evaluation)}")


def evaluate_request(choices: dict[str, Any]) -> Any:
    """Build the request from the values of the options."""
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.parallel.memory import parse_size
    from prcli.workflows.evaluate_options import STRATEGIES, EvaluateOptions
    from prcli.workflows.evaluate_request import EvaluateRequest

    strategies = _names(choices["strategy"])
    if strategies is None:
        strategies = () if choices["selections"] else STRATEGIES
    how = [field.name for field in fields(EvaluateOptions)]
    given = {name: choices[name] for name in how if name in choices}
    what = ("train", "target", "pool", "selections", "where", "structures", "plots", "overwrite")
    return EvaluateRequest(
        options=EvaluateOptions(
            **given | {"strategies": strategies, "counts": _counts(choices["counts"])}
        ),
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
        memory=None if choices["memory"] is None else parse_size(choices["memory"]),
        **{name: choices[name] for name in what},
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    """Take a list with commas apart."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _counts(text: str | None) -> tuple[int, ...] | None:
    names = _names(text)
    try:
        return None if names is None else tuple(int(name) for name in names)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no list of whole numbers such as 0,1,2,5.", param_hint="--counts"
        ) from None
