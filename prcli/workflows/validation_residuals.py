"""Residuals of a validation set: which kinds of row have them, and what they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.column_layout import column_layout
from prcli.data.comment_line import comment, comment_values
from prcli.data.dataset import Dataset
from prcli.data.gradients import GRADIENT_KINDS
from prcli.errors import ExpressionError, FeatureError, InputFileError, PrcliError, RequestError
from prcli.records import EnergyKind, RowKind
from prcli.workflows.frames import Frames
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.residuals import energy_residuals, read_forces, read_stresses
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import read_numbers

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: What a kind of row is called in sentences.
PLURALS: dict[RowKind, str] = {"energy": "energies", "force": "forces", "stress": "stresses"}


@dataclass(frozen=True)
class ResidualKeys:
    """Where references and predictions are found; None is the usual name.

    Attributes
    ----------
    reference, predicted : str, optional
        Total energies, eV: columns of the store or keys of the comment line.
    force_reference, force_predicted : str, optional
        Columns of the atoms in the structure files, eV/Å.
    stress_reference, stress_predicted : str, optional
        Keys of the comment line, eV/Å³.
    """

    reference: str | None = None
    predicted: str | None = None
    force_reference: str | None = None
    force_predicted: str | None = None
    stress_reference: str | None = None
    stress_predicted: str | None = None

    def __post_init__(self) -> None:
        """Check the names.

        Raises
        ------
        RequestError
            If one is empty, or a reference is its own prediction.
        """
        self.names("energy")

    def names(self, kind: RowKind) -> tuple[str, str]:
        """Names of the reference and of the prediction of one kind of row."""
        given = {name: key for name, key in vars(self).items() if key is not None}
        return LossOptions(**given).residual_keys(kind)

    def is_given(self, kind: RowKind) -> bool:
        """Whether a name of that kind was given, so that it must be there."""
        prefix = "" if kind == "energy" else f"{kind}_"
        keys = (getattr(self, f"{prefix}reference"), getattr(self, f"{prefix}predicted"))
        return keys != (None, None)


def read_residuals(
    data: Dataset,
    energy: EnergyKind,
    keys: ResidualKeys,
    open_frames: Callable[[], Frames],
) -> dict[RowKind, FloatArray]:
    """Read predictions minus references of every kind of row that has both.

    Parameters
    ----------
    data : Dataset
    energy : {"per-atom", "total"}
        Whether residuals of energies are divided by the numbers of atoms.
    keys : ResidualKeys
    open_frames : callable
        Opens the structure files of the set, where keys or columns of atoms are in them.

    Returns
    -------
    residuals : dict of kind to ndarray of shape (M,)
        Of all rows of the kind, in the order of the set; nan where one is not known.

    Raises
    ------
    PrcliError
        If a name that was given is found nowhere, or no kind of row has residuals.
    """
    found: dict[RowKind, FloatArray] = {}
    reasons: dict[RowKind, PrcliError] = {}
    try:
        found["energy"] = _energies(data, energy, keys.names("energy"), open_frames)
    except ExpressionError as error:
        reasons["energy"] = error
    try:
        found |= _gradients(data, keys, reasons, open_frames)
    except (RequestError, InputFileError) as error:
        reasons |= {kind: error for kind in GRADIENT_KINDS if data.has_gradients(kind)}
    for kind in GRADIENT_KINDS:
        if not data.has_gradients(kind):
            reasons[kind] = _no_rows(kind, data)
    for kind, reason in reasons.items():
        if keys.is_given(kind):
            raise reason
    if not found:
        raise _nothing(data, keys, reasons)
    for kind, reason in reasons.items():
        if kind == "energy" or data.has_gradients(kind):
            logger.warning("%s are not calibrated: %s", PLURALS[kind], _in_short(reason))
    for kind, values in found.items():
        _report_gaps(kind, values, keys)
    return found


def _energies(
    data: Dataset, energy: EnergyKind, names: tuple[str, str], open_frames: Callable[[], Frames]
) -> FloatArray:
    columns = StructureColumns(data, open_frames)
    columns.fetch(names)
    known = np.ones(data.n_structures, dtype=bool)
    for name in names:
        known &= np.isfinite(read_numbers(data, columns, name)[0])
    return energy_residuals(data, columns, names, energy, known, open_frames)


def _gradients(
    data: Dataset,
    keys: ResidualKeys,
    reasons: dict[RowKind, PrcliError],
    open_frames: Callable[[], Frames],
) -> dict[RowKind, FloatArray]:
    """Read the residuals of forces and stresses, and note why a kind has none."""
    counts = {kind: data.gradient_counts(kind) for kind in GRADIENT_KINDS}
    values: dict[RowKind, FloatArray] = {}
    for kind in GRADIENT_KINDS:
        if (counts[kind] < data.original_gradient_counts(kind)).any():
            reasons[kind] = FeatureError(
                f"{kind} rows were reduced, so that single ones have no residual",
                where=data.label,
                expected=f"every {kind} row",
                remedy="write the feature store without reducing its rows",
            )
        elif counts[kind].any():
            values[kind] = np.full(int(counts[kind].sum()), np.nan)
    if not values:
        return {}
    starts = {kind: np.cumsum(counts[kind]) - counts[kind] for kind in values}
    needed = np.flatnonzero(np.any([counts[kind] > 0 for kind in values], axis=0))
    frames = open_frames()
    for index, frame in zip(needed.tolist(), frames.read(needed), strict=True):
        for kind, each in values.items():
            if counts[kind][index] and _has(kind, frame, keys.names(kind)):
                residuals = _residuals(kind, frame, keys.names(kind), frames.where(index))
                start = starts[kind][index]
                each[start : start + counts[kind][index]] = residuals
    for kind in [kind for kind, each in values.items() if np.isnan(each).all()]:
        del values[kind]
        reference, predicted = keys.names(kind)
        reasons[kind] = FeatureError(
            f"no frame has both {reference} and {predicted}",
            where=data.label,
            expected="columns of the atoms" if kind == "force" else "keys of the comment line",
            remedy=f"name them with --{kind}-reference and --{kind}-predicted",
        )
    return values


def _has(kind: RowKind, frame: bytes, names: tuple[str, str]) -> bool:
    """Whether a frame has reference and prediction of a kind."""
    line = comment(frame)
    if kind == "stress":
        return len(comment_values(line, names)) == len(names)
    layout = column_layout(line)
    return all(layout.find(name) is not None for name in names)


def _residuals(kind: RowKind, frame: bytes, names: tuple[str, str], where: str) -> FloatArray:
    """Residuals of all rows of a kind of one structure, in their order; nan if not finite."""
    read = read_stresses if kind == "stress" else read_forces
    reference, predicted = read(frame, names, where, finite=False)
    residuals = (predicted - reference).ravel()
    residuals[~np.isfinite(residuals)] = np.nan
    return residuals


def _report_gaps(kind: RowKind, values: FloatArray, keys: ResidualKeys) -> None:
    """Say how many rows are left out because they lack something."""
    n_absent = int(np.count_nonzero(np.isnan(values)))
    if n_absent:
        logger.warning(
            "%d of %d %s rows have no finite %s and %s, and are left out",
            n_absent,
            len(values),
            kind,
            *keys.names(kind),
        )


def _in_short(reason: PrcliError) -> str:
    return f"{reason.what} ({reason.remedy})" if reason.remedy else reason.what


def _no_rows(kind: RowKind, data: Dataset) -> RequestError:
    return RequestError(
        f"the validation set has no {kind} rows",
        where=data.label,
        expected=f"gradients of the features, as --{kind}-reference or --{kind}-predicted need "
        "them",
        remedy="leave these options out, or import features with gradients",
    )


def _nothing(
    data: Dataset, keys: ResidualKeys, reasons: Mapping[RowKind, PrcliError]
) -> RequestError:
    reference, predicted = keys.names("energy")
    return RequestError(
        "the validation set has no residuals to calibrate with",
        where=data.label,
        expected=f"reference and predicted energies, by default {reference} and {predicted}",
        got="; ".join(dict.fromkeys(reason.what for reason in reasons.values())),
        remedy="name store columns or keys of the comment line with --reference and --predicted",
    )
