"""Sets that models learn from: structures with references and weights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.records import EnergyKind, RowKind
from prcli.workflows.candidate_rows import Weights
from prcli.workflows.candidate_weights import candidate_weights
from prcli.workflows.evaluate_baseline import Baseline
from prcli.workflows.evaluate_references import References
from prcli.workflows.evaluate_rows import LabelledRows, weighty_structures
from prcli.workflows.frames import Frames
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.structure_columns import StructureColumns

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


class LabelledSet:
    """Structures to learn from.

    Parameters
    ----------
    data : Dataset
    references : References
        Of the same set.
    weights : Weights or None
        Of its rows; None where all are 1.
    chosen : ndarray of bool of shape (S,)
        Structures that may be learned from.
    """

    def __init__(
        self, data: Dataset, references: References, weights: Weights | None, chosen: Mask
    ) -> None:
        self.data = data
        self.references = references
        self.weights = weights
        self._chosen = chosen

    @property
    def energy_weights(self) -> FloatArray | None:
        """(S,) weights of the energy rows; None where all are 1."""
        return None if self.weights is None else self.weights.energies()

    def check_energies(self) -> None:
        """Refuse structures of some weight that lack an energy.

        Raises
        ------
        FeatureError
        """
        weights = self.energy_weights
        has_weight = True if weights is None else weights > 0.0
        self.references.check_energies(self._chosen & has_weight)

    def check_gradients(self, kinds: Collection[RowKind]) -> None:
        """Refuse structures that lack forces or stresses for rows of some weight.

        Raises
        ------
        FeatureError
        """
        for kind in GRADIENT_KINDS:
            if kind in kinds:
                weighty = weighty_structures(self.data, self.weights, [kind])
                self.references.check_gradients(kind, self._chosen & weighty)

    def check_baseline(self, baseline: Baseline, energy: EnergyKind) -> None:
        """Refuse structures with an element of which the baseline says nothing.

        Raises
        ------
        MismatchError
        """
        baseline.of(self.data, energy, self._chosen)

    def rows(self, record: HessianRecord, baseline: Baseline) -> LabelledRows:
        """Give rows and values, weighed as a Hessian says."""
        return LabelledRows(
            self.data, record, self.references, baseline, self.weights, self._chosen
        )


def training_set(
    data: Dataset,
    loss: LossOptions,
    energy: EnergyKind,
    kinds: Collection[RowKind],
    *,
    needs_energies: bool,
) -> LabelledSet:
    """Check the base training set; its rows weigh what they weigh in the Hessian.

    Parameters
    ----------
    data : Dataset
    loss : LossOptions
    energy : {"per-atom", "total"}
    kinds : collection of {"energy", "force", "stress"}
        Kinds of row that the loss counts.
    needs_energies : bool
        Whether energies are needed even if their rows have no weight.

    Raises
    ------
    PrcliError
        If a row cannot be weighed, or lacks its reference.
    """
    open_frames = cache(lambda: Frames(data))
    weights = RowWeights(data, loss, energy, kinds, open_frames)
    weights.check()
    everything = np.ones(data.n_structures, dtype=bool)
    labelled = LabelledSet(data, References(data, loss, open_frames), weights, everything)
    if needs_energies or "energy" in kinds:
        labelled.check_energies()
    if not loss.is_robust:
        # For a robust loss, the check of the weights has looked for all references.
        labelled.check_gradients(kinds)
    return labelled


def candidate_set(
    data: Dataset,
    loss: LossOptions | None,
    kinds: Collection[RowKind],
    chosen: Mask,
    columns: StructureColumns,
    open_frames: Callable[[], Frames],
) -> LabelledSet:
    """Check the pool; its rows weigh what they weigh in a selection.

    Parameters
    ----------
    data : Dataset
    loss : LossOptions or None
        As the user gave it.
    kinds : collection of {"energy", "force", "stress"}
        Kinds of row that the loss counts.
    chosen : ndarray of bool of shape (C,)
        Structures that are, or may be, picked.
    columns : StructureColumns
        Of the same set.
    open_frames : callable
        Opens its structure files.

    Raises
    ------
    PrcliError
        If a row cannot be weighed, or lacks its reference.
    """
    weights = candidate_weights(data, loss, [], columns, open_frames)
    references = References(data, loss or LossOptions(), open_frames)
    labelled = LabelledSet(data, references, weights, chosen)
    if "energy" in kinds:
        labelled.check_energies()
    labelled.check_gradients(kinds)
    return labelled
