"""Predictions of a model, read in the order of the rows that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import atom_column
from prcli.data.dataset import Dataset
from prcli.errors import ExpressionError, FeatureError
from prcli.workflows.ensemble_options import PredictedKeys
from prcli.workflows.frames import Frames
from prcli.workflows.residuals import read_stresses
from prcli.workflows.scores import Per
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import place_of, read_numbers

FloatArray = NDArray[np.float64]

_REMEDY = "name them with {option}, give --weights, or take --deviations alone"


class Predictions:
    """Predictions that are taken some rows at a time; frames are read as they are needed.

    Parameters
    ----------
    runs : iterator of ndarray
        One after the other, they hold the predictions of all rows.
    """

    def __init__(self, runs: Iterator[FloatArray]) -> None:
        self._runs = runs
        self._rest: FloatArray = np.empty(0)

    def take(self, n_rows: int) -> FloatArray:
        """Give the next predictions."""
        pieces = [self._rest]
        n_held = len(self._rest)
        while n_held < n_rows:
            pieces.append(next(self._runs))
            n_held += len(pieces[-1])
        values: FloatArray = np.concatenate(pieces)
        self._rest = values[n_rows:]
        return values[:n_rows]


def open_predictions(
    data: Dataset, per: Per, keys: PredictedKeys, open_frames: Callable[[], Frames]
) -> Predictions:
    """Find the predictions of all rows of a kind.

    Parameters
    ----------
    data : Dataset
    per : {"structure", "atom", "force", "stress"}
    keys : PredictedKeys
    open_frames : callable
        Opens the structure files, where predictions are in them.

    Returns
    -------
    predictions : Predictions

    Raises
    ------
    FeatureError
        If energies are absent or not finite. Those of atoms, forces and stresses are looked at
        when they are taken.
    """
    if per == "structure":
        columns = StructureColumns(data, open_frames)
        return Predictions(iter([total_energies(data, columns, keys.predicted)]))
    counts = data.n_atoms if per == "atom" else data.gradient_counts(per)
    return Predictions(_frame_values(np.flatnonzero(counts), per, keys.of(per), open_frames()))


def total_energies(data: Dataset, columns: StructureColumns, key: str) -> FloatArray:
    """Read the predicted total energy of every structure, shape (S,), eV.

    Raises
    ------
    FeatureError
        If one is absent or not finite.
    """
    remedy = _REMEDY.format(option="--predicted")
    try:
        columns.fetch([key])
    except ExpressionError as error:
        raise FeatureError(
            f"predicted energies {key!r} are not found",
            where=data.label if error.where is None else error.where,
            expected=error.expected,
            remedy=remedy,
        ) from error
    values, _ = read_numbers(data, columns, key)
    lacking = np.flatnonzero(~np.isfinite(values))
    if lacking.size:
        raise FeatureError(
            "a predicted energy is absent or not finite",
            where=place_of(data, int(lacking[0]), key),
            expected="a finite number, eV",
            got=f"{values[lacking[0]]}, as for {len(lacking)} of {len(values)} structures",
            remedy=remedy,
        )
    return values


def _frame_values(
    indices: NDArray[np.intp], per: Per, key: str, frames: Frames
) -> Iterator[FloatArray]:
    """Give the values of some structures, frame by frame."""
    for index, frame in zip(indices.tolist(), frames.read(indices), strict=True):
        try:
            yield _values(frame, per, key, frames.where(index))
        except FeatureError as error:
            raise FeatureError(
                error.what,
                where=error.where,
                expected=error.expected,
                got=error.got,
                remedy=_REMEDY.format(option=f"--{per}-predicted"),
            ) from error


def _values(frame: bytes, per: Per, key: str, where: str) -> FloatArray:
    """Read the predictions of one structure."""
    if per == "stress":
        return read_stresses(frame, (key, key), where)[0]
    width = 1 if per == "atom" else 3
    values: FloatArray = atom_column(frame, key, where)
    if values.shape[1] != width or not np.isfinite(values).all():
        raise FeatureError(
            f"column {key!r} does not hold finite predictions",
            where=where,
            expected=f"{width} finite numbers per atom",
            got=f"{values.shape[1]} per atom",
        )
    return values.ravel()
