"""``prcli calibrate``: regularizer and calibration factors from a validation set."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from prcli.cli.console import emit_table, session, summarize
from prcli.cli.loss_options import residual_options
from prcli.cli.options import (
    common_options,
    format_opt,
    input_options,
    overwrite_opt,
    provenance_opt,
    refuse_stdout,
)
from prcli.wording import counted


@click.command()
@click.argument("hessian", metavar="HESSIAN")
@click.argument("valid", nargs=-1, required=True, metavar="VALID...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    callback=refuse_stdout,
    help="Calibrated Hessian file to write.",
)
@residual_options
@click.option(
    "--criterion",
    type=click.Choice(["nll", "ssl", "crps"]),
    default="nll",
    show_default=True,
    help="What the best uncertainties minimize: negative log-likelihood, squared log ratio of "
    "binned errors and uncertainties, or continuous ranked probability score.",
)
@click.option(
    "--joint", is_flag=True, help="One factor for energies, forces and stresses, not one each."
)
@click.option(
    "--keep-regularizer", is_flag=True, help="Fit the factors only, at the file's regularizer."
)
@click.option(
    "--regularizer-min",
    type=float,
    metavar="X",
    help="Lower end of the scan; default 1e-16 of the largest eigenvalue.",
)
@click.option(
    "--regularizer-max",
    type=float,
    metavar="X",
    help="Upper end of the scan; default 100 times the largest eigenvalue.",
)
@click.option(
    "--smallest-row",
    type=float,
    metavar="X",
    help="Leave out rows shorter than X times the root mean square of their kind, such as forces "
    "that symmetry holds near zero, whose errors are noise of the references; default: only "
    "those that are zero up to rounding.",
)
@click.option(
    "--by",
    metavar="NAME",
    help="Column or key: report every group of structures too; changes no number.",
)
@click.option(
    "--allow-overlap", is_flag=True, help="Accept validation structures of the training set."
)
@click.option(
    "--structures",
    multiple=True,
    metavar="FILE",
    help="extxyz file of the structures, in place of the one that the store names: the same "
    "frames, with their atoms in the same order.",
)
@click.option(
    "--plots",
    metavar="DIR",
    help="Write reliability, errors and the scan as PNG and SVG; needs prcli[report].",
)
@input_options
@format_opt
@overwrite_opt
@provenance_opt
@common_options
def calibrate(
    table_format: str | None, quiet: bool, verbose: bool, threads: int | None, **choices: Any
) -> None:
    """Fit the regularizer, and the factor of sigma = alpha/sqrt(PR), to errors on VALID.

    HESSIAN is a file of `prcli hessian`; VALID are feature stores or extxyz files with
    features, or with --featurizer structures alone, with reference and predicted energies, by
    default `energy` and `energy_predicted`, as store columns or keys of the comment line. Forces
    and stresses are calibrated too where VALID has gradients, references and predictions. The
    regularizer is the best for all of them together; each kind counts alike.

    The calibrated Hessian goes to FILE. The table on stdout says how well uncertainties fit
    errors, before and after.

    \b
    Examples:
      prcli calibrate train.hessian valid.h5 -o calibrated.hessian
      prcli calibrate train.hessian valid.h5 -o c.hessian --by config_type --plots plots/
    """
    from prcli.cli.requests import input_choices
    from prcli.workflows.calibrate_options import CalibrateOptions
    from prcli.workflows.calibrate_run import CalibrateRequest, run_calibration
    from prcli.workflows.validation_residuals import ResidualKeys

    keys = ResidualKeys(**{field.name: choices[field.name] for field in fields(ResidualKeys)})
    names = [field.name for field in fields(CalibrateOptions) if field.name != "keys"]
    options = CalibrateOptions(**{name: choices[name] for name in names}, keys=keys)
    names = ["hessian", "valid", "output", "by", "structures", "plots", "overwrite"]
    request = CalibrateRequest(
        **{name: choices[name] for name in [*names, "with_provenance"]},
        options=options,
        inputs=input_choices(choices),
    )
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        calibration, table = run_calibration(request, progress)
        emit_table(table_format, list(table), [table])
        if not quiet:
            rows = sum(len(kind.after.sigma) for kind in calibration.kinds.values())
            summarize(
                f"{request.output}: regularizer {calibration.record.regularizer:.6g} (was "
                f"{calibration.regularizer_before:.6g}), from {counted(rows, 'row')}"
            )
