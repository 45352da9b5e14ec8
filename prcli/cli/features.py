"""``prcli features``: feature stores."""

from __future__ import annotations

from typing import Any

import click

from prcli.cli.console import session
from prcli.cli.options import (
    common_options,
    convention_opt,
    feature_key_opt,
    overwrite_opt,
    provenance_opt,
    refuse_stdout,
    skip_invalid_opt,
)


@click.group()
def features() -> None:
    """Make feature stores, the files that the other commands read."""


@features.command("import")
@click.argument("structures", metavar="STRUCTURES")
@click.option(
    "--features",
    "features_file",
    metavar="FILE",
    help="npy, npz, mts or HDF5 file with one row per structure or per atom.",
)
@click.option("--array", metavar="NAME", help="Array in a FILE that holds several.")
@feature_key_opt
@convention_opt
@click.option("--blocks", metavar="NAME:WIDTH,...", help="Components of the model, in order.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled arrays, which can run code.")
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
    @::10; - for stdin) that the features belong to.

    \b
    Examples:
      prcli features import train.xyz --features soap.npy --convention per-atom -o train.h5
      prcli features import out.xyz --feature-key MACE_descriptors -o out.h5
    """
    from prcli.workflows.features_import import import_features
    from prcli.workflows.import_request import ImportRequest

    if (features_file is None) == (choices["feature_key"] is None):
        raise click.UsageError("Give either --features or --feature-key.")
    request = ImportRequest(structures, output, features_file, **choices)
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        summary = import_features(request, progress)
    if not quiet:
        click.echo(
            f"prcli: {summary.path}: {summary.n_structures} structures, {summary.n_atoms} atoms, "
            f"{summary.n_features} features, {summary.dtype}, {summary.convention}",
            err=True,
        )
