"""From the constraints that a user typed to those that hold for the candidates of a pool."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.provenance import stamp_file
from prcli.data.slices import split_slice
from prcli.errors import MismatchError
from prcli.records import FileStamp
from prcli.workflows.chosen_files import find_chosen
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.constraints import Constraints
from prcli.workflows.costs import costs_of
from prcli.workflows.frames import Frames
from prcli.workflows.quota_groups import groups_of
from prcli.workflows.structure_columns import StructureColumns

logger = logging.getLogger(__name__)


def read_constraints(
    options: ConstraintOptions,
    pool: Dataset,
    columns: StructureColumns,
    frames: Callable[[], Frames],
) -> Constraints:
    """Find out what constraints mean for every candidate.

    Parameters
    ----------
    options : ConstraintOptions
    pool : Dataset
    columns : StructureColumns
        Of the pool.
    frames : callable
        Opens the structures of the pool; called only where a file of structures is compared.

    Returns
    -------
    constraints : Constraints

    Raises
    ------
    PrcliError
        If a name is not known, a cost is no positive number, or a file cannot be used.
    """
    included = _included(options.include, pool, frames)
    excluded = _excluded(options.exclude, pool, frames)
    return Constraints(
        options,
        None if options.cost is None else costs_of(options.cost, columns, pool.label),
        groups_of(options.quotas, columns, pool.label),
        included,
        excluded,
    )


def chosen_stamps(options: ConstraintOptions) -> list[FileStamp]:
    """Stamp the files that say what was chosen before, or is not to be."""
    paths = [split_slice(str(each))[0] for each in (*options.include, *options.exclude)]
    files = [os.path.join(path, "selection.tsv") if os.path.isdir(path) else path for path in paths]
    return [stamp_file(path) for path in dict.fromkeys(files)]


def _included(
    files: Sequence[str | Path], pool: Dataset, frames: Callable[[], Frames]
) -> NDArray[np.int64]:
    """Positions of what was chosen before; all of it has to be in the pool."""
    found: dict[int, None] = {}
    for file in files:
        indices = find_chosen(file, pool, frames)
        n_absent = int(np.count_nonzero(indices < 0))
        if n_absent:
            raise MismatchError(
                "structures that were chosen before are not in the pool",
                where=f"--include {file}",
                expected=f"{len(indices)} structures of {pool.label}",
                got=f"{n_absent} others",
                remedy="give them with --train, or add them to --pool",
            )
        found |= dict.fromkeys(indices.tolist())
    if files:
        logger.info("%d structures were chosen before: they count from the start", len(found))
    return np.array(list(found), dtype=np.int64)


def _excluded(
    files: Sequence[str | Path], pool: Dataset, frames: Callable[[], Frames]
) -> NDArray[np.bool_] | None:
    """Mark what is not to be chosen; what is not in the pool anyway does no harm."""
    if not files:
        return None
    excluded = np.zeros(pool.n_structures, dtype=bool)
    for file in files:
        indices = find_chosen(file, pool, frames, with_copies=True)
        inside = indices[indices >= 0]
        excluded[inside] = True
        logger.info("--exclude %s: %d candidates are left out", file, len(inside))
        if not inside.size:
            logger.warning("--exclude %s: none of its structures is in the pool", file)
    return excluded
