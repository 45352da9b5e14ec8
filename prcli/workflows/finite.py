"""Features and gradient rows that are not finite: refused, or left out, before long work."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets, check_finite
from prcli.data.dataset import Part
from prcli.data.feature_table import FeatureTable
from prcli.data.row_array import RowArray
from prcli.errors import RequestError
from prcli.wording import counted

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
    """Read all rows of a table, and refuse the first value that is not finite.

    Raises
    ------
    FeatureError
        With structure, atom or gradient row, and column.
    """
    for unit, rows, offsets in _rows_of(part.table):
        for start, block in _invalid_blocks(rows):
            check_finite(block, start, part.table.label, offsets, unit)


def without_invalid(part: Part) -> list[Part]:
    """Leave out structures with features or gradient rows that are not finite, and list them.

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
        "%s: %s left out because a feature is not finite: %s",
        part.table.label,
        counted(len(dropped), "structure"),
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
    """Positions in the table of structures with rows that are not finite."""
    bad: set[int] = set()
    for _, rows, offsets in _rows_of(part.table):
        for start, block in _invalid_blocks(rows):
            invalid = _invalid_rows(block) + start
            if offsets is not None:
                invalid = np.searchsorted(offsets, invalid, side="right") - 1
            bad.update(invalid.tolist())
    return bad


def _rows_of(
    table: FeatureTable,
) -> Iterator[tuple[str, RowArray | None, NDArray[np.int64] | None]]:
    """Give what a row is, the rows, and the first row of each structure if it has several."""
    yield "structure", table.structures, None
    yield "atom", table.atoms, atom_offsets(table.n_atoms)
    if table.gradients is not None:
        yield "gradient row", table.gradients.rows, table.gradients.offsets


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
