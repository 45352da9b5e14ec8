"""Sum feature sets and Hessian files into one Hessian."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.featurizer_settings import check_same_settings
from prcli.data.hessian_record import ROW_KINDS, HessianRecord
from prcli.errors import DuplicateRowsError, MismatchError, RequestError
from prcli.numerics.square_root import SquareRoot
from prcli.records import ALONE, Communicator, Intercept, Progress, RowKind, no_progress
from prcli.workflows.agreement import agree
from prcli.workflows.hessian_options import (
    HessianOptions,
    check_inside,
    check_settled,
    with_options,
    without_calibration,
)
from prcli.workflows.inner_loss import common_loss, loss_for_data, refuse_keys
from prcli.workflows.kind_weights import say_defaults, settle_weights
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import warn_about_descriptors
from prcli.workflows.prior import load_prior
from prcli.workflows.ranked_rows import RankedRows
from prcli.workflows.rows import RowForm, elements_of
from prcli.workflows.training_rows import TrainingRows, kinds_of, warn_of_nothing

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


def sum_hessian(
    datasets: Sequence[Dataset],
    records: Sequence[HessianRecord],
    options: HessianOptions,
    progress: Progress = no_progress,
    communicator: Communicator = ALONE,
) -> HessianRecord:
    """Add up the rows of data sets and of finished Hessians.

    Parameters
    ----------
    datasets : sequence of Dataset
        Training structures.
    records : sequence of HessianRecord
        Hessians to merge.
    options : HessianOptions
    progress : callable
    communicator : Communicator
        Ranks divide the structures of every data set; each gets the sum.

    Returns
    -------
    record : HessianRecord
        Without calibration factors if anything was merged.

    Raises
    ------
    MismatchError
        If the parts do not fit each other and no option settles it.
    DuplicateRowsError
        If a structure would be counted twice.
    """
    form = common_form(datasets, records, options)
    _check_parts(datasets, records, form)
    options = replace(options, prior=load_prior(options.prior, form))
    check_settled(options, records)
    for data in datasets:
        warn_about_descriptors(data)
    parts = _training_rows(datasets, records, form, options, communicator)
    for rows in parts:
        rows.check()
    summed = [rows.record(progress) for rows in parts]
    for record, data in zip(summed, datasets, strict=True):
        warn_of_nothing(record, data)
    merged = _merge([*records, *summed])
    if not options.allow_duplicates:
        check_duplicates(merged.digests, records, datasets)
    return with_options(merged, options, records, float32=_has_float32(datasets))


def common_form(
    datasets: Sequence[Dataset], records: Sequence[HessianRecord], options: HessianOptions
) -> RowForm:
    """Agree on width, kind of energy and intercept of all parts."""
    if not datasets and not records:
        raise RequestError("nothing to build a Hessian from", expected="at least one input")
    widths = [data.n_features for data in datasets] + [r.n_features for r in records]
    for record in records:
        # An option cannot change what is inside the rows, only contradict it.
        check_inside(record, options)
    energy = agree("energy", [r.energy for r in records]) or options.energy or "per-atom"
    intercept = agree("intercept", [r.intercept for r in records])
    if intercept is None:
        kind = options.intercept or "none"
        species = {z for data in datasets for z in elements_of(data)} if kind == "species" else ()
        intercept = Intercept(kind, tuple(sorted(species)))
    return RowForm(widths[0], energy, intercept)


def _check_parts(
    datasets: Sequence[Dataset], records: Sequence[HessianRecord], form: RowForm
) -> None:
    told = [record.featurizer for record in records] + [data.featurizer for data in datasets]
    known = [settings for settings in told if settings is not None]
    for other in known[1:]:
        check_same_settings(known[0], other, "the training sets")
    for record in records:
        if record.n_features != form.n_features:
            raise MismatchError(
                "Hessian files and feature sets differ in width",
                expected=f"{form.n_features} features",
                got=f"{record.n_features} features",
                remedy="use features of the same descriptor or model",
            )
    blocks = [r.blocks for r in records] + [data.blocks for data in datasets]
    agree("blocks", blocks)


def _training_rows(
    datasets: Sequence[Dataset],
    records: Sequence[HessianRecord],
    form: RowForm,
    options: HessianOptions,
    communicator: Communicator,
) -> list[TrainingRows] | list[RankedRows]:
    """Decide which kinds of row are summed, and how they are weighed."""
    if not datasets:
        refuse_keys(options.loss)
    loss = loss_for_data(options.loss, records)
    needed = needed_kinds(datasets, records, options, loss)
    # A set of which nothing is needed is asked for what its energies lack.
    kinds: list[list[RowKind]] = [
        [kind for kind in kinds_of(data) if kind in needed] or ["energy"] for data in datasets
    ]
    sets = list(zip(datasets, kinds, strict=True))
    if communicator.size == 1:
        return [TrainingRows(data, form, loss, own) for data, own in sets]
    return [RankedRows(data, form, loss, own, communicator) for data, own in sets]


def needed_kinds(
    datasets: Sequence[Dataset],
    records: Sequence[HessianRecord],
    options: HessianOptions,
    loss: LossOptions,
) -> list[RowKind]:
    """Kinds of row of some sets that are summed; what is left out is said."""
    present = {kind for data in datasets for kind in kinds_of(data)}
    stored = {kind for record in records for kind in record.n_rows if record.n_rows[kind]}
    kinds = [kind for kind in ROW_KINDS if kind in present | stored]
    weights = settle_weights(options.weights, records, kinds)
    say_defaults(options.weights, records, weights, kinds)
    # Without a width a robust loss says nothing about rows, which may be left out if they weigh
    # nothing. Otherwise all are summed, so that weights can be chosen later.
    needed = {
        kind
        for kind in present
        if not loss.is_robust or weights[kind] > 0.0 or loss.delta(kind) is not None
    }
    for kind in sorted(present - needed):
        logger.info("%s rows have no weight and no --%s-delta: left out", kind, kind)
    return [kind for kind in ROW_KINDS if kind in needed]


def _merge(records: Sequence[HessianRecord]) -> HessianRecord:
    """Add what sums up; scalars come later."""
    if len(records) == 1:
        return records[0]
    # What was calibrated is not what comes out.
    first = [without_calibration(record) for record in records][0]
    kinds: list[RowKind] = list(dict.fromkeys(kind for r in records for kind in r.R))
    factors: dict[RowKind, FloatArray] = {}
    for kind in kinds:
        root = SquareRoot(first.n_columns)
        for record in records:
            if kind in record.R:
                root.merge(record.R[kind])
        factors[kind] = root.factor
    # Where one part knows nothing of atoms, their mean square is not that of the whole.
    has_atoms = all(record.n_atoms > 0 for record in records)
    return replace(
        first,
        R=factors,
        n_rows={kind: sum(r.n_rows.get(kind, 0) for r in records) for kind in kinds},
        sum_sq_atoms=sum(r.sum_sq_atoms for r in records) if has_atoms else 0.0,
        n_atoms=sum(r.n_atoms for r in records) if has_atoms else 0,
        sum_sq_structures=sum(r.sum_sq_structures for r in records),
        n_structures=sum(r.n_structures for r in records),
        digests=np.concatenate([r.digests for r in records]),
        loss=common_loss(records),
        weights=tuple(dict.fromkeys(name for r in records for name in r.weights)),
        featurizer=next((r.featurizer for r in records if r.featurizer is not None), None),
    )


def check_duplicates(
    digests: NDArray[np.uint64],
    records: Sequence[HessianRecord],
    datasets: Sequence[Dataset],
) -> None:
    """Refuse training structures that are counted twice, whose digests are given in order.

    Raises
    ------
    DuplicateRowsError
    """
    unique, counts = np.unique(digests, return_counts=True)
    n_repeated = len(digests) - len(unique)
    if n_repeated:
        first = digests[np.argmax(np.isin(digests, unique[counts > 1]))]
        pair = [
            _place(int(position), records, datasets)
            for position in np.flatnonzero(digests == first)[:2]
        ]
        raise DuplicateRowsError(
            f"{n_repeated} of {len(digests)} training structures are counted twice",
            where="for example " + " and ".join(pair),
            expected="every structure once",
            remedy="leave one of each pair out, or give --allow-duplicates",
        )


def _place(position: int, records: Sequence[HessianRecord], datasets: Sequence[Dataset]) -> str:
    """Say where a training structure comes from; those of Hessian files stand first."""
    for number, record in enumerate(records):
        if position < len(record.digests):
            return f"structure {position} of Hessian file {number}"
        position -= len(record.digests)
    for data in datasets:
        if position < data.n_structures:
            part, where = data.locate(position)
            return f"{part.table.label}, structure {where}"
        position -= data.n_structures
    raise IndexError(position)


def _has_float32(datasets: Sequence[Dataset]) -> bool:
    return any("float32" in data.dtypes for data in datasets)
