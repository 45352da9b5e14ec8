"""Rows of a training set whose structures several ranks divide among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.data.shards import share_of_rank
from prcli.errors import ExpressionError
from prcli.numerics.tree_merge import merge_ranks
from prcli.records import Communicator, Progress, RowKind
from prcli.workflows.frames import Frames
from prcli.workflows.inner_loss import WEIGHT_KEYS
from prcli.workflows.loss_options import LossOptions, weight_names
from prcli.workflows.rows import RowForm
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.training_rows import TrainingRows


class RankedRows:
    """Rows of a training set on their way into a Hessian, as `TrainingRows`, by all ranks.

    Parameters
    ----------
    data : Dataset
        The whole set.
    form : RowForm
    loss : LossOptions
    kinds : sequence of {"energy", "force", "stress"}
    communicator : Communicator
    """

    def __init__(
        self,
        data: Dataset,
        form: RowForm,
        loss: LossOptions,
        kinds: Sequence[RowKind],
        communicator: Communicator,
    ) -> None:
        self._data = data
        self._form = form
        self._kinds = tuple(kinds)
        self._communicator = communicator
        self._weights = weight_names(loss, self._kinds)
        share, _ = share_of_rank(data, communicator)
        self._rows: TrainingRows | None = None
        if share is not None:
            loss, _ = present_keys(loss, data, share)
            self._rows = TrainingRows(share, form, loss, self._kinds)

    def check(self) -> None:
        """Find out before long work whether every row of the share can be weighed."""
        if self._rows is not None:
            self._rows.check()

    def record(self, progress: Progress) -> HessianRecord:
        """Sum the rows of all ranks; every rank gets the whole.

        Returns
        -------
        record : HessianRecord
            As `TrainingRows.record` gives it.

        Raises
        ------
        FeatureError
            If a value is not finite, or so large that squares overflow.
        """
        own = None if self._rows is None else self._rows.record(progress)
        zeros = np.zeros((self._form.n_columns, self._form.n_columns), order="F")
        factors = {
            kind: merge_ranks(zeros if own is None else own.R[kind], self._communicator)
            for kind in self._kinds
        }
        # Rank 0 has a share whenever any rank has one.
        first = self._communicator.broadcast(None if own is None else replace(own, R={}))
        assert first is not None
        sums = (0.0, 0.0) if own is None else (own.sum_sq_atoms, own.sum_sq_structures)
        sum_sq_atoms, sum_sq_structures = np.sum(self._communicator.gather_all(sums), axis=0)
        counts = [0] * len(self._kinds) if own is None else [own.n_rows[k] for k in self._kinds]
        n_rows = np.sum(self._communicator.gather_all(counts), axis=0).tolist()
        data = self._data
        return replace(
            first,
            R=factors,
            n_rows=dict(zip(self._kinds, n_rows, strict=True)),
            # Where a part knows nothing of atoms, the whole does not either.
            sum_sq_atoms=float(sum_sq_atoms) if data.has_atoms else 0.0,
            n_atoms=data.n_atoms_total if data.has_atoms else 0,
            sum_sq_structures=float(sum_sq_structures),
            n_structures=data.n_structures,
            digests=data.digests,
            weights=self._weights,
            featurizer=data.featurizer,
        )


def present_keys(
    loss: LossOptions, data: Dataset, share: Dataset
) -> tuple[LossOptions, tuple[str, ...]]:
    """Leave out keys of weights that no structure of a share has, but others of the set.

    Parameters
    ----------
    loss : LossOptions
    data : Dataset
        The whole set.
    share : Dataset
        Of it.

    Returns
    -------
    loss : LossOptions
    absent : tuple of str
        The keys that were left out: all structures of the share count as 1.

    Raises
    ------
    ExpressionError
        If no structure of the whole set has a key.
    """
    absent = []
    columns = StructureColumns(share, lambda: Frames(share))
    for name in [name for name in WEIGHT_KEYS if getattr(loss, name) is not None]:
        key = getattr(loss, name)
        try:
            columns.fetch([key])
        except ExpressionError:
            # Refuses a key that is nowhere.
            StructureColumns(data, lambda: Frames(data)).fetch([key])
            absent.append(key)
            without: dict[str, Any] = {name: None}
            loss = replace(loss, **without)
    return loss, tuple(absent)
