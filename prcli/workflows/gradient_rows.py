"""Rows of forces and stresses, as the Hessian takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import check_finite
from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import GradientBlock
from prcli.data.gradients import GRADIENT_KINDS
from prcli.records import RowKind
from prcli.workflows.finite import is_finite
from prcli.workflows.rows import RowForm

FloatArray = NDArray[np.float64]


def gradient_rows(
    block: GradientBlock,
    form: RowForm,
    data: Dataset,
    kinds: Collection[RowKind] = tuple(GRADIENT_KINDS),
) -> Iterator[tuple[RowKind, NDArray[np.intp], FloatArray]]:
    """Give the rows of a block as float64 with columns of zeros for the intercept.

    Parameters
    ----------
    block : GradientBlock
        Whole structures; a large one is given in pieces, so that memory stays bounded.
    form : RowForm
    data : Dataset
        That the block was read from, for messages.
    kinds : collection of {"force", "stress"}
        Others are passed over.

    Yields
    ------
    kind : {"force", "stress"}
    index : (n,) array of int
        Position in the block of each row.
    rows : (n, D') array of float64
        Free to be overwritten.

    Raises
    ------
    FeatureError
        If a value is not finite.
    """
    for kind in kinds:
        found = np.flatnonzero(block.kind == GRADIENT_KINDS[kind])
        for start in range(0, len(found), form.block_rows):
            index = found[start : start + form.block_rows]
            rows = np.zeros((len(index), form.n_columns))
            rows[:, : form.n_features] = block.rows[index]
            if not is_finite(rows):
                _refuse(rows, index, kind, block, data)
            yield kind, index, rows


def _refuse(
    rows: FloatArray, index: NDArray[np.intp], kind: RowKind, block: GradientBlock, data: Dataset
) -> None:
    """Name the first value that is not finite."""
    first = int(np.argmin(np.isfinite(rows).all(axis=1)))
    structure, place = int(block.structure[index[first]]), int(block.place[index[first]])
    part, position = data.locate(structure)
    check_finite(rows[first : first + 1], position, f"{part.table.label}, {kind} row {place}")
