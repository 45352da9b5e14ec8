"""Arrays of other programs, opened whatever file they are in."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, as_foreign
from prcli.data.formats import open_array
from prcli.data.row_layout import float_type
from prcli.data.table_files import Cells, read_cells, table_kind
from prcli.errors import FeatureError, RequestError
from prcli.wording import counted
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames


def open_foreign(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ForeignArray:
    """Open the features file of a request.

    Parameters
    ----------
    request : ImportRequest
    frames : ImportFrames
        Structures, which tell how many rows an empty cell of a table stands for.
    stack : ExitStack
        Closes the file.

    Raises
    ------
    FeatureError, FormatError, InputFileError
        If the file cannot be read, or holds no table of rows.
    RequestError
        If it is a folder.
    """
    path = Path(str(request.features))
    if path.is_dir():
        raise RequestError(
            "the features are a folder",
            where=str(path),
            expected="a file",
            remedy="what dp eval-desc of DeePMD-kit writes is read with --from deepmd",
        )
    if table_kind(path) is not None:
        cells = read_cells(path, request.array, allow_pickle=request.allow_pickle)
        return table_array(cells, frames)
    array = open_array(path, array=request.array, allow_pickle=request.allow_pickle)
    return stack.enter_context(array)


def table_array(cells: Cells, frames: ImportFrames) -> ForeignArray:
    """Put the cells of a column below each other.

    Cells of two axes hold a structure's atoms each; empty ones become rows of nan, which are
    refused or left out later. Cells of one axis hold a row each.

    Raises
    ------
    FeatureError
        If cells have different axes or widths, or are all empty.
    """
    found = [row for row in cells.rows if row is not None]
    shapes = {(row.ndim, row.shape[-1]) for row in found}
    if len(shapes) != 1:
        raise FeatureError(
            "cells of the column do not go together" if found else "cells are all empty",
            where=cells.where,
            expected="(atoms, D) in each row, or (D,) in each row, with one D",
            got=", ".join(str(row.shape) for row in found[:5]) or "no arrays",
        )
    n_axes, width = shapes.pop()
    dtype = float_type(np.result_type(*found))
    n_empty = len(cells.rows) - len(found)
    are = "is" if n_empty == 1 else "are"
    said = (f"{counted(n_empty, 'row')} of the table {are} empty",) if n_empty else ()
    notes = cells.notes + said
    if n_axes == 1:
        rows = [np.full(width, np.nan, dtype) if row is None else row for row in cells.rows]
        return _with_species(as_foreign(np.stack(rows), cells.where, notes), cells, None)
    heights = _heights(cells, frames)
    table = np.full((int(heights.sum()), width), np.nan, dtype=dtype)
    stops = np.cumsum(heights)
    for row, height, stop in zip(cells.rows, heights.tolist(), stops.tolist(), strict=True):
        if row is not None:
            table[stop - height : stop] = row
    return _with_species(as_foreign(table, cells.where, notes), cells, heights)


def _heights(cells: Cells, frames: ImportFrames) -> NDArray[np.int64]:
    """Count the atoms of each row of the table; an empty one has those of its structure."""
    heights = [0 if row is None else len(row) for row in cells.rows]
    empty = np.array([row is None for row in cells.rows])
    counts = np.array(heights, dtype=np.int64)
    if len(counts) == len(frames.n_atoms):
        counts[empty] = frames.n_atoms[empty]
    return counts


def _with_species(
    array: ForeignArray, cells: Cells, n_atoms: NDArray[np.int64] | None
) -> ForeignArray:
    """Add what the table says about its structures."""
    if cells.species is None or len(cells.species) != len(cells.rows):
        return replace(array, n_atoms=n_atoms)
    counts = np.array([len(numbers) for numbers in cells.species], dtype=np.int64)
    if n_atoms is not None and not np.array_equal(n_atoms, counts):
        return replace(array, n_atoms=n_atoms)
    species = np.concatenate(cells.species).astype(np.uint8)
    return replace(array, n_atoms=counts, species=species)
