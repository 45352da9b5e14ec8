"""The targets of a selection: their rows, what they belong to, what they weigh."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, RequestError
from prcli.numerics.components import component_rows
from prcli.workflows.components import blocks_of, check_blocks_named
from prcli.workflows.model import row_form
from prcli.workflows.rows import EnergyRows, local_blocks
from prcli.workflows.select_options import SelectOptions, TargetPer
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import place_of

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Targets:
    """Rows of the targets, and what they belong to.

    Attributes
    ----------
    rows : ndarray of shape (T, D')
    structure : ndarray of shape (T,)
        Structure of the target set that each belongs to.
    atom : ndarray of shape (T,) or None
        Position in the structure, where targets are atoms.
    component : ndarray of str of shape (T,) or None
        Block of features, where targets are components.
    weight : ndarray of shape (T,)
    counts : ndarray of bool of shape (T,)
        Whether the objective looks at it: rows of zeros and of no weight are left out.
    """

    rows: FloatArray
    structure: NDArray[np.int64]
    atom: NDArray[np.int64] | None
    component: NDArray[np.object_] | None
    weight: FloatArray
    counts: NDArray[np.bool_]

    @property
    def counted_rows(self) -> FloatArray:
        """Rows that the objective looks at, a copy of shape (T', D')."""
        return self.rows[self.counts]

    @property
    def shares(self) -> FloatArray:
        """Weights of these rows, which sum to 1, shape (T',)."""
        weight = self.weight[self.counts]
        return np.asarray(weight / weight.sum())


def read_targets(
    record: HessianRecord,
    target: Dataset | None,
    options: SelectOptions,
    weight: FloatArray | None,
) -> Targets:
    """Read the rows of all targets.

    Parameters
    ----------
    record : HessianRecord
    target : Dataset or None
        None for selections that do not look at targets.
    options : SelectOptions
        Says whether targets are structures, atoms or components of structures.
    weight : ndarray of shape (S,) or None
        Weight of each structure.

    Returns
    -------
    targets : Targets

    Raises
    ------
    RequestError
        If no target has both a row and a weight.
    """
    form = row_form(record)
    if target is None:
        nothing = np.empty(0)
        whole = np.empty(0, dtype=np.int64)
        return Targets(
            np.empty((0, form.n_columns)), whole, None, None, nothing, nothing.astype(bool)
        )
    check_targets(target, options.target_per)
    atom = component = None
    if options.target_per == "structure":
        rows = EnergyRows(target, form).read_all()
        structure = np.arange(len(rows))
    elif options.target_per == "component":
        columns = blocks_of(record, "component")
        rows = component_rows(EnergyRows(target, form).read_all(), tuple(columns.values()))
        structure = np.repeat(np.arange(target.n_structures), len(columns))
        component = np.tile(np.array(list(columns), dtype=object), target.n_structures)
    else:
        parts = list(local_blocks(target, form))
        rows = np.concatenate([part[2] for part in parts])
        structure = np.concatenate([part[0] for part in parts])
        atom = np.concatenate([part[1] for part in parts])
    per_structure = np.ones(target.n_structures)
    if weight is not None:
        per_structure = check_weights(weight, target)
    weights = per_structure[structure]
    # A row of zeros is held infinitely firmly and says nothing.
    counts = np.any(rows != 0.0, axis=1) & (weights > 0.0)
    n_zero = int(np.count_nonzero(~np.any(rows != 0.0, axis=1)))
    if n_zero:
        logger.warning("%d targets are rows of zeros, of infinite rigidity: left out", n_zero)
    if not counts.any():
        raise RequestError("no target counts", where=target.label, expected="a row and a weight")
    return Targets(rows, structure, atom, component, weights, counts)


def check_targets(target: Dataset, per: TargetPer) -> None:
    """Refuse a set that has not what targets are.

    Raises
    ------
    FeatureError
        If targets are atoms and have no features, or components and columns have no blocks.
    """
    if per == "atom" and not target.has_atoms:
        raise FeatureError(
            "targets per atom need features of atoms",
            where=target.label,
            remedy="import features with --convention per-atom, or use --target-per structure",
        )
    if per == "component":
        check_blocks_named(target)


def count_targets(target: Dataset, per: TargetPer) -> int:
    """Count the targets of a set."""
    if per == "component":
        return target.n_structures * len(target.blocks or ())
    return target.n_atoms_total if per == "atom" else target.n_structures


def read_target_weight(target: Dataset, columns: StructureColumns, name: str) -> FloatArray:
    """Read the weight of every structure of a target set.

    A target without a weight is an error: unlike in a loss, there is no usual one.

    Parameters
    ----------
    target : Dataset
    columns : StructureColumns
        Of the same set.
    name : str
        Column or key of the comment line.

    Returns
    -------
    weight : ndarray of shape (S,)

    Raises
    ------
    ExpressionError
        If there is no such column.
    RequestError
        If a weight is absent, or no finite number that is not negative.
    """
    columns.fetch([name])
    values = columns[name]
    if values.dtype.kind not in "iuf":
        strange = [not isinstance(v, float | int) or isinstance(v, bool) for v in values]
        if any(strange):
            first = int(np.argmax(strange))
            raise RequestError(
                "target weights must be numbers",
                where=place_of(target, first, name),
                expected="a weight of every target",
                got="nothing" if values[first] is None else repr(values[first]),
                remedy="write it there, 0 where a target is not to count",
            )
    return check_weights(values.astype(np.float64), target)


def check_weights(weight: FloatArray, target: Dataset) -> FloatArray:
    """Refuse weights of structures that are negative or not finite.

    Raises
    ------
    RequestError
        Naming the first.
    """
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0.0)))
    if wrong.size:
        part, position = target.locate(int(wrong[0]))
        raise RequestError(
            "a target weight is not valid",
            where=f"{part.table.label}, structure {position}",
            expected="a finite number that is not negative",
            got=str(weight[wrong[0]]),
        )
    return weight
