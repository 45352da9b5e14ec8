"""Last-layer ensembles: predictions of every member, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.ensemble import draw, sample_weights, spread
from prcli.records import Progress, no_progress
from prcli.workflows.ensemble_options import EnsembleOptions, alpha_for, check_weights
from prcli.workflows.frames import Frames
from prcli.workflows.model import full_factor, row_form, warn_about_descriptors
from prcli.workflows.predictions import Predictions, open_predictions
from prcli.workflows.rows import BLOCK_BYTES, EnergyRows, RowForm
from prcli.workflows.score import check_scorable, row_blocks, row_offsets, warn_of_missing
from prcli.workflows.scores import Per

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What the members of an ensemble predict.

    Attributes
    ----------
    per : {"structure", "atom", "force", "stress"}
        Total energies of structures and energies of atoms in eV, forces in eV/Å, stresses in
        eV/Å³; components in the order of the rows.
    predicted : ndarray of shape (n,) or None
        Predictions of the model; None where only deviations were asked for.
    sigma : ndarray of shape (n,)
        Standard deviations α/√PR, exact and not estimated from the members.
    deviations : ndarray of shape (n, M)
        What members predict, minus what the model predicts.
    species : ndarray of shape (n,) or None
        Atomic numbers of the atoms, where they are known.
    """

    per: Per
    predicted: FloatArray | None
    sigma: FloatArray
    deviations: FloatArray
    species: NDArray[np.uint8] | None = None

    @property
    def members(self) -> FloatArray:
        """(n, M) what members predict; their deviations where predictions are not known."""
        if self.predicted is None:
            return self.deviations
        return self.predicted[:, np.newaxis] + self.deviations


class Sampler:
    """The members of an ensemble, ready to predict rows.

    Parameters
    ----------
    record : HessianRecord
        Calibrated, unless the options say by what factor.
    options : EnsembleOptions

    Attributes
    ----------
    form : RowForm
        How features become rows: those of total energies, whatever the Hessian was built of.
    alpha : float
        In the unit of the Hessian's rows. σ of a total energy is α/√PR of its own row.

    Raises
    ------
    RequestError
        If there is no calibration factor.
    MismatchError
        If weights do not fit the Hessian.
    """

    def __init__(self, record: HessianRecord, options: EnsembleOptions) -> None:
        if options.weights is not None:
            check_weights(options.weights, record, "weights")
        self.options = options
        self.alpha = alpha_for(record, options)
        self.form: RowForm = replace(row_form(record), energy="total")
        self._factor = full_factor(record)
        self._draws = draw(options.n_members, record.n_columns, options.seed)

    def predict(self, rows: FloatArray) -> FloatArray | None:
        """Predictions (n,) by the weights of the model, where they are known."""
        weights = self.options.weights
        return None if weights is None else rows @ weights

    def spread(
        self, rows: FloatArray, members: slice = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        """Give σ (n,) and the deviations of some members; `rows` are overwritten."""
        return spread(rows, self._factor, self._draws[members], self.alpha, overwrite=True)

    def weights(self) -> FloatArray:
        """Weights of every member, shape (M, D'); without those of the model, their changes."""
        weights = self.options.weights
        if weights is None:
            weights = np.zeros(self.form.n_columns)
        return sample_weights(weights, self._factor, self._draws, self.alpha)


def ensemble(
    record: HessianRecord,
    data: Dataset,
    options: EnsembleOptions | None = None,
    open_frames: Callable[[], Frames] | None = None,
    progress: Progress = no_progress,
) -> Ensemble:
    """Predict every row of a set by every member; all of it is held in memory.

    Parameters
    ----------
    record : HessianRecord
    data : Dataset
        For forces and stresses, structures without such rows are passed over.
    options : EnsembleOptions, optional
    open_frames : callable, optional
        Opens the structure files of the set, where predictions are in them.
    progress : callable

    Returns
    -------
    ensemble : Ensemble

    Raises
    ------
    PrcliError
        If the set does not fit the Hessian, predictions are not found, or there is no
        calibration factor.
    """
    options = options or EnsembleOptions()
    check_scorable(record, data, options.per)
    sampler = Sampler(record, options)
    n_rows = int(row_offsets(data, options.per)[-1])
    blocks = []
    done = 0
    for block in member_blocks(sampler, data, open_frames or (lambda: Frames(data))):
        blocks.append(block)
        done += len(block.sigma)
        progress("ensemble", done, n_rows)
    return _joined(blocks)


def member_blocks(
    sampler: Sampler,
    data: Dataset,
    open_frames: Callable[[], Frames],
    *,
    with_predicted: bool = True,
) -> Iterator[Ensemble]:
    """Predict the rows of a set, some at a time and in order.

    Parameters
    ----------
    sampler : Sampler
    data : Dataset
        It was checked with `check_scorable`.
    open_frames : callable
    with_predicted : bool
        False where deviations alone will do.

    Yields
    ------
    block : Ensemble
    """
    options = sampler.options
    warn_about_descriptors(data)
    warn_of_missing(data, options.per)
    with_predicted = with_predicted and not options.deviations
    predictions: Predictions | None = None
    if options.weights is None and with_predicted:
        predictions = open_predictions(data, options.per, options.keys, open_frames)
    # Blocks of few features have many rows, and members may be more than features.
    height = max(1, BLOCK_BYTES // (8 * options.n_members))
    for rows, species in row_blocks(data, sampler.form, options.per):
        for start in range(0, len(rows), height):
            piece = rows[start : start + height]
            predicted = sampler.predict(piece) if with_predicted else None
            if predictions is not None:
                predicted = predictions.take(len(piece))
            sigma, deviations = sampler.spread(piece)
            numbers = None if species is None else species[start : start + height]
            yield Ensemble(options.per, predicted, sigma, deviations, numbers)


def energies(
    sampler: Sampler, data: Dataset, indices: NDArray[np.intp], members: slice
) -> tuple[FloatArray | None, FloatArray]:
    """Predict the total energies of some structures by some members.

    Parameters
    ----------
    sampler : Sampler
    data : Dataset
    indices : ndarray of int of shape (k,)
        Positions in the set, ascending.
    members : slice
        Of n members.

    Returns
    -------
    predicted : ndarray of shape (k,) or None
        By the weights of the model, where they are known; eV.
    deviations : ndarray of shape (k, n)
        eV.
    """
    source = EnergyRows(data, sampler.form)
    predicted: list[FloatArray] = []
    deviations: list[FloatArray] = []
    done = 0
    while done < len(indices):
        first = int(indices[done])
        stop = int(np.searchsorted(indices, first + sampler.form.block_rows))
        chosen = indices[done:stop]
        rows = source.read(first, int(chosen[-1]) + 1)[chosen - first]
        values = sampler.predict(rows)
        if values is not None:
            predicted.append(values)
        deviations.append(sampler.spread(rows, members)[1])
        done = stop
    return np.concatenate(predicted) if predicted else None, np.concatenate(deviations)


def _joined(blocks: list[Ensemble]) -> Ensemble:
    """Put blocks together."""
    predicted = [block.predicted for block in blocks if block.predicted is not None]
    species = [block.species for block in blocks if block.species is not None]
    return Ensemble(
        blocks[0].per,
        np.concatenate(predicted) if predicted else None,
        np.concatenate([block.sigma for block in blocks]),
        np.concatenate([block.deviations for block in blocks]),
        np.concatenate(species) if len(species) == len(blocks) else None,
    )
