"""The Hessian of one share of a training set, such that those of all shares merge into the whole.

Whatever the rows of a share alone cannot tell is taken from the whole set: the elements that get
columns of their own, which kinds of row there are, and whether every structure has features of
atoms. Scale and regularizer of the merged Hessian are settled when it is merged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.data.shards import Shard, take_shard
from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.hessian import check_duplicates, common_form, needed_kinds
from prcli.workflows.hessian_options import HessianOptions, with_options
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import warn_about_descriptors
from prcli.workflows.prior import load_prior
from prcli.workflows.ranked_rows import present_keys
from prcli.workflows.training_rows import TrainingRows, warn_of_nothing

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
    loss, absent = present_keys(loss, data, share)
    for key in absent:
        logger.warning("no structure of this shard has %s: all count as 1", key)
    rows = TrainingRows(share, form, loss, kinds or ["energy"])
    rows.check()
    record = replace(rows.record(progress), featurizer=data.featurizer)
    warn_of_nothing(record, share)
    if not data.has_atoms:
        # Merging would find that a part of the whole knows nothing of atoms.
        record = replace(record, sum_sq_atoms=0.0, n_atoms=0)
    if not options.allow_duplicates:
        check_duplicates(record.digests, [], [share])
    return with_options(record, options, kinds=kinds, float32="float32" in share.dtypes)
