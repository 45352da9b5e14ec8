"""What a Hessian file holds, and what makes it consistent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from prcli.data.checks import check_blocks
from prcli.errors import FeatureError, FormatError
from prcli.records import Block, EnergyKind, Intercept, Loss, LossName, Reduction, RowKind

ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
SCALE_RULES = ("atom-rms", "structure-rms", "none", "value")

INTEGERS = ("n_atoms", "n_structures")
TEXTS = {
    "energy": get_args(EnergyKind),
    "scale_rule": SCALE_RULES,
    "reduction": get_args(Reduction),
}
NUMBERS = (
    "sum_sq_atoms",
    "sum_sq_structures",
    "scale",
    "energy_weight",
    "force_weight",
    "stress_weight",
    "regularizer",
)
ALPHAS = ("alpha_energy", "alpha_force", "alpha_stress")
DELTAS = ("energy_delta", "force_delta", "stress_delta")
STRESS_COMPONENTS = (6, 9)
_TRIANGLE_ROWS = 256


@dataclass(frozen=True, eq=False)
class HessianRecord:
    """A Hessian as square roots of its parts, and the scalars that combine them.

    D features and the columns of the intercept, which follow them, are D' columns together.

    Attributes
    ----------
    R : mapping of {"energy", "force", "stress"} to (D', D') array of float64
        Upper triangular; R^T R is the sum over the rows of one kind, neither scaled nor
        regularized, with structure weights and robust factors but without the weights below.
    n_rows : mapping of kind to int
        How many rows went into each R, before any of them were reduced.
    sum_sq_atoms : float
        Sum over the training atoms of the squared norm of their features; 0 if there are no
        rows of atoms.
    n_atoms : int
        Number of those atoms.
    sum_sq_structures : float
        Sum over the training structures of the squared norm of their mean rows.
    n_structures : int
        Number of those structures.
    digests : (n,) array of uint64
        Digests of the training structures.
    energy : {"per-atom", "total"}
        Whether an energy row is the mean or the sum over atoms.
    scale_rule : {"atom-rms", "structure-rms", "none", "value"}
        How `scale` came about, so that merged files can compute it again.
    scale : float
        What features are divided by; positive.
    energy_weight, force_weight, stress_weight : float
        Weight of each kind in the loss, 0 or more.
    reduction : {"sum", "mean"}
        Whether a kind enters by the sum over its rows or by their mean.
    regularizer : float
        Number added to the diagonal of the Hessian of the scaled features; 0 or more.
    blocks : tuple of Block or None
        Components of the model, widths adding up to D.
    intercept : Intercept
        Constant columns.
    alpha_energy, alpha_force, alpha_stress : float or None
        Calibration factors of the uncertainties, eV/atom (eV for total energies), eV/Å and
        eV/Å³; None until calibrated.
    prior : (n,) or (n, n) array of float64, or None
        Diagonal or full prior of the scaled features; None is the identity. n is D (then the
        intercept is not regularized) or D'.
    loss : Loss
        What the rows of each R carry inside: robust factors, and shears counted twice.
    weights : tuple of str
        Columns whose values multiply the rows, "force:NAME" for those of one kind of row; for
        information.
    featurizer : mapping, or None
        Name and settings of what computed the features; None if that is not known.
    """

    R: Mapping[RowKind, np.ndarray]
    n_rows: Mapping[RowKind, int]
    sum_sq_atoms: float
    n_atoms: int
    sum_sq_structures: float
    n_structures: int
    digests: np.ndarray
    energy: EnergyKind
    scale_rule: str
    scale: float
    energy_weight: float
    force_weight: float
    stress_weight: float
    reduction: Reduction
    regularizer: float
    blocks: tuple[Block, ...] | None = None
    intercept: Intercept = Intercept()
    alpha_energy: float | None = None
    alpha_force: float | None = None
    alpha_stress: float | None = None
    prior: np.ndarray | None = None
    loss: Loss = Loss()
    weights: tuple[str, ...] = ()
    featurizer: Mapping[str, object] | None = None

    @property
    def n_columns(self) -> int:
        """D': features and intercept."""
        return int(next(iter(self.R.values())).shape[1])

    @property
    def n_features(self) -> int:
        """D."""
        return self.n_columns - self.intercept.n_columns


def check_record(record: HessianRecord, path: str) -> None:
    """Refuse a record that contradicts itself."""
    for name, words in TEXTS.items():
        if getattr(record, name) not in words:
            raise unknown_word(name, getattr(record, name), words, path)
    for name in (*NUMBERS, *INTEGERS, *ALPHAS):
        value = getattr(record, name)
        positive = name == "scale" or name in ALPHAS
        if value is not None and not (
            np.isfinite(value) and value >= 0 and (value or not positive)
        ):
            raise FormatError(
                f"{name} is out of range",
                where=path,
                expected="a finite number, " + ("above 0" if positive else "0 or more"),
                got=str(value),
            )
    _check_matrices(record, path)
    _check_intercept(record.intercept, path)
    try:
        check_blocks(record.blocks, record.n_features, path)
    except FeatureError as error:
        raise FormatError(error.what, where=path, expected=error.expected, got=error.got) from error
    if record.prior is not None:
        check_prior(record.prior, record.n_features, record.n_columns, path)
    _check_loss(record, path)


def _check_matrices(record: HessianRecord, path: str) -> None:
    """Refuse matrices that are absent, misshaped, not finite or not triangular."""
    if not record.R or set(record.R) != set(record.n_rows) or not set(record.R) <= set(ROW_KINDS):
        raise FormatError(
            "Hessian holds no matrix, or matrices and numbers of rows differ",
            where=path,
            expected="at least one of " + ", ".join(f"R/{kind}" for kind in ROW_KINDS),
            got=f"matrices {sorted(record.R)}, numbers of rows {sorted(record.n_rows)}",
        )
    n_columns = record.n_columns
    if record.n_features < 1:
        raise FormatError("Hessian has no feature columns", where=path, got=f"{n_columns} columns")
    for kind, matrix in record.R.items():
        where = f"{path}, R/{kind}"
        if matrix.shape != (n_columns, n_columns):
            raise _misshaped("matrix", where, f"({n_columns}, {n_columns})", matrix.shape)
        if record.n_rows[kind] < 0:
            raise FormatError("number of rows is negative", where=where)
        _check_triangle(matrix, where)
    if record.digests.ndim != 1:
        raise _misshaped("digests", path, "(n,)", record.digests.shape)


def _check_triangle(matrix: np.ndarray, where: str) -> None:
    """Look for values that are not finite, or not zero below the diagonal, by blocks of rows."""
    for start in range(0, len(matrix), _TRIANGLE_ROWS):
        block = matrix[start : start + _TRIANGLE_ROWS]
        if not np.isfinite(block).all():
            raise FormatError("matrix is not finite", where=where, got=f"rows from {start}")
        if np.tril(block[:, : start + len(block)], start - 1).any():
            raise FormatError(
                "matrix is not upper triangular",
                where=where,
                expected="zeros below the diagonal",
                got=f"other numbers in rows from {start}",
            )


def _check_intercept(intercept: Intercept, path: str) -> None:
    """Refuse elements that are absent, repeated, or given where none belong."""
    species = intercept.species
    wanted = intercept.kind == "species"
    if bool(species) != wanted or len(set(species)) < len(species):
        raise FormatError(
            "species of the intercept do not fit",
            where=path,
            expected="each element once" if wanted else f"none with intercept {intercept.kind}",
            got=str(species),
        )


def check_prior(prior: np.ndarray, n_features: int, n_columns: int, where: str) -> None:
    """Refuse a prior that is misshaped, not finite or not symmetric.

    Parameters
    ----------
    prior : array
        To be (n,) or (n, n), with n one of the following.
    n_features, n_columns : int
        D and D'.
    where : str
        Name for messages.

    Raises
    ------
    FormatError
    """
    lengths = (n_features, n_columns)
    if (
        prior.ndim not in (1, 2)
        or any(n not in lengths for n in prior.shape)
        or (len(set(prior.shape)) > 1)
    ):
        known = " or ".join(str(n) for n in dict.fromkeys(lengths))
        raise _misshaped("prior", where, f"(n,) or (n, n) with n = {known}", prior.shape)
    if not np.isfinite(prior).all():
        first = _place(np.argmin(np.isfinite(prior)), prior)
        raise FormatError(
            "prior is not finite",
            where=f"{where}, entry {first}",
            expected="a finite number",
            got=str(prior[first]),
        )
    if prior.ndim == 2 and np.abs(prior - prior.T).max() > 1e-12 * np.abs(prior).max():
        row, column = _place(np.argmax(np.abs(prior - prior.T)), prior)
        raise FormatError(
            "prior is not symmetric",
            where=f"{where}, entry {(row, column)}",
            expected=f"{prior[column, row]}, as across the diagonal",
            got=str(prior[row, column]),
        )


def _place(position: np.intp, array: np.ndarray) -> tuple[int, ...]:
    """Turn a position in the flattened array into one index per axis."""
    return tuple(int(index) for index in np.unravel_index(position, array.shape))


def _check_loss(record: HessianRecord, path: str) -> None:
    """Refuse a loss that is unknown, or whose widths do not fit the rows."""
    loss = record.loss
    if loss.name not in get_args(LossName):
        raise unknown_word("loss", loss.name, get_args(LossName), path)
    if loss.stress_components not in STRESS_COMPONENTS:
        raise FormatError(
            "stress_components is out of range",
            where=path,
            expected="6 or 9",
            got=str(loss.stress_components),
        )
    for kind in ROW_KINDS:
        delta = getattr(loss, f"{kind}_delta")
        if delta is None:
            fits = loss.name == "squared" or not record.n_rows.get(kind)
        else:
            fits = loss.name != "squared" and bool(np.isfinite(delta)) and delta > 0.0
        if not fits:
            needs = "none" if loss.name == "squared" else "a finite number above 0"
            raise FormatError(
                f"{kind}_delta does not fit the loss {loss.name}",
                where=path,
                expected=needs,
                got="none" if delta is None else str(delta),
            )


def unknown_word(name: str, got: object, known: tuple[str, ...], path: str) -> FormatError:
    """Say that a word is unknown, and list the known ones."""
    return FormatError(
        f"{name} is absent or unknown", where=path, expected=" or ".join(known), got=str(got)
    )


def _misshaped(what: str, where: str, expected: str, got: tuple[int, ...]) -> FormatError:
    """Say that an array has the wrong shape."""
    return FormatError(f"{what} has the wrong shape", where=where, expected=expected, got=str(got))
