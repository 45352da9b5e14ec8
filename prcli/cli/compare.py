"""``prcli compare``: what several models know of the same structures."""

from __future__ import annotations

from typing import Any

import click

from prcli.cli.console import emit_table, session, summarize
from prcli.cli.options import (
    common_options,
    format_opt,
    input_options,
    overwrite_opt,
    regularizer_opt,
    scale_opt,
    weight_options,
)
from prcli.wording import counted


@click.command()
@click.option(
    "--model",
    "models",
    nargs=2,
    multiple=True,
    required=True,
    metavar="[NAME=]HESSIAN DATA",
    help="A model: the Hessian of its training set, and the structures as it sees them. Given "
    "for each model; named after the Hessian file by default.",
)
@click.option(
    "--reference",
    metavar="NAME",
    help="The model that the others are compared with.  [default: the last]",
)
@click.option(
    "--per",
    type=click.Choice(["structure", "atom"]),
    default="atom",
    show_default=True,
    help="Whose rigidities are compared.",
)
@click.option(
    "--curves",
    metavar="FILE",
    help="Also write all rigidities, normalized and in the order of the reference, as tsv.",
)
@click.option(
    "--plots", metavar="DIR", help="Draw these curves as PNG and SVG; needs prcli[report]."
)
@scale_opt
@regularizer_opt
@weight_options
@input_options
@format_opt
@overwrite_opt
@common_options
def compare(
    models: tuple[tuple[str, str], ...],
    table_format: str | None,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Compare the rigidities of one set of structures under several models.

    Models are checkpoints of a training, models of training sets of different size, or different
    architectures; each has its own features of the same structures. To leave the scale of the
    rigidities out, those of each model are divided by that of one environment: the most rigid
    one of the reference. The table on stdout has, for each model, the mean of |x - x_ref|/x_ref
    over the environments: 0 where it has learned the same as the reference.

    \b
    Examples:
      prcli compare --model e10.hessian test_e10.h5 --model e100.hessian test_e100.h5
      prcli compare --model small=s.hessian test_s.h5 --model large=l.hessian test_l.h5 \\
        --reference large --curves curves.tsv --plots plots/
    """
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.compare import compare as run
    from prcli.workflows.compare_request import CompareRequest, parse_model
    from prcli.workflows.compare_table import comparison_table

    what = ("reference", "per", "curves", "plots", "overwrite")
    request = CompareRequest(
        tuple(parse_model(*pair) for pair in models),
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
        **{name: choices[name] for name in what},
    )
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        comparison = run(request, progress)
        table = comparison_table(comparison)
        emit_table(table_format, list(table), [table])
        if not quiet:
            reference = comparison.names[comparison.reference]
            summarize(
                f"{counted(len(models), 'model')} over "
                f"{counted(len(comparison.dynamics.order), comparison.per)}, "
                f"compared with {reference}"
            )
