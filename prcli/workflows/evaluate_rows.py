"""Rows of a set with the values that a model shall have there, weighed as in the Hessian."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, Part
from prcli.data.gradient_blocks import GradientBlock, gradient_blocks
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.records import EnergyKind, RowKind
from prcli.workflows.candidate_rows import Weights, gradient_kinds
from prcli.workflows.evaluate_baseline import Baseline
from prcli.workflows.evaluate_references import References
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.model import kind_weight, row_form
from prcli.workflows.rows import EnergyRows

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


class LabelledRows:
    """Weighted rows of a set, and beside them values weighted alike.

    Parameters
    ----------
    data : Dataset
    record : HessianRecord
        Says what rows are and what each kind counts.
    references : References
    baseline : Baseline
        What energies are measured from.
    weights : Weights or None
        Of single rows beside those of their kinds; None where all are 1.
    chosen : ndarray of bool of shape (S,), optional
        Structures that will be asked for; all by default.
    """

    def __init__(
        self,
        data: Dataset,
        record: HessianRecord,
        references: References,
        baseline: Baseline,
        weights: Weights | None,
        chosen: Mask | None = None,
    ) -> None:
        self._data = data
        self._form = row_form(record)
        self._references = references
        self._weights = weights
        self._kinds = gradient_kinds(record, data)
        self._kind_weights = {kind: kind_weight(record, kind) for kind in self._kinds}
        chosen = np.ones(data.n_structures, dtype=bool) if chosen is None else chosen
        self._energies: EnergyRows | None = None
        if (energy_weight := kind_weight(record, "energy")) > 0.0:
            own = None if weights is None else weights.energies()
            self._energies = EnergyRows(data, self._form, energy_weight, own)
            needed = chosen if own is None else chosen & (own > 0.0)
            values = energy_values(data, references, baseline, record.energy, needed)
            factors = np.sqrt(energy_weight * (1.0 if own is None else own))
            # What has no weight may have no energy.
            self._values = np.where(needed, values, 0.0) * factors

    def blocks(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield (rows, values) of all structures: energies first, then gradients."""
        if self._energies is not None:
            for start, rows in self._energies.blocks():
                yield rows, self._values[start : start + len(rows)]
        if self._kinds:
            counts = [self._data.gradient_counts(kind) for kind in self._kinds]
            self._references.announce(np.any(counts, axis=0))
            for block in gradient_blocks(self._data, self._form.block_rows):
                yield from self._of_block(block)

    def take(self, index: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield (rows, values) of one structure."""
        if self._energies is not None:
            yield self._energies.take([index]), self._values[[index]]
        if self._kinds:
            part, position = self._data.locate(index)
            alone = Dataset([Part(part.table, range(position, position + 1))], self._data.name)
            for block in gradient_blocks(alone, self._form.block_rows):
                yield from self._of_block(replace(block, structure=block.structure + index))

    def _of_block(self, block: GradientBlock) -> Iterator[tuple[FloatArray, FloatArray]]:
        weights = None if self._weights is None else self._weights.of_gradients(block)
        own = np.ones(len(block.kind)) if weights is None else weights
        counted = np.isin(block.kind, [GRADIENT_KINDS[kind] for kind in self._kinds])
        values = self._references.of_block(block, counted & (own > 0.0))
        for kind, index, rows in gradient_rows(block, self._form, self._data, self._kinds):
            factors = np.sqrt(self._kind_weights[kind] * own[index])
            rows *= factors[:, np.newaxis]
            yield rows, values[index] * factors


def energy_values(
    data: Dataset, references: References, baseline: Baseline, energy: EnergyKind, needed: Mask
) -> FloatArray:
    """Give reference energies as energy rows are, minus the baseline.

    Parameters
    ----------
    data : Dataset
    references : References
        Of the same set.
    baseline : Baseline
    energy : {"per-atom", "total"}
    needed : ndarray of bool of shape (S,)
        Structures that must have a baseline.

    Returns
    -------
    values : ndarray of shape (S,)
        eV/atom or eV; nan where an energy is not known.
    """
    values = references.energies / data.n_atoms if energy == "per-atom" else references.energies
    return values - baseline.of(data, energy, needed)


def weighty_structures(data: Dataset, weights: Weights | None, kinds: Collection[RowKind]) -> Mask:
    """(S,) structures that have gradient rows of some kinds, of a weight above 0.

    `weights` are those of a squared loss, alike for all rows of a kind of a structure.
    """
    weighty = np.zeros(data.n_structures, dtype=bool)
    for kind in kinds:
        structures = np.flatnonzero(data.gradient_counts(kind))
        own = None
        if weights is not None and structures.size:
            # One row stands for all of a structure: nothing is read for them.
            n_rows = len(structures)
            block = GradientBlock(
                structure=structures,
                place=np.zeros(n_rows, dtype=np.int64),
                kind=np.full(n_rows, GRADIENT_KINDS[kind]),
                rows=np.empty((n_rows, 0)),
            )
            own = weights.of_gradients(block)
        weighty[structures if own is None else structures[own > 0.0]] = True
    return weighty
