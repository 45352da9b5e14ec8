"""The Hessian of one share of a training set, such that those of all shares merge into the whole.

Whatever the rows of a share alone cannot tell is taken from the whole set: the elements that get
columns of their own, which kinds of row there are, and whether every structure has features of
atoms. Scale and regularizer of the merged Hessian are settled when it is merged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.data.shards import Shard, take_shard
from prcli.errors import ExpressionError, RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import check_duplicates, common_form, needed_kinds
from prcli.workflows.hessian_options import HessianOptions, with_options
from prcli.workflows.inner_loss import WEIGHT_KEYS
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import warn_about_descriptors
from prcli.workflows.prior import load_prior
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.training_rows import TrainingRows

logger = logging.getLogger(__name__)


def check_sharded(shard: Shard, options: HessianOptions, hessians: Sequence[str]) -> None:
    """Refuse what only a whole training set can give.

    Parameters
    ----------
    shard : Shard
    options : HessianOptions
    hessians : sequence of str
        Hessian files among the inputs.

    Raises
    ------
    RequestError
    """
    if hessians:
        raise RequestError(
            "a Hessian file cannot be divided",
            where=f"--shard {shard}, {hessians[0]}",
            expected="feature sets",
            remedy="leave it out here, and merge it with the shards",
        )
    if options.regularizer == "auto":
        raise RequestError(
            "the regularizer auto depends on the whole training set",
            where=f"--shard {shard}, --regularizer auto",
            remedy="leave it out here, and give it when the shards are merged",
        )


def sum_shard(
    data: Dataset, shard: Shard, options: HessianOptions, progress: Progress = no_progress
) -> HessianRecord:
    """Add up the rows of one share of a training set.

    Parameters
    ----------
    data : Dataset
        The whole set.
    shard : Shard
    options : HessianOptions
        As `check_sharded` accepts them.
    progress : callable

    Returns
    -------
    record : HessianRecord
        With a square root for every kind of row that the whole set has, if only of zeros.

    Raises
    ------
    RequestError
        If there are more shares than structures.
    DuplicateRowsError
        If a structure occurs twice in this share; across shares merging finds it.
    """
    share, _ = take_shard(data, shard)
    form = common_form([data], [], options)
    options = replace(options, prior=load_prior(options.prior, form))
    warn_about_descriptors(data)
    loss = options.loss or LossOptions()
    kinds = needed_kinds([data], [], options, loss)
    rows = TrainingRows(share, form, _present_keys(loss, data, share), kinds or ["energy"])
    rows.check()
    record = replace(rows.record(progress), featurizer=data.featurizer)
    if not data.has_atoms:
        # Merging would find that a part of the whole knows nothing of atoms.
        record = replace(record, sum_sq_atoms=0.0, n_atoms=0)
    if not options.allow_duplicates:
        check_duplicates(record.digests, [], [share])
    return with_options(record, options, kinds=kinds, float32="float32" in share.dtypes)


def _present_keys(loss: LossOptions, data: Dataset, share: Dataset) -> LossOptions:
    """Leave out keys of weights that no structure of the share has, but others of the set."""
    names = [name for name in WEIGHT_KEYS if getattr(loss, name) is not None]
    columns = StructureColumns(share, lambda: Frames(share))
    for name in names:
        key = getattr(loss, name)
        try:
            columns.fetch([key])
        except ExpressionError:
            # Refuses a key that is nowhere.
            StructureColumns(data, lambda: Frames(data)).fetch([key])
            logger.warning("no structure of this shard has %s: all count as 1", key)
            absent: dict[str, Any] = {name: None}
            loss = replace(loss, **absent)
    return loss
