"""Picks and targets as a viewer takes them: atoms, rigidities, and those of every atom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.geometry import read_geometry
from prcli.data.hessian_record import HessianRecord
from prcli.elements import SYMBOLS
from prcli.errors import PrcliError
from prcli.numerics.rigidity import rigidities
from prcli.report.chemiscope_file import ViewedStructure
from prcli.workflows.frames import Frames
from prcli.workflows.model import row_form
from prcli.workflows.rows import local_blocks
from prcli.workflows.selection import Selection
from prcli.workflows.selection_map import SelectionMap

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Atoms that a page carries at most; picks come first, then targets.
MOST_ATOMS = 50_000


@dataclass(frozen=True, eq=False)
class _Source:
    """A set, and the structures of it that are looked at."""

    name: str
    data: Dataset
    indices: list[int]
    numbers: list[dict[str, float]] = field(default_factory=list)


def viewed_structures(
    record: HessianRecord,
    factor: FloatArray,
    selection: Selection,
    pool: Dataset,
    target: Dataset | None,
    drawn: SelectionMap,
    open_frames: Callable[[Dataset], Frames],
) -> list[ViewedStructure]:
    """Read picks and targets, with what is known of them.

    Rigidities of picks and of atoms are those before any pick. Structures whose files are gone
    are left out.

    Parameters
    ----------
    record : HessianRecord
    factor : ndarray of shape (D', D')
        R of the record, for rows of unscaled features.
    selection : Selection
    pool : Dataset
    target : Dataset or None
    drawn : SelectionMap
        Where the structures are on the map.
    open_frames : callable
        Opens the structure files of a set.
    """
    sources = [_picks(selection, pool, drawn)]
    if target is not None:
        sources.append(_targets(selection, target, drawn))
    viewed: list[ViewedStructure] = []
    room = MOST_ATOMS
    n_wanted = sum(len(source.indices) for source in sources)
    for source in sources:
        try:
            for each in _read(source, record, factor, drawn, open_frames, room):
                viewed.append(each)
                room -= len(each.symbols)
        except PrcliError as error:
            logger.info("the %s set cannot be shown in 3-D: %s", source.data.name, error.what)
    if viewed and len(viewed) < n_wanted:
        logger.info("the 3-D view has the first %d of %d structures", len(viewed), n_wanted)
    return viewed


def _picks(selection: Selection, pool: Dataset, drawn: SelectionMap) -> _Source:
    places, rigidity = drawn.places("pool"), drawn.table["pr"]
    numbers = [
        {"rank": float(rank), "gain": pick.gain}
        | ({"PR before": float(rigidity[places[pick.index]])} if pick.index in places else {})
        for rank, pick in enumerate(selection.picks, start=1)
    ]
    return _Source("pool", pool, selection.indices.tolist(), numbers)


def _targets(selection: Selection, target: Dataset, drawn: SelectionMap) -> _Source:
    if selection.options.target_per != "structure":
        # Rigidities of atoms or components are no property of their structure: the map has that.
        places, rigidity = drawn.places("target"), drawn.table["pr"]
        indices = sorted(places)
        return _Source(
            "target",
            target,
            indices,
            [{"PR before": float(rigidity[places[index]])} for index in indices],
        )
    numbers = [
        {"PR before": before, "PR after": after}
        for before, after in zip(
            selection.target_pr_before.tolist(), selection.target_pr_after.tolist(), strict=True
        )
    ]
    return _Source("target", target, selection.target_structure.tolist(), numbers)


def _read(
    source: _Source,
    record: HessianRecord,
    factor: FloatArray,
    drawn: SelectionMap,
    open_frames: Callable[[Dataset], Frames],
    room: int,
) -> Iterator[ViewedStructure]:
    """Yield the structures of a set, as many as there is room for their atoms."""
    counts = np.cumsum(source.data.n_atoms[source.indices])
    n_fitting = int(np.searchsorted(counts, room, side="right"))
    indices = source.indices[:n_fitting]
    if not indices:
        return
    frames = open_frames(source.data)
    places, table = drawn.places(source.name), drawn.table
    names, number, frame = source.data.frames()
    contents = frames.read(np.array(indices, dtype=np.int64))
    for index, numbers, content in zip(indices, source.numbers, contents, strict=False):
        geometry = read_geometry(content, frames.where(index))
        place = places.get(index)
        known = {**numbers, "frame": float(frame[index])}
        texts = {
            "set": "pick" if source.name == "pool" else "target",
            "source": names[int(number[index])],
        }
        if place is not None:
            known |= {"PC1": float(table["pc1"][place]), "PC2": float(table["pc2"][place])}
            texts["formula"] = table["formula"][place] or ""
            texts["config_type"] = table["config_type"][place] or ""
        local = _local_rigidities(source.data, index, record, factor)
        alpha = record.alpha_energy
        if alpha is not None and "PR before" in known:
            known["sigma before"] = alpha / float(np.sqrt(known["PR before"]))
        yield ViewedStructure(
            symbols=tuple(SYMBOLS[int(z)] for z in geometry.numbers),
            positions=geometry.positions,
            cell=geometry.cell if any(geometry.pbc) else None,
            numbers=known,
            texts=texts,
            local=local,
            alpha=alpha,
        )


def _local_rigidities(
    data: Dataset, index: int, record: HessianRecord, factor: FloatArray
) -> FloatArray | None:
    """LPR of the atoms of a structure, shape (n,); None where atoms have no features."""
    if not data.has_atoms:
        return None
    part, position = data.locate(index)
    one = Dataset([type(part)(part.table, range(position, position + 1))], data.name)
    blocks = [rows for _, _, rows, _ in local_blocks(one, row_form(record))]
    return np.concatenate([rigidities(rows, factor, overwrite=True) for rows in blocks])
