"""What a selection will hold, told from what a user typed, before rows are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from prcli.data.dataset import Dataset
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.objectives import OBJECTIVES
from prcli.parallel.plan import SelectionPlan
from prcli.records import RowKind
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.kind_weights import WEIGHT_NAMES
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import count_targets


def counted_kinds(
    options: HessianOptions, train: Sequence[Dataset], records: Sequence[HessianRecord]
) -> tuple[RowKind, ...]:
    """Kinds of gradient row that the loss will count.

    Parameters
    ----------
    options : HessianOptions
    train : sequence of Dataset
        Training sets that are still to be summed.
    records : sequence of HessianRecord
        Finished Hessians.
    """

    def counts(kind: RowKind) -> bool:
        given = options.weights[kind]
        if given is not None:
            return given > 0.0
        stored = [getattr(each, WEIGHT_NAMES[kind]) for each in records if each.n_rows.get(kind)]
        return max(stored) > 0.0 if stored else any(data.has_gradients(kind) for data in train)

    return tuple(kind for kind in GRADIENT_KINDS if counts(kind))


def plan_selection(
    pool: Dataset,
    target: Dataset | None,
    options: SelectOptions,
    kinds: Collection[RowKind],
) -> SelectionPlan:
    """Count what a selection will hold.

    Parameters
    ----------
    pool : Dataset
    target : Dataset or None
    options : SelectOptions
    kinds : collection of {"force", "stress"}
        Kinds of gradient row that the loss counts.
    """
    objective = OBJECTIVES[options.objective]
    n_targets = 0
    if target is not None:
        n_targets = count_targets(target, options.target_per)
    kinds = [kind for kind in kinds if pool.has_gradients(kind)]
    n_rows, n_products = None, 0
    if kinds:
        heights = 1 + sum(pool.gradient_counts(kind) for kind in kinds)
        # Taller blocks are reduced.
        heights = np.minimum(heights, pool.n_features)
        n_rows, n_products = int(heights.sum()), int((heights * heights).sum())
    return SelectionPlan(
        n_candidates=pool.n_structures,
        n_targets=n_targets,
        n_columns=pool.n_features,
        whitens_pool=options.strategy == "pr",
        needs_cross=objective.needs_cross or bool(kinds and objective.needs_targets),
        n_rows=n_rows,
        n_products=n_products,
        n_to_select=options.n_to_select or pool.n_structures,
        stored_bytes=stored_bytes(pool),
        looks_at_few=options.objective == "log-det",
    )


def stored_bytes(data: Dataset) -> int:
    """Bytes of the features that rows of structures are made of, as they are stored."""
    total = 0
    for part in data.parts:
        rows, n_rows = part.table.structures, len(part.positions)
        if rows is None:
            rows, n_rows = part.table.atoms, int(part.select(part.table.n_atoms).sum())
        if rows is not None:
            total += n_rows * rows.shape[1] * rows.dtype.itemsize
    return total
