"""``prcli ensemble``: predictions of every member of a last-layer ensemble."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from prcli.cli.console import emit_table, session, summarize
from prcli.cli.options import common_options, compose, format_opt, input_options, overwrite_opt
from prcli.wording import counted

_predicted_options = compose(
    click.option(
        "--predicted",
        metavar="KEY",
        default="energy_predicted",
        show_default=True,
        help="Column or key of predicted total energies, eV.",
    ),
    click.option(
        "--atom-predicted",
        metavar="KEY",
        default="energies_predicted",
        show_default=True,
        help="Atom column of predicted energies of atoms, eV.",
    ),
    click.option(
        "--force-predicted",
        metavar="KEY",
        default="forces_predicted",
        show_default=True,
        help="Atom column of predicted forces, eV/Å.",
    ),
    click.option(
        "--stress-predicted",
        metavar="KEY",
        default="stress_predicted",
        show_default=True,
        help="Key of the predicted stress, eV/Å³.",
    ),
    click.option(
        "--weights",
        "weights_file",
        metavar="FILE",
        help="Predict by these last-layer weights instead: npy, npz or HDF5, for unscaled "
        "features, those of the intercept last.",
    ),
    click.option(
        "--deviations",
        is_flag=True,
        help="Leave predictions out: members are deviations from them.",
    ),
)
_derived_options = compose(
    click.option(
        "--expr",
        "expressions",
        multiple=True,
        metavar="EXPRESSION",
        help="Derived quantity, evaluated for every member, such as \"E['slab'] - 2*E['bulk']\".",
    ),
    click.option(
        "--name-key",
        metavar="KEY",
        help="Column or key that names rows in expressions; default name.",
    ),
    click.option(
        "--average",
        "averages",
        multiple=True,
        metavar="OBSERVABLE",
        help="Thermodynamic average over DATA, a trajectory, of a column or key, or of an "
        "expression of them and E.",
    ),
    click.option(
        "--temperature", type=float, metavar="K", help="Temperature of the trajectory, kelvin."
    ),
)


@click.command()
@click.argument("hessian", metavar="HESSIAN")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-n", "--n-members", type=int, default=32, show_default=True, help="Members to draw.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the members.")
@click.option(
    "--per",
    type=click.Choice(["structure", "atom", "force", "stress"]),
    default="structure",
    show_default=True,
    help="Total energies of structures, energies of atoms, or components of forces or stresses.",
)
@click.option(
    "--alpha",
    type=float,
    metavar="X",
    help="Calibration factor in place of the Hessian's: eV/atom (eV with rows of total "
    "energies), eV/Å, eV/Å³.",
)
@_predicted_options
@_derived_options
@click.option(
    "--members/--no-members",
    "with_members",
    default=None,
    help="A column for each member.  [default: members, but not with --expr or --average]",
)
@click.option(
    "--save-weights",
    metavar="FILE",
    help="Also write the weights of the members, spread by the factor of --per: an npy array with "
    "a row for each; needs --weights.",
)
@click.option(
    "--structures",
    multiple=True,
    metavar="FILE",
    help="extxyz file of the structures, in place of the one that the store names: the same "
    "frames, with their atoms in the same order.",
)
@input_options
@format_opt
@overwrite_opt
@common_options
def ensemble(
    table_format: str | None, quiet: bool, verbose: bool, threads: int | None, **choices: Any
) -> None:
    """Draw members of a last-layer ensemble and let each of them predict DATA.

    HESSIAN is a calibrated file of `prcli calibrate`. Members are samples of the last layer
    around the model, so their predictions vary by sigma = alpha/sqrt(PR), and together as the
    training data leave them free to. All energies are total energies in eV.

    The table has the model's prediction, sigma, and the prediction of every member. With --expr
    it has derived quantities instead: E['slab'] are the energies of all structures whose --name-key
    is slab, E[3] is that of structure 3, E are all of them; n_atoms['slab'] or any other column
    likewise. Arithmetic goes row by row; mean, sum, min and max take all rows of their arguments;
    abs, exp, log and sqrt each value. `value` is from the model's predictions, `mean` and `sigma`
    are those of the members.

    With --average, DATA are frames that sample the model's potential at --temperature. Averages
    are reweighted to each member, directly and by the cumulant form, which is stable for large
    systems. `n_effective` is how many frames count for the worst member. `sigma` is the
    uncertainty of the model, without that of sampling.

    \b
    Examples:
      prcli ensemble calibrated.hessian pool.h5 -n 64 > members.tsv
      prcli ensemble calibrated.hessian slabs.h5 --expr "E['slab'] - 4*E['bulk']"
      prcli ensemble calibrated.hessian md.h5 --average volume --temperature 300
    """
    from prcli.cli.requests import input_choices
    from prcli.workflows.ensemble_options import EnsembleOptions, PredictedKeys
    from prcli.workflows.ensemble_run import EnsembleRequest, EnsembleRun

    keys = PredictedKeys(**{field.name: choices[field.name] for field in fields(PredictedKeys)})
    names = ["per", "n_members", "seed", "alpha", "deviations"]
    options = EnsembleOptions(**{name: choices[name] for name in names}, keys=keys)
    names = ["hessian", "data", "weights_file", "expressions", "name_key", "averages"]
    names += ["temperature", "with_members", "save_weights", "structures", "overwrite"]
    request = EnsembleRequest(
        **{name: choices[name] for name in names}, options=options, inputs=input_choices(choices)
    )
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        with EnsembleRun(request, progress) as run:
            n_rows = emit_table(table_format, *run.table())
            if not quiet:
                members = counted(options.n_members, "member")
                summarize(f"{counted(n_rows, 'row')} from {members}")
