"""The table of an evaluation, and what it says about random selection."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.records import RowKind
from prcli.workflows.calibrate import unit_of
from prcli.workflows.evaluate import Evaluation, LearningCurve
from prcli.workflows.validation_residuals import PLURALS

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Relative difference up to which errors are equal: the same structures in another order.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Verdict:
    """How errors of a curve compare with those of random selections of the same size.

    Attributes
    ----------
    is_better : bool
        Whether the mean RMSE is lower.
    beaten : float
        Share of the random draws whose RMSE is higher.
    """

    is_better: bool
    beaten: float


def evaluation_table(evaluation: Evaluation) -> dict[str, NDArray[np.generic]]:
    """Give the table, a mapping of column names to arrays.

    For every curve and number of added structures it has the means over the draws, and their
    standard deviations, nan for a single draw. The columns of forces are there if forces were
    measured. `beats_random` says whether the mean error is below that of random selections,
    `random_beaten` what share of the random draws is worse; both are empty where there is
    nothing to compare.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    table : dict of column to array
    """
    rows = [row for curve in evaluation.curves for row in _rows(evaluation, curve)]
    return {name: _column([row[name] for row in rows]) for name in rows[0]}


def _rows(evaluation: Evaluation, curve: LearningCurve) -> Iterator[dict[str, object]]:
    compared = {kind: _compare(evaluation, curve, kind) for kind in curve.errors}
    for g, n_added in enumerate(curve.n_added):
        row: dict[str, object] = {"strategy": curve.name, "n_added": int(n_added)}
        for kind, errors in curve.errors.items():
            row |= {
                f"rmse_{kind}": mean(errors.rmse[g]),
                f"rmse_{kind}_std": spread(errors.rmse[g]),
                f"mae_{kind}": mean(errors.mae[g]),
                f"mae_{kind}_std": spread(errors.mae[g]),
            }
        row |= {
            "target_pr_mean": mean(curve.target_pr[g]),
            "target_pr_mean_std": spread(curve.target_pr[g]),
        }
        for kind, found in compared.items():
            suffix = "" if kind == "energy" else f"_{kind}"
            verdict = found[g]
            row |= {
                f"beats_random{suffix}": None if verdict is None else verdict.is_better,
                f"random_beaten{suffix}": None if verdict is None else verdict.beaten,
            }
        row |= {
            "n_runs": int(np.count_nonzero(~np.isnan(curve.target_pr[g]))),
            "n_atoms_added": mean(curve.n_atoms[g]),
            "energy_unit": unit_of("energy", evaluation.record),
        }
        yield row


def lowest_error(evaluation: Evaluation) -> str:
    """Say which curve has the lowest mean error of energies, and after how many structures."""
    rmse, n_added, name = min(
        (mean(curve.errors["energy"].rmse[g]), int(n_added), curve.name)
        for curve in evaluation.curves
        for g, n_added in enumerate(curve.n_added)
    )
    unit = unit_of("energy", evaluation.record)
    return f"lowest RMSE of energies {rmse:.6g} {unit}, {name} with {n_added} added"


def mean(values: FloatArray) -> float:
    """Give the mean over the draws that there are."""
    return float(np.mean(values[~np.isnan(values)]))


def spread(values: FloatArray) -> float:
    """Give the standard deviation over the draws that there are; nan of a single one."""
    known = values[~np.isnan(values)]
    # From the first one, so that equal draws have no spread at all.
    return float(np.std(known - known[0], ddof=1)) if len(known) > 1 else float("nan")


def _compare(evaluation: Evaluation, curve: LearningCurve, kind: RowKind) -> list[Verdict | None]:
    """Compare a curve with random selections: is it better, and than what share of the draws."""
    random = evaluation.random
    verdicts: list[Verdict | None] = [None] * len(curve.n_added)
    if random is None or random is curve:
        return verdicts
    draws = dict(zip(random.n_added.tolist(), random.errors[kind].rmse, strict=True))
    for g, n_added in enumerate(curve.n_added.tolist()):
        if n_added == 0 or n_added not in draws:
            continue
        mine, theirs = mean(curve.errors[kind].rmse[g]), draws[n_added]
        theirs = theirs[~np.isnan(theirs)]
        limit = mine * (1.0 + _EQUAL)
        verdicts[g] = Verdict(limit < mean(theirs), float(np.mean(theirs > limit)))
    return verdicts


def say_comparison(evaluation: Evaluation) -> None:
    """Say for every curve whether, and where, it does better than random selections."""
    random = evaluation.random
    if random is None:
        logger.info("there is no random selection to compare with")
        return
    for curve in evaluation.curves:
        if curve is not random:
            for kind in curve.errors:
                _say_curve(evaluation, curve, random, kind)
            _say_atoms(curve, random)


def _say_curve(
    evaluation: Evaluation, curve: LearningCurve, random: LearningCurve, kind: RowKind
) -> None:
    """Say how one curve compares; what does not beat random is a warning."""
    compared = zip(curve.n_added.tolist(), _compare(evaluation, curve, kind), strict=True)
    found = {n_added: each for n_added, each in compared if each is not None}
    if not found:
        logger.info("%s and %s share no number of added structures", curve.name, random.name)
        return
    behind = [n_added for n_added, verdict in found.items() if not verdict.is_better]
    what = f"errors of {PLURALS[kind]}"
    if behind:
        logger.warning(
            "%s does not beat %s in %s at %d of %d numbers of structures added: RMSE %s",
            curve.name,
            random.name,
            what,
            len(behind),
            len(found),
            "; ".join(_pair(evaluation, curve, random, kind, n_added) for n_added in behind),
        )
        return
    weakest = min(verdict.beaten for verdict in found.values())
    logger.info(
        "%s beats the mean of %s in %s at every number of structures added, and %s of its draws",
        curve.name,
        random.name,
        what,
        "every one" if weakest == 1.0 else f"at least {100.0 * weakest:.0f} %",
    )


def _say_atoms(curve: LearningCurve, random: LearningCurve) -> None:
    """Say how many atoms the same number of structures holds, since these are what costs."""
    shared = np.intersect1d(curve.n_added, random.n_added)
    if not shared[-1]:
        return
    mine, theirs = (
        mean(each.n_atoms[int(np.argmax(each.n_added == shared[-1]))]) for each in (curve, random)
    )
    if mine != theirs:
        logger.info(
            "%d structures of %s hold %.6g atoms, those of %s %.6g",
            shared[-1],
            curve.name,
            mine,
            random.name,
            theirs,
        )


def _pair(
    evaluation: Evaluation,
    curve: LearningCurve,
    random: LearningCurve,
    kind: RowKind,
    n_added: int,
) -> str:
    """Both errors at one number of added structures."""
    mine, theirs = (
        each.errors[kind].rmse[int(np.argmax(each.n_added == n_added))] for each in (curve, random)
    )
    scatter = f" ± {spread(theirs):.2g}" if np.count_nonzero(~np.isnan(theirs)) > 1 else ""
    return (
        f"{mean(mine):.4g} against {mean(theirs):.4g}{scatter} {unit_of(kind, evaluation.record)} "
        f"at {n_added}"
    )


def _column(values: list[object]) -> NDArray[np.generic]:
    """Numbers as numbers, anything else as it is."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
