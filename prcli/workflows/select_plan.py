"""What a selection will hold, told from what a user typed, before rows are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from prcli.data.dataset import Dataset
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.passes import COMPILE_FROM
from prcli.numerics.relaxation import MOST_PASSES
from prcli.parallel.plan import SelectionPlan
from prcli.records import RowKind
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.kind_weights import WEIGHT_NAMES
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import count_targets

#: What the compiler holds after it has compiled the loops of a selection, on top of what any
#: command holds.
_COMPILER = 64 << 20


@dataclass(frozen=True)
class Extent:
    """What a selection is asked for beside the picks of one search.

    Attributes
    ----------
    constraints : ConstraintOptions
    refine : int
        Sweeps of exchanges.
    bound : bool
        Whether the best possible selection is bounded.
    copies_frames : bool
        Whether it is known where every frame of the pool begins.
    has_weights : bool
        Whether candidates have weights of their own.
    n_names : int
        Columns of the pool that are read to filter or to count.
    n_all : int, optional
        Candidates of all ranks, where there are several.
    """

    constraints: ConstraintOptions = field(default_factory=ConstraintOptions)
    refine: int = 0
    bound: bool = False
    copies_frames: bool = False
    has_weights: bool = False
    n_names: int = 0
    n_all: int | None = None


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
    n_columns: int,
    extent: Extent | None = None,
) -> SelectionPlan:
    """Count what a selection will hold.

    Parameters
    ----------
    pool : Dataset
        Candidates that are looked after here.
    target : Dataset or None
    options : SelectOptions
    kinds : collection of {"force", "stress"}
        Kinds of gradient row that the loss counts.
    n_columns : int
        Width of a row, intercepts included.
    extent : Extent, optional
        What is asked for beside that.
    """
    extent = extent or Extent()
    objective = OBJECTIVES[options.objective]
    searches = options.strategy == "pr"
    n_targets = 0
    if target is not None:
        n_targets = count_targets(target, options.target_per)
    # What looks for farthest points sees structures, not the rows that they add.
    is_farthest = options.strategy == "fps"
    kinds = [kind for kind in kinds if pool.has_gradients(kind) and not is_farthest]
    n_rows, n_products = _block_sizes(pool, kinds, n_columns)
    needs_cross = objective.needs_cross or bool(kinds and objective.needs_targets)
    n_to_select = options.n_to_select or pool.n_structures
    n_other_passes, count = _other_passes(options, extent, n_to_select)
    plan = SelectionPlan(
        n_candidates=pool.n_structures,
        n_targets=n_targets,
        n_columns=n_columns,
        whitens_pool=searches,
        needs_cross=needs_cross,
        n_rows=n_rows,
        n_products=n_products,
        n_to_select=n_to_select,
        stored_bytes=stored_bytes(pool, kinds if searches else ()),
        looks_at_few=searches and options.objective == "log-det" and not kinds,
        keeps_points=is_farthest,
        vectors=_vectors(pool, options, extent),
        n_target_copies=9 if extent.bound else 6,
        n_searches=2 if searches and extent.constraints.budget is not None else 1,
        n_other_passes=n_other_passes,
        count=count,
    )
    return _with_compiler(plan)


def _block_sizes(
    pool: Dataset, kinds: Collection[RowKind], n_columns: int
) -> tuple[int | None, int]:
    """Count rows, and products of rows of the same candidate, where candidates are blocks."""
    if not kinds:
        return None, 0
    heights = 1 + sum(pool.gradient_counts(kind) for kind in kinds)
    # Taller blocks are reduced.
    heights = np.minimum(heights, n_columns)
    return int(heights.sum()), int((heights * heights).sum())


def _with_compiler(plan: SelectionPlan) -> SelectionPlan:
    """Count the compiler where loops are compiled: those over covariances, or over float32 rows."""
    n_rows = plan.n_candidates if plan.n_rows is None else plan.n_rows
    if plan.whitens_pool and (plan.needs_cross or plan.n_products):
        n_numbers = n_rows * plan.n_targets * plan.needs_cross + plan.n_products
        return replace(plan, besides=_compiler(n_numbers * plan.n_to_select))
    return replace(plan, besides_float32=_compiler(n_rows * plan.n_columns * plan.n_to_select))


def _vectors(pool: Dataset, options: SelectOptions, extent: Extent) -> int:
    """Bytes of what is held of every candidate, its row aside; all measured, and rounded up."""
    constraints = extent.constraints
    searches = options.strategy == "pr"
    own = 120 if searches or options.strategy == "fps" else 40
    own += 24 * extent.has_weights
    every = 80 + 48 * extent.copies_frames + 24 * extent.has_weights
    every += 40 * (constraints.cost is not None) + 32 * constraints.has_distances
    if constraints.quotas:
        every += 48 + 16 * len(constraints.quotas)
    every += 64 * extent.n_names
    n_all = extent.n_all or pool.n_structures
    return own * pool.n_structures + every * n_all


def _other_passes(options: SelectOptions, extent: Extent, n_to_select: int) -> tuple[int, str]:
    """Count the passes over the pool beside those of a search, and say what the number is."""
    if options.strategy == "random":
        n_other = -1
    else:
        n_other = int(options.strategy == "leverage")
    n_other += extent.refine * n_to_select
    n_other += MOST_PASSES * extent.bound
    n_other += 2 * extent.constraints.has_distances
    if extent.constraints.has_distances:
        return n_other, "about " if extent.refine or extent.bound else "at least "
    is_most = extent.refine or extent.bound or extent.constraints.budget is not None
    return n_other, "at most " if is_most else ""


def _compiler(n_steps: int) -> int:
    """Bytes that loops of so many steps take to be compiled; nothing where that does not pay."""
    return _COMPILER if n_steps >= COMPILE_FROM else 0


def stored_bytes(data: Dataset, kinds: Collection[RowKind] = ()) -> int:
    """Bytes of the features that rows of structures, and gradients, are made of, as stored."""
    total = 0
    for part in data.parts:
        rows, n_rows = part.table.structures, len(part.positions)
        if rows is None:
            rows, n_rows = part.table.atoms, int(part.select(part.table.n_atoms).sum())
        if rows is not None:
            total += n_rows * rows.shape[1] * rows.dtype.itemsize
        if kinds and (gradients := part.table.gradients) is not None:
            n_rows = sum(int(part.gradient_counts(kind).sum()) for kind in kinds)
            total += n_rows * gradients.rows.shape[1] * gradients.rows.dtype.itemsize
    return total
