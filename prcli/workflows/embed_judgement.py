"""What small structures gain, together with the crystal and alone, and which are chosen."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.records import Progress
from prcli.wording import counted
from prcli.workflows.embed_features import LargeFeatures, Model
from prcli.workflows.embed_gains import (
    Described,
    Gains,
    centre_rows,
    choose,
    describe_small,
    row_of_mean,
)
from prcli.workflows.embedding import Embedding, SmallStructure

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Relative change of the features of the atom in question that is more than rounding.
CHANGED = 1e-4


def judged(
    embedding: Embedding, model: Model, large: LargeFeatures, progress: Progress
) -> Embedding:
    """Add what the small structures gain, rank them, and choose among them.

    Parameters
    ----------
    embedding : Embedding
        Without gains.
    model : Model
    large : LargeFeatures
        Of its large structure.
    progress : callable

    Returns
    -------
    embedding : Embedding
    """
    structure, centres = embedding.structure, embedding.centres
    features = large.of_atoms(centres)
    rows = centre_rows(model, features, structure.atoms.numbers[list(centres)])
    references = dict(zip(centres, features, strict=True))
    described = [
        _described(embedding, model, small, i, progress) for i, small in enumerate(embedding.small)
    ]
    judge = _Judge(model, dict(zip(centres, rows, strict=True)), embedding.small, described)
    small = [
        judge.judged(each, what, references)
        for each, what in zip(embedding.small, described, strict=True)
    ]
    _say_changes(small, references, embedding.geometry.cutoff)
    order = sorted(range(len(small)), key=lambda i: -(small[i].gain or 0.0))
    for rank, i in enumerate(order, 1):
        small[i] = replace(small[i], rank=rank)
    if embedding.request.choice.n_to_choose is not None:
        order = _choose(embedding, model, rows, described, small)
    whole = None
    # With forces the structure would add so many rows that they are not computed for comparison.
    if large.mean is not None and not model.kinds:
        row = row_of_mean(model, large.mean, structure.atoms, structure.where)
        whole = judge.mean_gain(row)
    return replace(
        embedding,
        lpr=judge.lpr,
        small=tuple(small[i] for i in order),
        whole_gain=whole,
    )


def _described(
    embedding: Embedding, model: Model, small: SmallStructure, done: int, progress: Progress
) -> Described:
    """Describe one small structure."""
    if small.template is None:
        assert embedding.crystal is not None
        result = describe_small(model, embedding.crystal.atoms, embedding.crystal.where)
    else:
        where = f"{embedding.structure.where}, atom {small.centre}, {small.name}, draw {small.draw}"
        result = describe_small(model, small.template.atoms, where)
    progress("describe", done + 1, len(embedding.small))
    return result


class _Judge:
    """Gains of small structures, with the crystal and without."""

    def __init__(
        self,
        model: Model,
        rows: dict[int, FloatArray],
        small: tuple[SmallStructure, ...],
        described: list[Described],
    ) -> None:
        crystals = [
            what.rows for each, what in zip(small, described, strict=True) if each.name == "crystal"
        ]
        self._alone = {centre: Gains(model, row) for centre, row in rows.items()}
        self._crystal = crystals[0] if crystals else None
        self._beside = (
            {centre: Gains(model, row, crystals) for centre, row in rows.items()}
            if crystals
            else {}
        )
        self.lpr = {centre: gains.lpr for centre, gains in self._alone.items()}

    def mean_gain(self, rows: FloatArray) -> float:
        """Mean gain of all atoms in question."""
        return float(np.mean([gains.of(rows) for gains in self._alone.values()]))

    def judged(
        self, small: SmallStructure, described: Described, references: dict[int, FloatArray]
    ) -> SmallStructure:
        """Add gains, and how much features have changed."""
        if small.centre is None:
            gain = self.mean_gain(described.rows)
            return replace(small, gain=gain, gain_alone=gain)
        alone = self._alone[small.centre].of(described.rows)
        gain = alone
        if small.name == "high-symmetry" and self._crystal is not None:
            first = self._alone[small.centre].of(self._crystal)
            second = self._beside[small.centre].of(described.rows)
            gain = first + second + first * second
        change = float(np.linalg.norm(described.first - references[small.centre]))
        return replace(small, gain=gain, gain_alone=alone, feature_change=change)


def _say_changes(
    small: list[SmallStructure], references: dict[int, FloatArray], cutoff: float
) -> None:
    """Say how far the features of the atoms in question are what they were."""
    changes = [
        (each.feature_change / np.linalg.norm(references[each.centre]), each)
        for each in small
        if each.feature_change is not None and each.centre is not None
    ]
    relative, worst = max(changes, key=lambda pair: pair[0])
    logger.info(
        "features of the atoms in question: changed by at most %.1e, %.1e of their norm",
        worst.feature_change,
        relative,
    )
    if relative > CHANGED:
        logger.warning(
            "the features of atom %s are %.2g %% off in %s, draw %d: the featurizer sees farther "
            "than %g angstrom; give a larger --cutoff, or take gains with care",
            worst.centre,
            100.0 * relative,
            worst.name,
            worst.draw,
            cutoff,
        )


def _choose(
    embedding: Embedding,
    model: Model,
    targets: FloatArray,
    described: list[Described],
    small: list[SmallStructure],
) -> list[int]:
    """Choose greedily; note the picks and give the positions of what was chosen."""
    result = choose(model, targets, [each.rows for each in described], embedding.request.choice)
    for number, pick in enumerate(result.picks, 1):
        small[pick.index] = replace(small[pick.index], pick=number, picked_lpr=pick.pr_min)
    logger.info(
        "%s chosen; stopped by --%s",
        counted(len(result.picks), "structure"),
        result.stopped.replace("n_to_select", "choose").replace("_", "-"),
    )
    return [pick.index for pick in result.picks]
