"""Rigidities of structures, atoms, forces, stresses and components, streamed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets
from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import gradient_blocks
from prcli.data.hessian_record import HessianRecord
from prcli.data.shards import share_of_rank
from prcli.errors import FeatureError, RequestError
from prcli.numerics.components import ComponentFactors, component_rows
from prcli.numerics.overflow import EXPECTED, REMEDY
from prcli.numerics.rigidity import rigidities
from prcli.parallel.pieces import pieces_of_all
from prcli.records import ALONE, Communicator, Progress, no_progress
from prcli.workflows.components import WHOLES, blocks_of, check_blocks_named
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.health import HealthCheck
from prcli.workflows.model import (
    check_fits,
    full_factor,
    row_form,
    warn_about_descriptors,
    warn_about_training,
    warn_about_zero,
)
from prcli.workflows.rows import EnergyRows, RowForm, local_blocks
from prcli.workflows.scores import Per, ScorePer, Scores, ranks_of

logger = logging.getLogger(__name__)

GradientKind: TypeAlias = Literal["force", "stress"]
FloatArray = NDArray[np.float64]

#: Options of ``prcli features import`` that bring gradients in.
_GRADIENT_OPTIONS: dict[GradientKind, str] = {
    "force": "--gradients or --position-gradients",
    "stress": "--gradients or --strain-gradients",
}


def score(
    record: HessianRecord,
    data: Dataset,
    per: ScorePer = "structure",
    progress: Progress = no_progress,
) -> Scores:
    """Compute the rigidity of every structure, atom, or component of any of these.

    Features are read block by block; only two numbers a row are kept.

    Parameters
    ----------
    record : HessianRecord
    data : Dataset
        For forces and stresses, structures without such rows are passed over.
    per : {"structure", "atom", "force", "stress", "component", "atom-component"}
    progress : callable

    Returns
    -------
    scores : Scores

    Raises
    ------
    FeatureError
        If the rows that are asked for are not there, or were reduced.
    """
    check_scorable(record, data, per)
    warn_about_zero(record, per)
    return score_rows(record, data, per, progress)


def score_rows(
    record: HessianRecord,
    data: Dataset,
    per: ScorePer,
    progress: Progress = no_progress,
    communicator: Communicator = ALONE,
) -> Scores:
    """Score as `score` a set, or a share of one that may lack such rows, that was checked.

    Ranks divide the structures among them; rank 0 gets all scores, the others none.
    """
    warn_about_training(record, data)
    warn_about_descriptors(data)
    warn_of_missing(data, per)
    offsets = row_offsets(data, per)
    blocks = blocks_of(record, per)
    factor = full_factor(record)
    share, first = share_of_rank(data, communicator)
    start = int(offsets[first])
    check = HealthCheck(record, factor, int(offsets[-1]), start)
    own = iter(()) if share is None else _scored_blocks(record, share, per, factor, check, start)
    if communicator.rank:
        offsets = offsets[:1]
    values, done = np.empty(int(offsets[-1])), 0
    species = None
    if per in ("atom", "atom-component") and any(
        part.table.species is not None for part in data.parts
    ):
        species = np.zeros(len(values), dtype=np.uint8)
    for block in pieces_of_all(communicator, own):
        here = slice(block.start, block.start + len(block.values))
        values[here] = block.values
        if species is not None and block.species is not None:
            species[here] = block.species
        done += len(block.values)
        progress("score", done, len(values))
    check.gather(communicator)
    ranks, alpha = ranks_of(values), alpha_of(record, per)
    return Scores(per, values, ranks, offsets, species, alpha, check.result(), tuple(blocks))


def score_piece(record: HessianRecord, data: Dataset, per: ScorePer, factor: FloatArray) -> Scores:
    """Score a piece of a set as `score_rows`, with the factor at hand and without messages."""
    blocks = list(_scored_blocks(record, data, per, factor))
    values = np.concatenate([np.empty(0), *(block.values for block in blocks)])
    numbers = [block.species for block in blocks]
    known = [each for each in numbers if each is not None]
    return Scores(
        per,
        values,
        ranks_of(values),
        row_offsets(data, per),
        np.concatenate(known) if known and len(known) == len(numbers) else None,
        alpha_of(record, per),
        blocks=tuple(blocks_of(record, per)),
    )


@dataclass(frozen=True, eq=False)
class _ScoredBlock:
    """Rigidities of consecutive rows, and the elements of atoms."""

    start: int
    values: FloatArray
    species: NDArray[np.uint8] | None


def _scored_blocks(
    record: HessianRecord,
    data: Dataset,
    per: ScorePer,
    factor: FloatArray,
    check: HealthCheck | None = None,
    start: int = 0,
) -> Iterator[_ScoredBlock]:
    """Score the share of a rank, whose first row is number `start` of all."""
    form, begin = row_form(record), start
    if per == "component" or per == "atom-component":
        columns = tuple(blocks_of(record, per).values())
        components = ComponentFactors(factor, columns)
        for rows, numbers in row_blocks(data, form, WHOLES[per]):
            if check is not None:
                chosen = check.choose(len(rows) * len(columns))
                check.look_at(component_rows(rows, columns, chosen))
            values = components.rigidities(rows).ravel()
            _refuse_overflow(values, start - begin, data, per)
            species = None if numbers is None else np.repeat(numbers, len(columns))
            yield _ScoredBlock(start, values, species)
            start += len(values)
        return
    for rows, numbers in row_blocks(data, form, per):
        if check is not None:
            check.look(rows)
        values = rigidities(rows, factor, overwrite=True)
        _refuse_overflow(values, start - begin, data, per)
        yield _ScoredBlock(start, values, numbers)
        start += len(rows)


def _refuse_overflow(values: FloatArray, start: int, data: Dataset, per: ScorePer) -> None:
    """Refuse rows, from number `start` of a set on, whose squares are beyond float64."""
    if (values > 0.0).all():
        return
    row = start + int(np.argmin(values > 0.0))
    index = int(np.searchsorted(row_offsets(data, per), row, side="right")) - 1
    part, position = data.locate(index)
    raise FeatureError(
        "features are so large that their squares overflow",
        where=f"{part.table.label}, structure {position}",
        expected=EXPECTED,
        remedy=REMEDY,
    )


def check_scorable(record: HessianRecord, data: Dataset, per: ScorePer) -> None:
    """Refuse, before long work, a data set without the rows that are asked for.

    Raises
    ------
    MismatchError
        If features and Hessian do not fit.
    RequestError
        If `per` is unknown.
    FeatureError
        If the rows are not there, or were reduced, or the columns have no named blocks.
    """
    check_fits(record, data)
    known = get_args(ScorePer)
    if per not in known:
        raise RequestError(
            "per is not known", where="--per", expected=" or ".join(known), got=repr(per)
        )
    if per in WHOLES:
        check_blocks_named(data)
    if per in ("atom", "atom-component") and not data.has_atoms:
        raise FeatureError(
            "rigidities of atoms need features of atoms",
            where=data.label,
            expected="the dataset atoms/features",
            remedy="import features with --convention per-atom, or use --per "
            + ("structure" if per == "atom" else "component"),
        )
    if per == "force" or per == "stress":
        _check_gradients(data, per)


def _check_gradients(data: Dataset, kind: GradientKind) -> None:
    """Refuse a set without rows of a kind, or with blocks of them instead of single rows."""
    if not data.has_gradients(kind):
        raise FeatureError(
            f"there are no {kind} rows",
            where=data.label,
            expected=f"gradients of the features, with {kind} rows",
            remedy=f"give {_GRADIENT_OPTIONS[kind]} to prcli features import, or --gradients to "
            "prcli features compute, or use --per structure",
        )
    stored = data.gradient_counts(kind)
    mixed = np.flatnonzero(stored < data.original_gradient_counts(kind))
    if mixed.size:
        index = int(mixed[0])
        part, position = data.locate(index)
        raise FeatureError(
            f"the {kind} rows of a structure were reduced, so that single ones are lost",
            where=f"{part.table.label}, structure {position}",
            expected=f"{data.original_gradient_counts(kind)[index]} {kind} rows",
            got=f"{stored[index]} rows",
            remedy="run prcli features import again without --reduce-gradients",
        )


def warn_of_missing(data: Dataset, per: ScorePer) -> None:
    """Say how many structures have no rows of the kind that is asked for."""
    if per == "force" or per == "stress":
        n_missing = int(np.count_nonzero(data.gradient_counts(per) == 0))
        if n_missing:
            logger.warning(
                "%d of %d structures have no %s rows and are left out",
                n_missing,
                data.n_structures,
                per,
            )


def row_offsets(data: Dataset, per: ScorePer) -> NDArray[np.int64]:
    """(S + 1,) first row of each structure, and the number of all."""
    if per == "component" or per == "atom-component":
        whole: NDArray[np.int64] = row_offsets(data, WHOLES[per]) * len(data.blocks or ())
        return whole
    if per == "structure":
        return np.arange(data.n_structures + 1)
    return atom_offsets(data.n_atoms if per == "atom" else data.gradient_counts(per))


def row_blocks(
    data: Dataset, form: RowForm, per: Per
) -> Iterator[tuple[FloatArray, NDArray[np.uint8] | None]]:
    """Yield all rows in order, free to be overwritten, with the elements of atoms."""
    if per == "structure":
        for _, rows in EnergyRows(data, form).blocks():
            yield rows, None
    elif per == "atom":
        for _, _, rows, species in local_blocks(data, form):
            yield rows, species
    else:
        for block in gradient_blocks(data, form.block_rows):
            for _, _, rows in gradient_rows(block, form, data, (per,)):
                yield rows, None


def alpha_of(record: HessianRecord, per: ScorePer) -> float | None:
    """Calibration factor of the rows."""
    if per == "force":
        return record.alpha_force
    return record.alpha_stress if per == "stress" else record.alpha_energy
