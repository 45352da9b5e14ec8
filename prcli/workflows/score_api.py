"""Scores from Python."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.records import Progress, Reduction, no_progress
from prcli.workflows import score as scoring
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.inputs import InputOptions, load_hessian, open_inputs
from prcli.workflows.model import warn_about_zero
from prcli.workflows.prior import PriorChoice
from prcli.workflows.relative import Relation, RelativeOptions, mean_of_first, mean_rigidity
from prcli.workflows.score_request import input_sets
from prcli.workflows.scores import ScorePer, Scores


def score(
    hessian: str | Path | HessianRecord,
    data: DataSet,
    *,
    per: ScorePer = "structure",
    relative_to: DataSet | None = None,
    window: int | None = None,
    threshold: float | None = None,
    scale: str | float | None = None,
    regularizer: float | str | None = None,
    energy_weight: float | None = None,
    force_weight: float | None = None,
    stress_weight: float | None = None,
    reduction: Reduction | None = None,
    prior: PriorChoice | None = None,
    inputs: InputOptions | None = None,
    progress: Progress = no_progress,
) -> Scores:
    """Compute the rigidity of every structure, atom, force, stress or component of a data set.

    Parameters
    ----------
    hessian : path or HessianRecord
    data : path, Features, ndarray of shape (S, D), or several
    per : {"structure", "atom", "force", "stress", "component", "atom-component"}
        PR of structures, LPR of atoms, PR of every component of forces or stresses, or CPR of
        structures or LCPR of atoms of every named block of features.
    relative_to : path, Features, ndarray of shape (S, D), several, or "first", optional
        Relate rigidities of structures or atoms to the mean of this set, such as the test set of
        the model, or of the first frame of `data`: `Scores.relative` says how.
    window : int, optional
        Also average relative rigidities over so many frames, one and those before it.
    threshold : float, optional
        Also find the first frame of relative rigidity, or of its average, below this.
    scale, regularizer, energy_weight, force_weight, stress_weight, reduction, prior : optional
        In place of what the Hessian stores.
    inputs : InputOptions, optional
    progress : callable, optional

    Returns
    -------
    scores : Scores

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    relation = _relative_options(relative_to, window, threshold)
    if relation is not None:
        relation.check(per)
    options = HessianOptions(
        scale=scale,
        regularizer=regularizer,
        energy_weight=energy_weight,
        force_weight=force_weight,
        stress_weight=stress_weight,
        reduction=reduction,
        prior=prior,
    )
    record = override(load_hessian(hessian), options)
    wanted = input_sets(as_tuple(data), per, relation)
    with ExitStack() as stack:
        opened = open_inputs(wanted, inputs, records=[record], progress=progress)
        for each in opened:
            stack.enter_context(each)
        if relation is None:
            return scoring.score(record, opened[0], per, progress)
        relation.check(per, opened[0].n_structures)
        for each in opened:
            scoring.check_scorable(record, each, per)
        warn_about_zero(record, per)
        scores = scoring.score_rows(record, opened[0], per, progress)
        mean = _reference_mean(record, scores, opened, per)
        return replace(scores, relative=Relation(relation, mean).relate(scores))


def _relative_options(
    relative_to: DataSet | None, window: int | None, threshold: float | None
) -> RelativeOptions | None:
    """Say what rigidities are related to; None where they are not."""
    if relative_to is not None:
        return RelativeOptions(as_tuple(relative_to), window, threshold)
    for name, value in (("window", window), ("threshold", threshold)):
        if value is not None:
            raise RequestError(
                f"{name} is for relative rigidities", got=str(value), remedy="give relative_to"
            )
    return None


def _reference_mean(
    record: HessianRecord, scores: Scores, opened: list[Dataset], per: ScorePer
) -> float:
    """Mean rigidity of the reference, or of the first frame where there is no other."""
    data, *references = opened
    if not references:
        return mean_of_first(scores, data.label)
    (reference,) = references
    return mean_rigidity(scoring.score_rows(record, reference, per), reference.label)
