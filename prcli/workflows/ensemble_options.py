"""Choices of an ensemble: how many members, of what, and where predictions come from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from prcli.data.formats import open_array
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.records import RowKind
from prcli.workflows.scores import Per

FloatArray = NDArray[np.float64]

#: Kind of row whose calibration factor belongs to each kind of prediction.
KIND_OF: dict[Per, RowKind] = {
    "structure": "energy",
    "atom": "energy",
    "force": "force",
    "stress": "stress",
}


@dataclass(frozen=True)
class PredictedKeys:
    """Where predictions of the model are found.

    Attributes
    ----------
    predicted : str
        Total energies, eV: column of the store or key of the comment line.
    atom_predicted : str
        Energies of atoms, eV: column of the atoms in the structure files.
    force_predicted : str
        Forces, eV/Å: column of the atoms in the structure files.
    stress_predicted : str
        Stresses, eV/Å³: key of the comment line.
    """

    predicted: str = "energy_predicted"
    atom_predicted: str = "energies_predicted"
    force_predicted: str = "forces_predicted"
    stress_predicted: str = "stress_predicted"

    def of(self, per: Per) -> str:
        """Name of the predictions of one kind."""
        return {
            "structure": self.predicted,
            "atom": self.atom_predicted,
            "force": self.force_predicted,
            "stress": self.stress_predicted,
        }[per]


@dataclass(frozen=True, eq=False)
class EnsembleOptions:
    """What an ensemble is made of.

    Attributes
    ----------
    per : {"structure", "atom", "force", "stress"}
        What is predicted: total energies of structures, energies of atoms, components of forces
        or of stresses.
    n_members : int
        M.
    seed : int
    alpha : float, optional
        Calibration factor in place of the Hessian's, in its unit: eV/atom for energies (eV with
        rows of total energies), eV/Å, eV/Å³.
    weights : ndarray of shape (D',), optional
        Last-layer weights of the model, for unscaled features, those of the intercept behind
        them. Predictions are then rows times weights, without anything else that the model adds.
    deviations : bool
        Leave predictions out: members are deviations from them.
    keys : PredictedKeys
        Where predictions are found otherwise.
    """

    per: Per = "structure"
    n_members: int = 32
    seed: int = 0
    alpha: float | None = None
    weights: FloatArray | None = None
    deviations: bool = False
    keys: PredictedKeys = field(default_factory=PredictedKeys)

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range, or two of them exclude each other.
        """
        if self.per not in get_args(Per):
            known = " or ".join(get_args(Per))
            raise RequestError(
                "per is not known", where="--per", expected=known, got=repr(self.per)
            )
        if self.n_members < 1:
            raise RequestError("--n-members must be at least 1", got=str(self.n_members))
        if self.seed < 0:
            raise RequestError("--seed must not be negative", got=str(self.seed))
        if self.alpha is not None and not (math.isfinite(self.alpha) and self.alpha > 0.0):
            raise RequestError("--alpha must be a positive number", got=str(self.alpha))
        if self.deviations and self.weights is not None:
            raise RequestError(
                "deviations have no use for weights",
                where="--deviations and --weights",
                expected="one of them",
            )


def alpha_for(record: HessianRecord, options: EnsembleOptions) -> float:
    """Give the calibration factor of an ensemble.

    Raises
    ------
    RequestError
        If the Hessian has none, and no other was given.
    """
    if options.alpha is not None:
        return options.alpha
    kind = KIND_OF[options.per]
    alpha: float | None = getattr(record, f"alpha_{kind}")
    if alpha is None:
        raise RequestError(
            "the Hessian is not calibrated, so that uncertainties have no size",
            where=f"alpha_{kind}",
            expected=f"a factor in {alpha_unit(record, options.per)}",
            got="none",
            remedy="run prcli calibrate on a validation set, or give --alpha",
        )
    return alpha


def alpha_unit(record: HessianRecord, per: Per) -> str:
    """Name the unit of the calibration factor."""
    energy = "eV/atom" if record.energy == "per-atom" else "eV"
    return {"energy": energy, "force": "eV/Å", "stress": "eV/Å³"}[KIND_OF[per]]


def read_weights_file(path: str, record: HessianRecord) -> FloatArray:
    """Read last-layer weights from an npy, npz or HDF5 file.

    Parameters
    ----------
    path : str
        A file with one array of D' numbers; axes of length 1 are dropped.
    record : HessianRecord

    Returns
    -------
    weights : ndarray of shape (D',)

    Raises
    ------
    FeatureError
        If a number is not finite.
    MismatchError
        If there are not D' numbers.
    """
    with open_array(path) as array:
        values = array.read(0, array.shape[0]).astype(np.float64)
    check_weights(values.ravel() if 1 in values.shape else values, record, path)
    return values.ravel()


def check_weights(weights: FloatArray, record: HessianRecord, where: str) -> None:
    """Refuse weights that do not fit a Hessian.

    Raises
    ------
    FeatureError
    MismatchError
    """
    if weights.shape != (record.n_columns,):
        n_free = record.intercept.n_columns
        behind = f", {n_free} of the intercept behind those of the features" if n_free else ""
        raise MismatchError(
            "the weights do not fit the Hessian",
            where=where,
            expected=f"{record.n_columns} numbers{behind}",
            got=f"an array of shape {weights.shape}",
            remedy="give the weights of the last layer that the features go into",
        )
    if not np.isfinite(weights).all():
        first = int(np.argmin(np.isfinite(weights)))
        raise FeatureError(
            "a weight is not finite", where=f"{where}, weight {first}", got=str(weights[first])
        )
