"""Features that are not finite: found before long work starts, refused or left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets, check_finite
from prcli.data.dataset import Part
from prcli.data.row_array import RowArray
from prcli.errors import RequestError

logger = logging.getLogger(__name__)

#: Bytes of features that are looked at together.
_BLOCK_BYTES = 16 << 20


def is_finite(rows: NDArray[np.floating]) -> bool:
    """Whether all values are finite; one pass without temporaries in the usual case."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.add.reduce(rows, axis=None)
    # A sum of finite values may overflow; only then is each looked at.
    return bool(np.isfinite(total)) or bool(np.isfinite(rows).all())


def require_finite(part: Part) -> None:
    """Read all features of a table, and refuse the first that is not finite.

    Raises
    ------
    FeatureError
        With structure, atom and column.
    """
    table = part.table
    offsets = atom_offsets(table.n_atoms)
    for rows, atoms in ((table.structures, None), (table.atoms, offsets)):
        for start, block in _invalid_blocks(rows):
            check_finite(block, start, table.label, atoms)


def without_invalid(part: Part) -> list[Part]:
    """Leave out structures with features that are not finite, and list them.

    Returns
    -------
    parts : list of Part
        The runs of structures between those left out.

    Raises
    ------
    RequestError
        If nothing is left.
    """
    bad = _invalid_structures(part)
    keep = np.array([position not in bad for position in part.positions])
    if keep.all():
        return [part]
    dropped = [position for position in part.positions if position in bad]
    logger.warning(
        "%s: %d structures left out because a feature is not finite: %s",
        part.table.label,
        len(dropped),
        ", ".join(map(str, dropped)),
    )
    if not keep.any():
        raise RequestError("no structure has finite features", where=part.table.label)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(np.int8), [0]])))
    return [
        Part(part.table, part.positions[start:stop])
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]


def _invalid_structures(part: Part) -> set[int]:
    """Positions in the table of structures with features that are not finite."""
    table = part.table
    bad: set[int] = set()
    for start, block in _invalid_blocks(table.structures):
        bad.update((_invalid_rows(block) + start).tolist())
    offsets = atom_offsets(table.n_atoms)
    for start, block in _invalid_blocks(table.atoms):
        atoms = _invalid_rows(block) + start
        bad.update((np.searchsorted(offsets, atoms, side="right") - 1).tolist())
    return bad


def _invalid_blocks(rows: RowArray | None) -> Iterator[tuple[int, NDArray[np.floating]]]:
    """Read rows block by block; yield (first row, rows) where a value is not finite."""
    if rows is None:
        return
    height = max(1, _BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))
    for start in range(0, rows.shape[0], height):
        block = rows.read(start, min(start + height, rows.shape[0]))
        if not is_finite(block):
            yield start, block


def _invalid_rows(block: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions of the rows that hold a value that is not finite."""
    return np.flatnonzero(~np.isfinite(block).all(axis=1))
