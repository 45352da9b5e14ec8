"""Derived quantities of a set, evaluated for each member of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.errors import ExpressionError
from prcli.records import Progress, no_progress
from prcli.workflows.ensemble import Sampler, energies
from prcli.workflows.frames import Frames
from prcli.workflows.model import warn_about_descriptors
from prcli.workflows.named_rows import NamedRows, Rows
from prcli.workflows.predictions import total_energies
from prcli.workflows.quantities import ENERGY, Quantity
from prcli.workflows.quantity_syntax import Pick
from prcli.workflows.structure_columns import StructureColumns

FloatArray = NDArray[np.float64]

#: Energies of members that are held at a time.
_MOST_ENERGIES = 1 << 25


@dataclass(frozen=True, eq=False)
class Derived:
    """A quantity, derived from the energies of each member.

    Attributes
    ----------
    text : str
    value : ndarray of shape (k,)
        From the predictions of the model; k is 1 unless rows are left that nothing reduced.
    members : ndarray of shape (k, M)
    """

    text: str
    value: FloatArray
    members: FloatArray


def propagate(
    sampler: Sampler,
    data: Dataset,
    quantities: Sequence[Quantity],
    open_frames: Callable[[], Frames],
    name_key: str | None = None,
    progress: Progress = no_progress,
) -> list[Derived]:
    """Evaluate derived quantities for each member.

    Parameters
    ----------
    sampler : Sampler
        With predictions, not deviations alone.
    data : Dataset
    quantities : sequence of Quantity
    open_frames : callable
        Opens the structure files, where names, energies or columns are in them.
    name_key : str, optional
        Column or key that names rows; "name" by default.
    progress : callable

    Returns
    -------
    derived : list of Derived
        In the order of `quantities`.

    Raises
    ------
    PrcliError
        If a name, a column or a prediction is not found.
    """
    warn_about_descriptors(data)
    columns = StructureColumns(data, open_frames)
    named = NamedRows(data, columns, name_key)
    picks = sorted({pick for each in quantities for pick in each.picks}, key=repr)
    keys = () if sampler.options.weights is not None else (sampler.options.keys.predicted,)
    named.fetch(picks, keys)
    rows = {pick: named.find(pick) for pick in picks}
    fixed = {p: named.values(p, rows[p]) for p in picks if p.column != ENERGY}
    rows = {pick: found for pick, found in rows.items() if pick.column == ENERGY}
    if not rows:
        raise ExpressionError(
            "no energy is used",
            where=" and ".join(repr(quantity.text) for quantity in quantities),
            expected=f"{ENERGY}['name'], {ENERGY}[row] or {ENERGY}",
        )
    found: list[list[FloatArray]] = [[] for _ in quantities]
    for done, known in _energies_by_member(sampler, data, columns, rows):
        for pieces, quantity in zip(found, quantities, strict=True):
            pieces.append(_evaluate(quantity, fixed | known))
        progress("ensemble", done, sampler.options.n_members)
    return [_joined(each.text, pieces) for each, pieces in zip(quantities, found, strict=True)]


def _energies_by_member(
    sampler: Sampler, data: Dataset, columns: StructureColumns, rows: Mapping[Pick, Rows]
) -> Iterator[tuple[int, dict[Pick, FloatArray]]]:
    """Give the energies of picked rows, the model's in the first column, some members a time."""
    indices = np.unique(np.concatenate(list(rows.values())))
    predicted = None
    if sampler.options.weights is None:
        predicted = total_energies(data, columns, sampler.options.keys.predicted)[indices]
    n_members = sampler.options.n_members
    step = max(1, _MOST_ENERGIES // len(indices))
    for start in range(0, n_members, step):
        stop = min(start + step, n_members)
        by_weights, deviations = energies(sampler, data, indices, slice(start, stop))
        center = np.asarray(predicted if by_weights is None else by_weights)[:, np.newaxis]
        table = np.concatenate([center, center + deviations], axis=1)
        yield stop, {pick: table[np.searchsorted(indices, each)] for pick, each in rows.items()}


def _evaluate(quantity: Quantity, known: Mapping[Pick, FloatArray]) -> FloatArray:
    """Evaluate a quantity, a column for each member even where it has no energy in it."""
    values = quantity.evaluate(known.__getitem__)
    width = max(each.shape[1] for each in known.values())
    return np.broadcast_to(values, (len(values), width))


def _joined(text: str, pieces: Sequence[FloatArray]) -> Derived:
    """Put members together; every piece begins with the model."""
    members = np.concatenate([piece[:, 1:] for piece in pieces], axis=1)
    return Derived(text, pieces[0][:, 0], members)
