"""What small structures do for the rigidity of the atoms that they were made for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.gradients import FORCE, STRESS
from prcli.errors import FeatureError, RequestError
from prcli.numerics.block_effects import at_most_square, block_effect
from prcli.numerics.block_selection import block_selection
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.greedy import GreedyResult, greedy_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.rigidity import whiten
from prcli.numerics.row_source import ArrayRows
from prcli.numerics.rows import atom_rows
from prcli.workflows.candidate_rows import CandidateRows
from prcli.workflows.embed_features import Model
from prcli.workflows.embed_request import ChoiceOptions
from prcli.workflows.model import posterior

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Described:
    """A small structure as a model sees it.

    Attributes
    ----------
    rows : (m, D') array of float64
        Weighted rows that it would add to the Hessian, at most D'.
    first : (D,) array of float64
        Features of its first atom.
    """

    rows: FloatArray
    first: FloatArray


def describe_small(model: Model, atoms: Atoms, where: str) -> Described:
    """Compute the rows that a small structure would add.

    Raises
    ------
    FeatureError
        If it cannot be described.
    """
    kinds = tuple(kind for kind in model.kinds if kind != "stress" or all(atoms.pbc))
    try:
        model.featurizer.check(atoms)
        description = model.featurizer.describe([atoms], kinds)
    except FeatureError as error:
        if error.where is None:
            error.where = where
        raise
    features = np.asarray(description.features, dtype=np.float64)
    parts = [
        (code, part)
        for code, part in ((FORCE, description.forces), (STRESS, description.stress))
        if part is not None
    ]
    gradients = {}
    if parts:
        kind = np.concatenate([np.full(len(part), code) for code, part in parts])
        gradients = {
            "gradients": np.concatenate([part for _, part in parts]),
            "gradient_kind": kind,
            "gradient_structure": np.zeros(len(kind), dtype=np.int64),
        }
    return Described(_weighted(model, features.mean(axis=0), atoms, where, gradients), features[0])


def row_of_mean(model: Model, mean: FloatArray, atoms: Atoms, where: str) -> FloatArray:
    """Give the weighted row, (1, D'), of the energy of a structure by its mean features."""
    return _weighted(model, mean, atoms, where, {})


def _weighted(
    model: Model, mean: FloatArray, atoms: Atoms, where: str, gradients: dict[str, np.ndarray]
) -> FloatArray:
    table = Features(
        structures=mean[np.newaxis],
        n_atoms=[len(atoms)],
        species=atoms.numbers,
        blocks=model.featurizer.blocks,
        label=where,
        **gradients,  # type: ignore[arg-type]
    )
    data = Dataset([Part(table, range(1))], "small")
    return at_most_square(CandidateRows(data, model.record).take(0))


class Gains:
    """Relative growth of the rigidity of one atom as structures are added.

    Parameters
    ----------
    model : Model
    row : (D',) array of float64
        Of the atom.
    before : sequence of (m, D') arrays
        Rows of structures that count as added.

    Raises
    ------
    RequestError
        If the row is zero, so that its rigidity is infinite.
    """

    def __init__(self, model: Model, row: FloatArray, before: Sequence[FloatArray] = ()) -> None:
        if not np.any(row):
            raise RequestError(
                "the features of the atom are all zero: its rigidity is infinite",
                remedy="choose another --atom",
            )
        state: Posterior = posterior(model.record)
        for rows in before:
            state.add(rows)
        self._frame = TargetFrame(state, row[np.newaxis])

    @property
    def lpr(self) -> float:
        """Rigidity of the atom."""
        return float(1.0 / self._frame.v[0])

    def of(self, rows: FloatArray) -> float:
        """LPR with a structure over LPR without, minus 1, to all digits however small."""
        z = whiten(rows, self._frame.factor)
        effect = block_effect(self._frame, OBJECTIVES["mean-pr"], np.ones(1), 0, rows, z)
        return float(effect.gain * self._frame.v[0])


def centre_rows(model: Model, features: FloatArray, numbers: NDArray[np.integer]) -> FloatArray:
    """Rows, (k, D'), of local predictions."""
    return atom_rows(features, intercept=model.record.intercept, species=numbers)


def choose(
    model: Model, targets: FloatArray, candidates: Sequence[FloatArray], options: ChoiceOptions
) -> GreedyResult:
    """Choose greedily the structures that most raise the rigidities of the atoms.

    The objective is the mean of the logarithms, so that relative gains of several atoms count
    alike.

    Parameters
    ----------
    model : Model
    targets : (k, D') array of float64
    candidates : sequence of (m, D') arrays
    options : ChoiceOptions
        With a number to choose.

    Returns
    -------
    result : GreedyResult
    """
    assert options.n_to_choose is not None
    n_to_choose = options.n_to_choose
    objective = OBJECTIVES["mean-log-pr"]
    state = posterior(model.record)
    if all(len(rows) == 1 for rows in candidates):
        rows = ArrayRows(np.concatenate(candidates))
        return greedy_selection(
            state,
            targets,
            rows,
            objective,
            n_to_choose,
            stop_gain=options.stop_gain,
            stop_pr=options.stop_pr,
        )
    blocks = ArrayBlocks.from_blocks(candidates, targets.shape[1])
    return block_selection(
        state,
        targets,
        blocks,
        objective,
        n_to_choose,
        stop_gain=options.stop_gain,
        stop_pr=options.stop_pr,
    )
