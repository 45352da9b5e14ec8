"""``prcli hessian``: sum training sets and Hessian files."""

from __future__ import annotations

from typing import Any

import click

from prcli.cli.console import session, summarize
from prcli.cli.loss_options import loss_options
from prcli.cli.options import (
    common_options,
    input_options,
    number_options,
    overwrite_opt,
    provenance_opt,
    refuse_stdout,
    shard_opt,
)
from prcli.cli.ranks import current_communicator
from prcli.cli.regularizer_report import ReportOfHessian, report_options
from prcli.wording import counted


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    callback=refuse_stdout,
    help="Hessian file to write.",
)
@shard_opt
@number_options
@loss_options
@input_options
@report_options
@overwrite_opt
@provenance_opt
@common_options
def hessian(
    inputs: tuple[str, ...],
    output: str,
    overwrite: bool,
    with_provenance: bool,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Sum feature stores, extxyz files with features and Hessian files into one Hessian.

    With --featurizer the extxyz files need no features: they are computed on the way.

    What Hessian files store is kept; an option given overrides it. The same command merges
    shards. Weights, prior, scale and regularizer of a finished Hessian change without the data;
    what its rows carry inside (loss, weights of structures) does not.

    \b
    Examples:
      prcli hessian train.h5 -o train.hessian
      prcli hessian train.h5 --shard 3/8 -o part-3.hessian
      prcli hessian part-*.hessian -o all.hessian
      prcli hessian train.hessian -o heavier.hessian --force-weight 10
      prcli hessian train.h5 -o train.hessian --report --target target.h5
      prcli hessian train.xyz -o train.hessian --featurizer soap --gradients force
    """
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.hessian_run import HessianRequest, build_hessian

    if choices["shard"] is not None and choices["report"]:
        raise click.UsageError("--report is of a whole training set: give it when merging.")
    choices |= {"overwrite": overwrite, "with_provenance": with_provenance}
    request = HessianRequest(
        inputs,
        output,
        hessian_options(choices),
        input_choices(choices),
        also=choices["target"],
        shard=choices["shard"],
        overwrite=overwrite,
        with_provenance=with_provenance,
    )
    report = ReportOfHessian(choices, overwrite)
    communicator = current_communicator()
    with session(quiet=quiet, verbose=verbose, threads=threads, as_ranks=True) as progress:
        record = build_hessian(request, progress, communicator)
        if communicator.rank == 0:
            report.emit(record, progress)
        if not quiet:
            summarize(
                f"{output}: {counted(record.n_structures, 'structure')}, "
                f"{counted(record.n_features, 'feature')}, "
                f"scale {record.scale_rule} = {record.scale:.6g}, "
                f"regularizer {record.regularizer:.6g}"
            )
