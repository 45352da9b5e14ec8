"""Sum feature sets and Hessian files into one Hessian."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import DuplicateRowsError, FeatureError, MismatchError, RequestError
from prcli.numerics.rigidity import squared_norms
from prcli.numerics.rows import energy_rows
from prcli.numerics.square_root import SquareRoot
from prcli.records import Intercept, Progress, RowKind, no_progress
from prcli.workflows.hessian_options import (
    HessianOptions,
    override,
    with_options,
    without_calibration,
)
from prcli.workflows.rows import BLOCK_BYTES, EnergyRows, RowForm, elements_of, structure_features

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


def sum_hessian(
    datasets: Sequence[Dataset],
    records: Sequence[HessianRecord],
    options: HessianOptions,
    progress: Progress = no_progress,
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
    form = _common_form(datasets, records, options)
    _check_parts(datasets, records, form)
    own = [_from_dataset(data, form, progress) for data in datasets]
    merged = _merge([*records, *own], options)
    if not options.allow_duplicates:
        _check_duplicates(merged.digests, records, datasets)
    return with_options(merged, options, records, float32=_has_float32(datasets))


def _common_form(
    datasets: Sequence[Dataset], records: Sequence[HessianRecord], options: HessianOptions
) -> RowForm:
    """Agree on width, kind of energy and intercept of all parts."""
    if not datasets and not records:
        raise RequestError("nothing to build a Hessian from", expected="at least one input")
    widths = [data.n_features for data in datasets] + [r.n_features for r in records]
    for record in records:
        # These are inside the rows: an option cannot change them, only contradict them.
        override(record, HessianOptions(options.energy, options.intercept))
    energy = _agree("energy", [r.energy for r in records]) or options.energy or "per-atom"
    intercept = _agree("intercept", [r.intercept for r in records])
    if intercept is None:
        kind = options.intercept or "none"
        species = {z for data in datasets for z in elements_of(data)} if kind == "species" else ()
        intercept = Intercept(kind, tuple(sorted(species)))
    return RowForm(widths[0], energy, intercept)


def _agree(name: str, values: Sequence[Any]) -> Any:
    """Return the value that all share, or None if there is none."""
    if not values:
        return None
    for value in values[1:]:
        if value != values[0]:
            raise MismatchError(
                f"Hessian files differ in {name}",
                expected=str(values[0]),
                got=str(value),
                remedy="build them with the same options",
            )
    return values[0]


def _check_parts(
    datasets: Sequence[Dataset], records: Sequence[HessianRecord], form: RowForm
) -> None:
    for record in records:
        if record.n_features != form.n_features:
            raise MismatchError(
                "Hessian files and feature sets differ in width",
                expected=f"{form.n_features} features",
                got=f"{record.n_features} features",
                remedy="use features of the same descriptor or model",
            )
    blocks = [r.blocks for r in records] + [data.blocks for data in datasets]
    _agree("blocks", blocks)
    for name in ("energy_weight", "force_weight", "stress_weight", "reduction"):
        _agree(name, [getattr(record, name) for record in records])
    for record in records[1:]:
        if not _same_prior(record.prior, records[0].prior):
            raise MismatchError(
                "Hessian files differ in their prior", remedy="build them with the same prior"
            )


def _same_prior(one: FloatArray | None, other: FloatArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _from_dataset(data: Dataset, form: RowForm, progress: Progress) -> HessianRecord:
    """Reduce the rows of one data set."""
    source = EnergyRows(data, form)
    root = SquareRoot(form.n_columns)
    sum_sq_structures = 0.0
    means = form.energy == "per-atom"
    for start, rows in source.blocks():
        if means:
            sum_sq_structures += float(squared_norms(rows[:, : form.n_features]).sum())
        root.add_rows(rows)
        progress("hessian", start + len(rows), data.n_structures)
    if not means:
        sum_sq_structures = _sum_sq_means(data, form)
    sum_sq_atoms, n_atoms = _sum_sq_atoms(data, form, progress) if data.has_atoms else (0.0, 0)
    if not np.isfinite([np.abs(root.factor).max(), sum_sq_structures, sum_sq_atoms]).all():
        raise FeatureError(
            "features are so large that their squares overflow",
            where=data.label,
            expected="magnitudes below about 1e150",
            remedy="divide all features, of every set, by one number",
        )
    return HessianRecord(
        R={"energy": root.factor},
        n_rows={"energy": data.n_structures},
        sum_sq_atoms=sum_sq_atoms,
        n_atoms=n_atoms,
        sum_sq_structures=sum_sq_structures,
        n_structures=data.n_structures,
        digests=data.digests,
        energy=form.energy,
        scale_rule="none",
        scale=1.0,
        energy_weight=1.0,
        force_weight=0.0,
        stress_weight=0.0,
        reduction="sum",
        regularizer=0.0,
        blocks=data.blocks,
        intercept=form.intercept,
    )


def _sum_sq_means(data: Dataset, form: RowForm) -> float:
    """Sum of the squared norms of the structures' mean features."""
    total = 0.0
    for _, part, positions in data.structure_runs(form.block_rows):
        features, convention = structure_features(part, positions)
        n_atoms = np.asarray(part.table.n_atoms)[np.array(positions)]
        rows = energy_rows(
            features, n_atoms, convention=convention, energy="per-atom", intercept=Intercept()
        )
        total += float(squared_norms(rows).sum())
    return total


def _sum_sq_atoms(data: Dataset, form: RowForm, progress: Progress) -> tuple[float, int]:
    """Sum of the squared norms of the atoms' features, and the number of atoms."""
    total, done, n_atoms = 0.0, 0, data.n_atoms_total
    block_rows = max(64, BLOCK_BYTES // (8 * form.n_features))
    for _, _, features, _ in data.atom_blocks(block_rows):
        total += float(np.vdot(wide := features.astype(np.float64, copy=False), wide))
        done += len(features)
        progress("scale", done, n_atoms)
    return total, n_atoms


def _merge(records: Sequence[HessianRecord], options: HessianOptions) -> HessianRecord:
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
    )


def _check_duplicates(
    digests: NDArray[np.uint64],
    records: Sequence[HessianRecord],
    datasets: Sequence[Dataset],
) -> None:
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
