"""What the rows of candidates count: weights of structures, without the factors of residuals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import ExpressionError
from prcli.workflows.frames import Frames
from prcli.workflows.inner_loss import loss_for_data
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.training_rows import kinds_of

logger = logging.getLogger(__name__)

_NAMES = ("weight_key", "energy_weight_key", "force_weight_key", "stress_weight_key")


def without_keys(options: LossOptions | None) -> LossOptions | None:
    """Leave out what says how single structures count; None if nothing else is said."""
    if options is None:
        return None
    rest = replace(
        options,
        weight_key=None,
        energy_weight_key=None,
        force_weight_key=None,
        stress_weight_key=None,
    )
    return None if rest == LossOptions() else rest


def candidate_weights(
    pool: Dataset,
    given: LossOptions | None,
    records: Sequence[HessianRecord],
    columns: StructureColumns,
    open_frames: Callable[[], Frames],
) -> RowWeights | None:
    """Weights of the rows that candidates would add.

    Candidates have no residuals yet: a robust loss counts them fully, as it counts rows whose
    residuals are small.

    Parameters
    ----------
    pool : Dataset
    given : LossOptions or None
        Names the keys of the weights. A key that no candidate has counts as 1, which is said.
    records : sequence of HessianRecord
        Finished Hessians, which say how often shears count where `given` does not.
    columns : StructureColumns
        Of the pool.
    open_frames : callable
        Opens the structure files of the pool.

    Returns
    -------
    weights : RowWeights or None
        None where all rows weigh 1.

    Raises
    ------
    RequestError
        If a weight is negative, not finite or not a number.
    """
    components = loss_for_data(without_keys(given), records).stress_components
    keys = {name: key for name in _NAMES if (key := getattr(given, name, None)) is not None}
    present = {key: _is_present(key, columns, pool) for key in dict.fromkeys(keys.values())}
    keys = {name: key for name, key in keys.items() if present[key]}
    if components == 6 and not keys:
        return None
    squared = LossOptions(stress_components=components, **keys)
    # Without residuals it does not matter whether energies are per atom or total.
    weights = RowWeights(pool, squared, "per-atom", kinds_of(pool), open_frames)
    weights.check()
    return weights


def _is_present(key: str, columns: StructureColumns, pool: Dataset) -> bool:
    """Whether some candidate has a key."""
    try:
        columns.fetch([key])
    except ExpressionError:
        logger.warning("no candidate of %s has %s: all count as 1", pool.label, key)
        return False
    return True
