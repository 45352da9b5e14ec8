"""Audit of a selection: what the other strategies reach, and where more picks stop to pay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.report.learning_curve_plot import CurvePanel, PlottedCurve, learning_curve_figure
from prcli.workflows.plots import Drawing
from prcli.workflows.said_once import said_once
from prcli.workflows.select_options import SelectOptions, Strategy
from prcli.workflows.selection import Selection

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Gain of a pick, as a share of the first one's, below which picks hardly pay.
SMALL_GAIN = 0.01

#: The figure, without ending.
PLOTS = ("audit",)

#: Columns of the table, stable between versions.
COLUMNS = (
    "strategy",
    "n_added",
    "objective",
    "objective_std",
    "objective_share",
    "gain_share",
    "target_pr_mean",
    "target_pr_mean_std",
    "target_pr_min",
    "n_runs",
    "n_atoms_added",
)


@dataclass(frozen=True, eq=False)
class AuditedStrategy:
    """What the picks of one strategy do; the first entry of every array is before any pick.

    Attributes
    ----------
    name : str
    n_atoms : ndarray of shape (G, n_runs)
        Atoms of the structures picked so far.
    objective : ndarray of shape (G, n_runs)
    gain : ndarray of shape (G, n_runs)
        Of the pick that led there; nan before any pick.
    pr_mean, pr_min : ndarray of shape (G, n_runs)
        Rigidities of the targets; nan without targets. All numbers are nan where a selection
        has ended.
    """

    name: str
    n_atoms: FloatArray
    objective: FloatArray
    gain: FloatArray
    pr_mean: FloatArray
    pr_min: FloatArray

    @property
    def objective_share(self) -> FloatArray:
        """(G,) what has been gained of all that the selection gains, from 0 to 1."""
        values = _mean(self.objective)
        gained = values[-1] - values[0]
        with np.errstate(invalid="ignore"):
            return np.asarray((values - values[0]) / (gained if gained else np.nan))

    @property
    def gain_share(self) -> FloatArray:
        """(G,) gain of each pick relative to that of the first; nan before any pick."""
        gains = _mean(self.gain)
        first = gains[1] if len(gains) > 1 and gains[1] > 0.0 else np.nan
        return np.asarray(gains / first)

    @property
    def pays_until(self) -> int | None:
        """Picks after which every one gains less than 1 % of the first; None if the last pays."""
        return saturation(_mean(self.gain)[1:])


@dataclass(frozen=True, eq=False)
class Audit:
    """A selection beside those of the other strategies.

    Attributes
    ----------
    options : SelectOptions
        Of the selection that is audited.
    strategies : tuple of AuditedStrategy
        The audited one first.
    """

    options: SelectOptions
    strategies: tuple[AuditedStrategy, ...]

    def table(self) -> dict[str, NDArray[np.generic]]:
        """Give the table, a mapping of `COLUMNS` to arrays: a row per strategy and number."""
        tables = [_table(each) for each in self.strategies]
        return {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}

    def figures(self) -> dict[str, Drawing]:
        """Name the figures, each to be drawn when asked for."""
        panels = [
            CurvePanel(self.options.objective, [_plotted(e, e.objective) for e in self.strategies])
        ]
        if not np.isnan(self.strategies[0].pr_mean).all():
            means = [_plotted(each, each.pr_mean) for each in self.strategies]
            panels.append(CurvePanel("mean PR of the targets", means))
        audited = self.strategies[0]
        shares = audited.objective_share
        share = PlottedCurve(
            audited.name, np.arange(len(shares)), shares, np.full(len(shares), np.nan)
        )
        panels.append(CurvePanel(f"share of what {audited.name} gains", [share]))
        return {PLOTS[0]: lambda: learning_curve_figure(panels)}


def check_audit(n_seeds: int) -> None:
    """Refuse, before long work, what cannot be audited.

    Raises
    ------
    RequestError
        If there is no draw.
    """
    if n_seeds < 1:
        raise RequestError("--audit-seeds must be at least 1", got=str(n_seeds))


def audit(
    selection: Selection,
    n_atoms: NDArray[np.integer],
    again: Callable[[SelectOptions], Selection],
    n_seeds: int = 10,
    progress: Progress = no_progress,
) -> Audit:
    """Select by every strategy on the same terms, and say how they compare.

    Parameters
    ----------
    selection : Selection
        That is audited.
    n_atoms : ndarray of shape (C,)
        Of the pool.
    again : callable
        Selects from the same pool, for the same targets, by other options.
    n_seeds : int
        Draws of the random strategy, averaged.
    progress : callable

    Returns
    -------
    audit : Audit
    """
    check_audit(n_seeds)
    own = selection.options
    names: list[Strategy] = [own.strategy]
    names += [name for name in get_args(Strategy) if name != own.strategy]
    audited: list[AuditedStrategy] = []
    with said_once(logging.WARNING):
        for number, name in enumerate(names):
            n_draws = n_seeds if name == "random" else 1
            wanted = [replace(own, strategy=name, seed=own.seed + draw) for draw in range(n_draws)]
            runs = [selection if each == own else again(each) for each in wanted]
            audited.append(_audited(name, runs, n_atoms))
            progress("audit", number + 1, len(names))
    result = Audit(own, tuple(audited))
    _say(result)
    return result


def saturation(gains: FloatArray) -> int | None:
    """Find the pick after which every one gains less than 1 % of the first.

    Parameters
    ----------
    gains : ndarray of shape (n,)

    Returns
    -------
    n_picks : int or None
        How many picks pay; None if the last one still does, so that more might.
    """
    if not len(gains) or not gains[0] > 0.0:
        return 0
    last = int(np.flatnonzero(gains >= SMALL_GAIN * gains[0])[-1])
    return None if last == len(gains) - 1 else last + 1


def _audited(name: str, runs: Sequence[Selection], n_atoms: NDArray[np.integer]) -> AuditedStrategy:
    """Collect the numbers of some selections, the shorter ones filled up with nan."""
    length = 1 + max(len(run.picks) for run in runs)
    columns: dict[str, list[FloatArray]] = {}
    for run in runs:
        before = _rigidities_before(run)
        found = {
            "n_atoms": np.concatenate([[0.0], np.cumsum(n_atoms[run.indices], dtype=np.float64)]),
            "objective": np.array([run.objective_before, *(p.objective for p in run.picks)]),
            "gain": np.array([np.nan, *(pick.gain for pick in run.picks)]),
            "pr_mean": np.array([before[0], *(pick.pr_mean for pick in run.picks)]),
            "pr_min": np.array([before[1], *(pick.pr_min for pick in run.picks)]),
        }
        for key, values in found.items():
            padded = np.pad(values, (0, length - len(values)), constant_values=np.nan)
            columns.setdefault(key, []).append(padded)
    return AuditedStrategy(name, **{key: np.column_stack(each) for key, each in columns.items()})


def _rigidities_before(run: Selection) -> tuple[float, float]:
    """Mean and smallest rigidity of the targets that count, before any pick."""
    counts = np.isfinite(run.target_pr_before) & (run.target_weight > 0.0)
    if not counts.any():
        return float("nan"), float("nan")
    values = run.target_pr_before[counts]
    return float(np.average(values, weights=run.target_weight[counts])), float(values.min())


def _table(each: AuditedStrategy) -> dict[str, NDArray[np.generic]]:
    n_rows = len(each.objective)
    return {
        "strategy": np.array([each.name] * n_rows, dtype=object),
        "n_added": np.arange(n_rows),
        "objective": _mean(each.objective),
        "objective_std": _spread(each.objective),
        "objective_share": each.objective_share,
        "gain_share": each.gain_share,
        "target_pr_mean": _mean(each.pr_mean),
        "target_pr_mean_std": _spread(each.pr_mean),
        "target_pr_min": _mean(each.pr_min),
        "n_runs": np.count_nonzero(~np.isnan(each.n_atoms), axis=1),
        "n_atoms_added": _mean(each.n_atoms),
    }


def _mean(values: FloatArray) -> FloatArray:
    """(G,) means over the runs that there are; nan where there is none."""
    known = ~np.isnan(values)
    sums = np.where(known, values, 0.0).sum(axis=1)
    counts = known.sum(axis=1)
    return np.asarray(np.where(counts, sums / np.maximum(counts, 1), np.nan))


def _spread(values: FloatArray) -> FloatArray:
    """(G,) standard deviations over the runs that there are; nan where there is only one."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    squares = np.where(known, values - _mean(values)[:, np.newaxis], 0.0) ** 2
    variances = squares.sum(axis=1) / np.maximum(counts - 1, 1)
    return np.asarray(np.where(counts > 1, np.sqrt(variances), np.nan))


def _plotted(each: AuditedStrategy, values: FloatArray) -> PlottedCurve:
    return PlottedCurve(each.name, np.arange(len(values)), _mean(values), _spread(values))


def _say(result: Audit) -> None:
    """Put what the table shows into sentences."""
    audited, others = result.strategies[0], result.strategies[1:]
    objective, n_picks = result.options.objective, len(audited.objective) - 1
    reached = float(_mean(audited.objective)[-1])
    for other in others:
        at = min(n_picks, len(other.objective) - 1)
        theirs = float(_mean(other.objective)[at])
        if theirs > reached:
            logger.warning(
                "%s reaches a higher %s than %s with %d structures: %.6g against %.6g",
                other.name,
                objective,
                audited.name,
                at,
                theirs,
                reached,
            )
    pays_until = audited.pays_until
    if pays_until is None:
        # The first of all is no sign of what others would gain.
        if n_picks < 2:
            return
        logger.info(
            "the last of %d picks still gains %.3g %% of the first: more would help",
            n_picks,
            100.0 * float(audited.gain_share[-1]),
        )
        return
    logger.info(
        "after %d of %d picks, each gains less than %g %% of the first; %.4g %% of the gain in %s "
        "is reached there",
        pays_until,
        n_picks,
        100.0 * SMALL_GAIN,
        100.0 * float(audited.objective_share[pays_until]) if n_picks else 100.0,
        objective,
    )
