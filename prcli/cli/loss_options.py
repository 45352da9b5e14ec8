"""Options that say what loss a model was trained with: weights, widths, and where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from prcli.cli.options import compose

_loss_opt = click.option(
    "--loss",
    type=click.Choice(["squared", "huber", "log-cosh", "mace-universal"]),
    help="Loss of the training; default squared. The others need widths, references and "
    "predictions.",
)
_stress_components_opt = click.option(
    "--stress-components",
    type=click.Choice(["6", "9"]),
    help="Components of the stress that the loss sums over: 6 (default), or all 9, which "
    "counts each shear twice.",
)


def _delta_opt(kind: str, text: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{kind}-delta", type=float, metavar="X", help=f"Width of a robust loss: {text}."
    )


def _key_opt(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", metavar="KEY", help=text)


#: Where references and predictions are found.
residual_options: Callable[[Any], Any] = compose(
    _key_opt("reference", "Column or key of total energies, eV; default energy."),
    _key_opt("predicted", "Column or key of predicted ones, eV; default energy_predicted."),
    _key_opt("force-reference", "Atom column of forces, eV/Å; default forces."),
    _key_opt("force-predicted", "Atom column of predicted ones; default forces_predicted."),
    _key_opt("stress-reference", "Key of the stress, eV/Å³; default stress."),
    _key_opt("stress-predicted", "Key of the predicted one; default stress_predicted."),
)

#: What is inside the rows of a Hessian: for commands that read training sets.
loss_options: Callable[[Any], Any] = compose(
    _loss_opt,
    _delta_opt("energy", "energies, eV/atom (eV with --energy total)"),
    _delta_opt("force", "forces, eV/Å"),
    _delta_opt("stress", "stresses, eV/Å³"),
    _stress_components_opt,
    _key_opt("weight-key", "Column, or key of the comment line, with a weight per structure."),
    _key_opt("energy-weight-key", "The same for energies, times the former."),
    _key_opt("force-weight-key", "The same for forces, times the former."),
    _key_opt("stress-weight-key", "The same for stresses, times the former."),
    residual_options,
)
