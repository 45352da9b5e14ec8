"""Run the strategies that a user wants to see compared, on the same terms."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.records import Holding, Progress
from prcli.workflows.candidate_rows import Weights
from prcli.workflows.evaluate_options import EvaluateOptions
from prcli.workflows.evaluate_selections import Curve
from prcli.workflows.expressions import parse_expression, where
from prcli.workflows.said_once import said_once
from prcli.workflows.select import select
from prcli.workflows.select_checks import check_enough
from prcli.workflows.select_options import SelectOptions, Strategy
from prcli.workflows.structure_columns import StructureColumns

Mask = NDArray[np.bool_]


def select_options(
    options: EvaluateOptions, strategy: Strategy = "pr", seed: int = 0
) -> SelectOptions:
    """How a strategy selects; where none is run, how targets are meant."""
    return SelectOptions(
        n_to_select=1 if options.n_to_select is None else options.n_to_select,
        objective=options.objective,
        strategy=strategy,
        target_per=options.target_per,
        exclude_train=options.exclude_train,
        seed=seed,
    )


def candidate_masks(
    pool: Dataset, columns: StructureColumns, filter_text: str | None, options: EvaluateOptions
) -> tuple[Mask, dict[str, Mask]]:
    """Find out which candidates may be picked.

    Parameters
    ----------
    pool : Dataset
    columns : StructureColumns
        Of the same set.
    filter_text : str or None
        Filter for all strategies.
    options : EvaluateOptions

    Returns
    -------
    allowed : ndarray of bool of shape (C,)
    filtered : dict of text to ndarray of bool of shape (C,)
        Those among which further random selections are made, by filter.

    Raises
    ------
    RequestError
        If they are fewer than shall be picked.
    """
    general = () if filter_text is None else (filter_text,)
    expressions = {text: parse_expression(text) for text in (*general, *options.random_where)}
    columns.fetch(sorted({name for each in expressions.values() for name in each.names}))
    passing = {text: where(each, columns) for text, each in expressions.items()}
    allowed = np.ones(pool.n_structures, dtype=bool)
    for text in general:
        allowed &= passing[text]
    filtered = {text: allowed & passing[text] for text in options.random_where}
    for mask in (*([allowed] if options.strategies else ()), *filtered.values()):
        check_enough(pool, int(np.count_nonzero(mask)), select_options(options))
    return allowed, filtered


def run_strategies(
    record: HessianRecord,
    pool: Dataset,
    target: Dataset,
    options: EvaluateOptions,
    allowed: Mask,
    filtered: Mapping[str, Mask],
    weights: Weights | None,
    holding: Holding,
    progress: Progress,
) -> tuple[Curve, ...]:
    """Select by every strategy.

    Parameters
    ----------
    record : HessianRecord
        Of the base training set.
    pool, target : Dataset
    options : EvaluateOptions
    allowed : ndarray of bool of shape (C,)
        Candidates that may be picked.
    filtered : mapping of text to ndarray of bool of shape (C,)
        Those among which further random selections are made, by filter.
    weights : Weights or None
        Of the rows of the candidates.
    holding : Holding
        What a greedy search keeps in memory.
    progress : callable

    Returns
    -------
    curves : tuple of Curve
    """

    def picks(strategy: Strategy, seed: int, mask: Mask) -> NDArray[np.int64]:
        chosen = select_options(options, strategy, seed)
        return select(
            record,
            pool,
            target,
            chosen,
            allowed=mask,
            weights=weights,
            holding=holding,
            progress=progress,
        ).indices

    curves: list[Curve] = []
    seeds = range(options.seed, options.seed + options.n_seeds)
    with said_once(logging.WARNING):
        for strategy in options.strategies:
            draws = seeds if strategy == "random" else seeds[:1]
            found = tuple(picks(strategy, seed, allowed) for seed in draws)
            curves.append(Curve(strategy, found, is_random=strategy == "random"))
        for text, mask in filtered.items():
            found = tuple(picks("random", seed, mask) for seed in seeds)
            curves.append(Curve(f"random[{text}]", found))
    return tuple(curves)
