"""What each row of a set counts: the weight of its structure times the factors of the loss."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import GradientBlock
from prcli.data.gradients import GRADIENT_KINDS
from prcli.errors import ExpressionError, FeatureError
from prcli.numerics.loss import gauss_newton_factors, stress_row_weights, universal_force_delta
from prcli.records import EnergyKind, RowKind
from prcli.workflows.frames import Frames
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.residuals import (
    FrameSequence,
    check_force_columns,
    energy_residuals,
    read_forces,
    read_stresses,
)
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import product, read_weights

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


class RowWeights:
    """Weights ω h of the rows of a set, and twice that for shears of a stress of nine components.

    Rows are to be multiplied by their square roots; the weights of the kinds of row (λ) are not
    in them. Structure files are read only where a key needs them, or a robust loss of forces or
    stresses; a structure of weight 0 needs no residuals.

    Parameters
    ----------
    data : Dataset
    options : LossOptions
    energy : {"per-atom", "total"}
        What energy rows are, and so their residuals.
    kinds : collection of {"energy", "force", "stress"}
        Kinds of row that enter the Hessian; of others nothing is asked.
    open_frames : callable
        Opens the structure files of the set.
    """

    def __init__(
        self,
        data: Dataset,
        options: LossOptions,
        energy: EnergyKind,
        kinds: Collection[RowKind],
        open_frames: Callable[[], Frames],
    ) -> None:
        self._data = data
        self._options = options
        self._energy: EnergyKind = energy
        self._kinds = frozenset(kinds)
        self._open_frames = open_frames

    def check(self) -> None:
        """Find out, before long work, whether every row can be weighed.

        Weights, energies and stresses are read. Of forces only the columns are looked for; the
        numbers are read as rows are weighed.

        Raises
        ------
        RequestError
            If the loss needs a width that was not given, or a weight is not valid.
        ExpressionError
            If a key is neither a column nor a key of any frame.
        FeatureError
            If a structure that has rows and a weight lacks a reference or prediction, or rows
            that must be told apart were reduced.
        """
        if self._options.is_robust:
            for kind in sorted(self._kinds):
                self._options.require_delta(kind)
        for kind in self._gradient_kinds:
            self._check_single(kind)
        self.energies()
        if self._robust_structures.size:
            self._check_frames()

    def energies(self) -> FloatArray | None:
        """(S,) weights of the energy rows; None where all are 1."""
        return self._of_structures.energies

    @property
    def of_structures(self) -> Mapping[RowKind, FloatArray | None]:
        """(S,) weights of the structures by kind of row; None where all are 1."""
        return self._of_structures.weights

    def of_gradients(self, block: GradientBlock) -> FloatArray | None:
        """Weigh the rows of a block.

        Parameters
        ----------
        block : GradientBlock
            n rows, whole structures. Where residuals are read, blocks in the order of the set
            cost one pass over the structure files.

        Returns
        -------
        weights : ndarray of shape (n,) or None
            None where all are 1. Rows of kinds that do not enter weigh 1.

        Raises
        ------
        FeatureError
            If a force is not finite.
        """
        weights = np.ones(len(block.kind))
        for kind in self._gradient_kinds:
            rows = np.flatnonzero(block.kind == GRADIENT_KINDS[kind])
            of_structure = self._of_structures.weights[kind]
            if of_structure is not None:
                weights[rows] = of_structure[block.structure[rows]]
            if kind == "stress" and self._options.stress_components == 9:
                weights[rows] *= stress_row_weights(9)[block.place[rows]]
        if self._options.is_robust:
            self._apply_factors(block, weights)
        return None if np.all(weights == 1.0) else weights

    @property
    def _gradient_kinds(self) -> tuple[RowKind, ...]:
        return tuple(kind for kind in GRADIENT_KINDS if kind in self._kinds)

    @cached_property
    def _frames(self) -> Frames:
        return self._open_frames()

    @cached_property
    def _of_structures(self) -> _StructureNumbers:
        """Weights of structures and energies, in one pass where they need the frames."""
        options = self._options
        keys = {kind: options.weight_keys(kind) for kind in sorted(self._kinds)}
        names = list(dict.fromkeys(key for each in keys.values() for key in each))
        columns = StructureColumns(self._data, lambda: self._frames)
        needs_energies = options.is_robust and "energy" in self._kinds
        self._fetch(columns, [*names, *(options.residual_keys("energy") if needs_energies else ())])
        read = {name: read_weights(self._data, columns, name) for name in names}
        weights = {kind: product([read[name] for name in keys[kind]]) for kind in keys}
        if options.loss == "mace-universal":
            _warn_universal(weights)
        energies = weights.get("energy")
        if needs_energies:
            energies = self._robust_energies(energies, columns)
        return _StructureNumbers(weights, energies)

    def _fetch(self, columns: StructureColumns, names: Sequence[str]) -> None:
        """Find columns or keys in one pass, or say which option named one that is absent."""
        try:
            columns.fetch(names)
        except ExpressionError as error:
            absent = [name for name in names if repr(name) in error.what]
            options = [each for each, given in vars(self._options).items() if given in absent]
            named = " or ".join("--" + each.replace("_", "-") for each in options)
            raise ExpressionError(
                error.what,
                where=f"{error.where or self._data.label}, {named}",
                expected=error.expected,
                remedy=error.remedy or f"name another column or key with {named}",
            ) from error

    def _robust_energies(
        self, weights: FloatArray | None, columns: StructureColumns
    ) -> FloatArray | None:
        """Multiply the weights of energy rows by the factors of the loss."""
        n_structures = self._data.n_structures
        counts = np.ones(n_structures, dtype=bool) if weights is None else weights > 0.0
        residuals = energy_residuals(
            self._data,
            columns,
            self._options.residual_keys("energy"),
            self._energy,
            counts,
            lambda: self._frames,
        )
        delta = self._options.require_delta("energy")
        factors = np.zeros(n_structures)
        factors[counts] = gauss_newton_factors(self._options.loss, residuals[counts], delta)
        return product([factors] if weights is None else [factors, weights])

    @cached_property
    def _has_residuals(self) -> dict[RowKind, NDArray[np.bool_]]:
        """(S,) structures whose forces, or stresses, are looked at."""
        needed: dict[RowKind, NDArray[np.bool_]] = {}
        for kind in self._gradient_kinds if self._options.is_robust else ():
            weights = self._of_structures.weights[kind]
            needed[kind] = self._data.gradient_counts(kind) > 0
            if weights is not None:
                needed[kind] &= weights > 0.0
        return needed

    @cached_property
    def _robust_structures(self) -> NDArray[np.int64]:
        """Structures whose frames are read for residuals."""
        needed = np.zeros(self._data.n_structures, dtype=bool)
        for each in self._has_residuals.values():
            needed |= each
        return np.flatnonzero(needed)

    @cached_property
    def _sequence(self) -> FrameSequence:
        return FrameSequence(self._frames, self._robust_structures)

    def _check_single(self, kind: RowKind) -> None:
        """Refuse rows that are mixtures where each one's own weight is asked for."""
        counts_components = kind == "stress" and self._options.stress_components == 9
        if not (self._options.is_robust or counts_components):
            return
        stored = self._data.gradient_counts(kind)
        mixed = np.flatnonzero(stored < self._data.original_gradient_counts(kind))
        if mixed.size:
            index = int(mixed[0])
            part, position = self._data.locate(index)
            what = f"--loss {self._options.loss}" if self._options.is_robust else "nine components"
            raise FeatureError(
                f"the {kind} rows of a structure were reduced, so that single ones are lost",
                where=f"{part.table.label}, structure {position}",
                expected=f"every {kind} row, as {what} needs them",
                got=f"{stored[index]} rows",
                remedy="write the feature store without reducing its rows",
            )

    def _check_frames(self) -> None:
        """Look for references and predictions in every frame that will be read."""
        found = self._frames.read(self._robust_structures)
        for index, frame in zip(self._robust_structures.tolist(), found, strict=True):
            where = self._frames.where(index)
            if "force" in self._has_residuals and self._has_residuals["force"][index]:
                check_force_columns(frame, self._options.residual_keys("force"), where)
            if "stress" in self._has_residuals and self._has_residuals["stress"][index]:
                read_stresses(frame, self._options.residual_keys("stress"), where)

    def _apply_factors(self, block: GradientBlock, weights: FloatArray) -> None:
        """Multiply weights by the factors of the loss, structure by structure."""
        indices, starts = np.unique(block.structure, return_index=True)
        stops = [*starts[1:].tolist(), len(weights)]
        for index, start, stop in zip(indices.tolist(), starts.tolist(), stops, strict=True):
            kinds = [kind for kind, needed in self._has_residuals.items() if needed[index]]
            if not kinds:
                continue
            frame, where = self._sequence.read(index), self._frames.where(index)
            for kind in kinds:
                rows = start + np.flatnonzero(block.kind[start:stop] == GRADIENT_KINDS[kind])
                weights[rows] *= self._factors(kind, frame, where)[block.place[rows]]

    def _factors(self, kind: RowKind, frame: bytes, where: str) -> FloatArray:
        """Factors of all rows of one kind of a structure, in their order."""
        loss, keys = self._options.loss, self._options.residual_keys(kind)
        delta = self._options.require_delta(kind)
        if kind == "stress":
            reference, predicted = read_stresses(frame, keys, where)
            return gauss_newton_factors(loss, predicted - reference, delta)
        reference, predicted = read_forces(frame, keys, where)
        widths = np.full(len(reference), delta)
        if loss == "mace-universal":
            widths = universal_force_delta(delta, reference)
        return gauss_newton_factors(loss, predicted - reference, widths[:, np.newaxis]).ravel()


@dataclass(frozen=True, eq=False)
class _StructureNumbers:
    """What is known of all structures at once.

    Attributes
    ----------
    weights : dict
        (S,) weight ω of each structure's rows by kind; None where all are 1.
    energies : ndarray of shape (S,) or None
        Weight of each energy row, the factor of the loss inside; None where all are 1.
    """

    weights: dict[RowKind, FloatArray | None]
    energies: FloatArray | None


def _warn_universal(weights: dict[RowKind, FloatArray | None]) -> None:
    """Say where MACE differs, if weights are neither 0 nor 1."""
    present = [each for each in weights.values() if each is not None]
    if any(((each != 0.0) & (each != 1.0)).any() for each in present):
        logger.warning(
            "weights of structures multiply the loss here; MACE's own universal loss multiplies "
            "the residuals by the weights of each kind, and does not use those of all kinds"
        )
