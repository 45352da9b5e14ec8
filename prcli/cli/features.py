"""``prcli features``: feature stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import session, summarize
from prcli.cli.features_compute import compute
from prcli.cli.options import (
    column_opt,
    common_options,
    compose,
    convention_opt,
    feature_key_opt,
    overwrite_opt,
    provenance_opt,
    refuse_stdout,
    skip_invalid_opt,
    split_species,
)
from prcli.wording import counted
from prcli.workflows.import_profiles import PROFILES

if TYPE_CHECKING:
    from prcli.workflows.import_request import ImportSummary


GRADIENT_OPTIONS = (
    click.option(
        "--gradients",
        is_flag=True,
        help="Read gradients with respect to positions and strain from the mts file of --features.",
    ),
    click.option(
        "--position-gradients",
        metavar="FILE",
        help="Derivatives of the summed features by positions, (3N, D) or (N, 3, D); their "
        "negatives are the rows of forces.",
    ),
    click.option(
        "--strain-gradients",
        metavar="FILE",
        help="Derivatives of the summed features by nine strains, (S, 3, 3, D), (S, 9, D) or "
        "(9S, D); made symmetric and divided by the volume, they are the rows of stresses.",
    ),
    click.option(
        "--force-rows",
        metavar="FILE",
        help="Rows of forces, (3N, D) or (N, 3, D), with the minus sign inside.",
    ),
    click.option(
        "--stress-rows",
        metavar="FILE",
        help="Rows of stresses, (6S, D) or (S, 6, D), divided by the volume: xx yy zz yz xz xy.",
    ),
    click.option(
        "--reduce-gradients",
        is_flag=True,
        help="Reduce more than D rows of a structure and kind to D with the same Hessian; "
        "forces on single atoms are lost.",
    ),
)


COLUMN_OPTIONS = (
    click.option(
        "--per-species",
        is_flag=True,
        help="Give each element columns of its own, zero for atoms of others.",
    ),
    click.option(
        "--species",
        metavar="C,H,...",
        callback=split_species,
        help="Elements that get columns; default those that occur. Sets that go together need "
        "the same.",
    ),
    click.option(
        "--blocks",
        metavar="NAME:WIDTH,...",
        help="Components of the model, in order; sets whose blocks differ do not go together.",
    ),
    click.option(
        "--feature-kind",
        type=click.Choice(["last-layer", "descriptor"]),
        help="What features of a network are, if --from does not tell.",
    ),
    column_opt,
)


@click.group()
def features() -> None:
    """Make feature stores, the files that the other commands read.

    \b
    Examples:
      prcli features compute soap train.xyz -o train.h5
      prcli features import train.xyz --features soap.npy --convention per-atom -o train.h5
    """


features.add_command(compute)


@features.command("import")
@click.argument("structures", metavar="STRUCTURES")
@click.option(
    "--features",
    "features_file",
    metavar="FILE",
    help="npy, npz, mts or HDF5 file with one row per structure or per atom; table with a column "
    "of arrays (pickle, parquet, csv); or what the program of --from writes.",
)
@click.option(
    "--from",
    "program",
    type=click.Choice(list(PROFILES)),
    help="Program that wrote the features: declares their convention, so that none is needed.",
)
@click.option("--array", metavar="NAME", help="Array or column in a FILE that holds several.")
@click.option(
    "--system",
    "systems",
    multiple=True,
    metavar="NAME",
    help="Of DeePMD-kit: a system; repeated, in the order of STRUCTURES. Default all, by name.",
)
@compose(*GRADIENT_OPTIONS)
@feature_key_opt
@convention_opt
@compose(*COLUMN_OPTIONS)
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Read pickles; only arrays, numbers and text are restored from them.",
)
@skip_invalid_opt
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="STORE",
    callback=refuse_stdout,
    help="Feature store to write.",
)
@overwrite_opt
@provenance_opt
@common_options
def import_command(
    structures: str,
    features_file: str | None,
    output: str,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Turn features that another program wrote into a feature store.

    STRUCTURES is the extxyz file (plain, gzip, bzip2 or xz; with an optional slice such as
    @::10; - for stdin, with a slice -- -@::10) that the features belong to.

    \b
    Examples:
      prcli features import train.xyz --features soap.npy --convention per-atom -o train.h5
      prcli features import out.xyz --from mace --column energy=REF_energy -o out.h5
      prcli features import s.xyz --features soap.mts --convention per-atom --gradients -o s.h5
    """
    from prcli.workflows.features_import import import_features
    from prcli.workflows.import_request import ImportRequest

    given = (features_file is not None) + (choices["feature_key"] is not None)
    if given != 1 and choices["program"] in (None, "array"):
        raise click.UsageError("Give either --features or --feature-key, or --from.")
    request = ImportRequest(structures, output, features_file, **choices)
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        summary = import_features(request, progress)
        if not quiet:
            summarize(f"{summary.path}: {_describe(summary)}")


def _describe(summary: ImportSummary) -> str:
    """Say on one line what was imported."""
    parts = [
        counted(summary.n_structures, "structure"),
        counted(summary.n_atoms, "atom"),
        counted(summary.n_features, "feature"),
        summary.dtype,
        summary.convention,
    ]
    for kind, n_rows in (("force", summary.n_force_rows), ("stress", summary.n_stress_rows)):
        if n_rows:
            parts.append(counted(n_rows, f"{kind} row"))
    return ", ".join(parts)
