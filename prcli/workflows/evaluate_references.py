"""Reference energies, forces and stresses of a set: what refits learn and are measured by."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prcli.data.column_layout import column_layout
from prcli.data.comment_line import comment, comment_values
from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import GradientBlock
from prcli.data.gradients import GRADIENT_KINDS
from prcli.errors import FeatureError
from prcli.records import RowKind
from prcli.workflows.frames import Frames
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.residuals import FrameSequence, force_column, read_stresses
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import place_of, read_numbers

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


class References:
    """References of a set; frames are read only for forces and stresses.

    Parameters
    ----------
    data : Dataset
    loss : LossOptions
        Names the columns and keys.
    open_frames : callable
        Opens the structure files of the set.
    """

    def __init__(self, data: Dataset, loss: LossOptions, open_frames: Callable[[], Frames]) -> None:
        self._data = data
        self._loss = loss
        self._open_frames = open_frames
        self._sequence: FrameSequence | None = None
        self._announced: Mask = np.zeros(data.n_structures, dtype=bool)

    @cached_property
    def energies(self) -> FloatArray:
        """(S,) total energies, eV; nan where one is not known.

        Raises
        ------
        ExpressionError
            If their name is neither a column nor a key of any frame.
        """
        columns = StructureColumns(self._data, self._open_frames)
        columns.fetch([self.name("energy")])
        values, _ = read_numbers(self._data, columns, self.name("energy"))
        return np.where(np.isfinite(values), values, np.nan)

    def name(self, kind: RowKind) -> str:
        """Name of the references of one kind of row."""
        return self._loss.residual_keys(kind)[0]

    def check_energies(self, needed: Mask) -> None:
        """Refuse structures, given by a mask of shape (S,), that lack an energy.

        Raises
        ------
        FeatureError
            Naming the first.
        """
        lacking = np.flatnonzero(needed & np.isnan(self.energies))
        if lacking.size:
            name = self.name("energy")
            raise FeatureError(
                "a reference energy that a refit needs is absent or not finite",
                where=place_of(self._data, int(lacking[0]), name),
                expected="a finite number, eV",
                got=f"none, as for {len(lacking)} of {int(needed.sum())} structures",
                remedy="name the energies with --reference, or leave these structures out",
            )

    def check_gradients(self, kind: RowKind, needed: Mask) -> None:
        """Refuse structures, given by a mask of shape (S,), that lack forces or stresses.

        Their frames are looked at, but no atom is read.

        Raises
        ------
        FeatureError
            Naming the first, also where single rows are lost.
        """
        self.check_single(kind, needed)
        lacking = needed & ~self.present(kind, needed)
        if lacking.any():
            first = int(np.argmax(lacking))
            raise FeatureError(
                f"{'forces' if kind == 'force' else 'stresses'} that a refit needs are absent",
                where=f"{self._frames.where(first)}, {self.name(kind)}",
                expected="a column of the atoms"
                if kind == "force"
                else "a key of the comment line",
                got=f"none, as for {int(lacking.sum())} of {int(needed.sum())} structures",
                remedy=f"name them with --{kind}-reference, or leave these rows out of the loss "
                f"with --{kind}-weight 0",
            )

    def check_single(self, kind: RowKind, needed: Mask) -> None:
        """Refuse structures whose rows were reduced, so that no value belongs to one of them.

        Raises
        ------
        FeatureError
            Naming the first.
        """
        stored = self._data.gradient_counts(kind)
        mixed = np.flatnonzero(needed & (stored < self._data.original_gradient_counts(kind)))
        if mixed.size:
            part, position = self._data.locate(int(mixed[0]))
            raise FeatureError(
                f"the {kind} rows of a structure were reduced, so that single ones are lost",
                where=f"{part.table.label}, structure {position}",
                expected=f"every {kind} row, as references belong to single ones",
                got=f"{stored[mixed[0]]} rows",
                remedy="write the feature store without reducing its rows, or give "
                f"--{kind}-weight 0",
            )

    def present(self, kind: RowKind, needed: Mask) -> Mask:
        """(S,) structures among those needed whose frames have forces, or a stress."""
        found = np.zeros(self._data.n_structures, dtype=bool)
        chosen = np.flatnonzero(needed)
        if chosen.size:
            frames = self._frames.read(chosen)
            for index, frame in zip(chosen.tolist(), frames, strict=True):
                found[index] = self._has(kind, frame)
        return found

    def announce(self, structures: Mask) -> None:
        """Say which structures a pass in the order of the set will need, as a mask of shape (S,).

        Their frames are then read one after the other; frames of others are looked up singly.
        """
        self._announced = structures
        self._sequence = FrameSequence(self._frames, np.flatnonzero(structures))

    def of_block(self, block: GradientBlock, needed: Mask) -> FloatArray:
        """Read the references of gradient rows.

        Parameters
        ----------
        block : GradientBlock
            n rows, whole structures.
        needed : ndarray of bool of shape (n,)

        Returns
        -------
        values : ndarray of shape (n,)
            eV/Å and eV/Å³; 0 where none is needed.

        Raises
        ------
        FeatureError
            If one is absent, misshaped or not finite.
        """
        values = np.zeros(len(block.kind))
        indices, starts = np.unique(block.structure, return_index=True)
        stops = [*starts[1:].tolist(), len(values)]
        for index, start, stop in zip(indices.tolist(), starts.tolist(), stops, strict=True):
            wanted = start + np.flatnonzero(needed[start:stop])
            # An announced frame that is passed over would cost the next one a new start.
            if not (wanted.size or self._announced[index]):
                continue
            frame, where = self._frame(index), self._frames.where(index)
            for kind, code in GRADIENT_KINDS.items():
                rows = wanted[block.kind[wanted] == code]
                if rows.size:
                    values[rows] = self._read(kind, frame, where)[block.place[rows]]
        return values

    @cached_property
    def _frames(self) -> Frames:
        return self._open_frames()

    def _frame(self, index: int) -> bytes:
        if self._sequence is not None and self._announced[index]:
            return self._sequence.read(index)
        return next(self._frames.read([index]))

    def _has(self, kind: RowKind, frame: bytes) -> bool:
        line, name = comment(frame), self.name(kind)
        if kind == "stress":
            return name in comment_values(line, [name])
        return column_layout(line).find(name) is not None

    def _read(self, kind: RowKind, frame: bytes, where: str) -> FloatArray:
        """All references of one kind of a structure, in the order of its rows."""
        name = self.name(kind)
        if kind == "stress":
            return read_stresses(frame, (name, name), where)[0]
        return force_column(frame, name, where).ravel()
