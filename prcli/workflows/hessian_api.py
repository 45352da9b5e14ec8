"""Hessians from Python."""

from __future__ import annotations

from prcli.data.hessian_record import HessianRecord
from prcli.records import EnergyKind, InterceptKind, Progress, Reduction, no_progress
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions, load_hessian, open_input, split_hessians
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.prior import PriorChoice


def hessian(
    train: DataSet,
    *,
    energy: EnergyKind | None = None,
    intercept: InterceptKind | None = None,
    scale: str | float | None = None,
    regularizer: float | str | None = None,
    allow_duplicates: bool = False,
    energy_weight: float | None = None,
    force_weight: float | None = None,
    stress_weight: float | None = None,
    reduction: Reduction | None = None,
    prior: PriorChoice | None = None,
    loss: LossOptions | None = None,
    inputs: InputOptions | None = None,
    progress: Progress = no_progress,
) -> HessianRecord:
    """Build the Hessian of the loss over a training set.

    Parameters
    ----------
    train : path, Features, ndarray of shape (S, D), or several
        Stores, structure files with features, mean features in memory, and Hessian files,
        in any mix.
    energy : {"per-atom", "total"}, optional
        Rows of energies; per-atom by default.
    intercept : {"none", "atom", "species"}, optional
        Constant columns beside the features; none by default.
    scale : {"atom-rms", "structure-rms", "none"} or float, optional
        What all features are divided by; atom-rms where there are features of atoms, else
        structure-rms.
    regularizer : float or "auto", optional
        ς², the number added to the diagonal of the Hessian of the scaled features; 1e-5 by
        default.
    allow_duplicates : bool
        Accept a structure that is counted twice.
    energy_weight, force_weight, stress_weight : float, optional
        Weights of the kinds of row in the loss; 1 for energies, and for forces and stresses
        where there are any, by default.
    reduction : {"sum", "mean"}, optional
        Whether a kind of row enters by its sum, the default, or by its mean.
    prior : "identity", path or ndarray of shape (n,) or (n, n), optional
        Of the scaled features, n of them or with the intercept; identity by default.
    loss : LossOptions, optional
        Squared errors by default.
    inputs : InputOptions, optional
        How structure files are read, or their features computed.
    progress : callable, optional

    Returns
    -------
    record : HessianRecord

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    options = HessianOptions(
        energy,
        intercept,
        scale,
        regularizer,
        allow_duplicates,
        energy_weight,
        force_weight,
        stress_weight,
        reduction,
        prior,
        loss,
    )
    data, files = split_hessians(as_tuple(train))
    records = [load_hessian(path) for path in files]
    if not data:
        return sum_hessian([], records, options, progress)
    with open_input(data, "train", inputs, records=records, progress=progress) as opened:
        return sum_hessian([opened], records, options, progress)
