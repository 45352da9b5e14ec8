"""Reduce the rows of one training set to the square roots of a Hessian."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import gradient_blocks
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError
from prcli.numerics.rigidity import squared_norms
from prcli.numerics.rows import energy_rows
from prcli.numerics.square_root import SquareRoot
from prcli.records import Intercept, Progress, RowKind
from prcli.workflows.frames import Frames
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.inner_loss import relevant_loss
from prcli.workflows.loss_options import LossOptions, loss_of, weight_names
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.rows import BLOCK_BYTES, EnergyRows, RowForm, structure_features

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Factors of this size have no squares.
_TOO_LARGE = 1e150


def kinds_of(data: Dataset) -> tuple[RowKind, ...]:
    """Kinds of row that a set has: energies always, forces and stresses where it holds any."""
    return ("energy", *(kind for kind in GRADIENT_KINDS if data.has_gradients(kind)))


class TrainingRows:
    """Rows of a training set on their way into a Hessian.

    Parameters
    ----------
    data : Dataset
    form : RowForm
    loss : LossOptions
    kinds : collection of {"energy", "force", "stress"}
        Kinds of row to sum.
    open_frames : callable, optional
        Opens the structure files of the set, where weights or residuals are in them.
    """

    def __init__(
        self,
        data: Dataset,
        form: RowForm,
        loss: LossOptions,
        kinds: Collection[RowKind],
        open_frames: Callable[[], Frames] | None = None,
    ) -> None:
        self._data = data
        self._form = form
        self._loss = loss
        self._kinds = tuple(kinds)
        frames = open_frames or (lambda: Frames(data))
        self._weights = RowWeights(data, loss, form.energy, self._kinds, frames)

    def check(self) -> None:
        """Find out before long work whether every row can be weighed."""
        self._weights.check()

    def record(self, progress: Progress) -> HessianRecord:
        """Sum the rows.

        Returns
        -------
        record : HessianRecord
            The weights of the kinds, scale and regularizer are still to be settled.

        Raises
        ------
        FeatureError
            If a value is not finite, or so large that squares overflow.
        """
        data, form = self._data, self._form
        roots = {kind: SquareRoot(form.n_columns) for kind in self._kinds}
        sum_sq_structures = self._add_energies(roots.get("energy"), progress)
        self._add_gradients(roots, progress)
        sum_sq_atoms, n_atoms = _sum_sq_atoms(data, form, progress) if data.has_atoms else (0.0, 0)
        largest = max(float(np.abs(root.factor).max()) for root in roots.values())
        if not (np.isfinite([sum_sq_structures, sum_sq_atoms]).all() and largest < _TOO_LARGE):
            raise self._too_large()
        return HessianRecord(
            R={kind: root.factor for kind, root in roots.items()},
            n_rows={kind: self._n_rows(kind) for kind in self._kinds},
            sum_sq_atoms=sum_sq_atoms,
            n_atoms=n_atoms,
            sum_sq_structures=sum_sq_structures,
            n_structures=data.n_structures,
            digests=data.digests,
            energy=form.energy,
            scale_rule="none",
            scale=1.0,
            energy_weight=1.0,
            force_weight=0.0,
            stress_weight=0.0,
            reduction="sum",
            regularizer=0.0,
            blocks=data.blocks,
            intercept=form.intercept,
            loss=relevant_loss(loss_of(self._loss), self._kinds),
            weights=weight_names(self._loss, self._kinds),
            featurizer=data.featurizer,
        )

    def _n_rows(self, kind: RowKind) -> int:
        """Rows before any were reduced."""
        if kind == "energy":
            return self._data.n_structures
        return int(self._data.original_gradient_counts(kind).sum())

    def _add_energies(self, root: SquareRoot | None, progress: Progress) -> float:
        """Add the energy rows; give the sum of the squared norms of the mean features."""
        data, form = self._data, self._form
        means = form.energy == "per-atom"
        if root is None:
            return _sum_sq_means(data, form)
        weights = self._weights.energies()
        total = 0.0
        for start, rows in EnergyRows(data, form).blocks():
            stop = start + len(rows)
            if means:
                total += float(squared_norms(rows[:, : form.n_features]).sum())
            root.add_rows(rows, None if weights is None else weights[start:stop])
            progress("hessian", stop, data.n_structures)
        return total if means else _sum_sq_means(data, form)

    def _add_gradients(self, roots: dict[RowKind, SquareRoot], progress: Progress) -> None:
        """Add the rows of forces and stresses."""
        data, form = self._data, self._form
        kinds = [kind for kind in GRADIENT_KINDS if kind in roots]
        if not kinds:
            return
        done, n_rows = 0, int(sum(data.gradient_counts(kind).sum() for kind in GRADIENT_KINDS))
        for block in gradient_blocks(data, form.block_rows):
            weights = self._weights.of_gradients(block)
            for kind, index, rows in gradient_rows(block, form, data, kinds):
                roots[kind].add_rows(rows, None if weights is None else weights[index])
            done += len(block.kind)
            progress("gradients", done, n_rows)

    def _too_large(self) -> FeatureError:
        return FeatureError(
            "features are so large that their squares overflow",
            where=self._data.label,
            expected="magnitudes below about 1e150",
            remedy="divide all features, of every set, by one number",
        )


def warn_of_nothing(record: HessianRecord, data: Dataset) -> None:
    """Say where no row of a set weighs anything."""
    if not any(factor.any() for factor in record.R.values()):
        logger.warning("no row of %s weighs anything: it adds nothing", data.label)


def _sum_sq_means(data: Dataset, form: RowForm) -> float:
    """Sum of the squared norms of the structures' mean features."""
    total = 0.0
    for _, part, positions in data.structure_runs(form.block_rows):
        features, convention = structure_features(part, positions)
        n_atoms = np.asarray(part.table.n_atoms)[np.array(positions)]
        rows = energy_rows(
            features, n_atoms, convention=convention, energy="per-atom", intercept=Intercept()
        )
        total += float(squared_norms(rows).sum())
    return total


def _sum_sq_atoms(data: Dataset, form: RowForm, progress: Progress) -> tuple[float, int]:
    """Sum of the squared norms of the atoms' features, and the number of atoms."""
    total, done, n_atoms = 0.0, 0, data.n_atoms_total
    block_rows = max(64, BLOCK_BYTES // (8 * form.n_features))
    for _, _, features, _ in data.atom_blocks(block_rows):
        total += float(np.vdot(wide := features.astype(np.float64, copy=False), wide))
        done += len(features)
        progress("scale", done, n_atoms)
    return total, n_atoms
