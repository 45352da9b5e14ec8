"""What gradient rows must satisfy, wherever they come from; each fault is told in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.checks import FEATURE_DTYPES
from prcli.data.gradients import (
    FORCE,
    GRADIENT_KINDS,
    ROWS_AT_A_TIME,
    STRESS,
    GradientLayout,
    GradientTable,
    full_counts,
)
from prcli.data.row_array import RowArray
from prcli.errors import FeatureError
from prcli.records import RowKind


class Typed(Protocol):
    """Whatever has a shape and a type: an array, or a dataset that has not been read."""

    @property
    def shape(self) -> Any:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        ...


def gradient_layout(
    kind: ArrayLike, structure: ArrayLike, n_structures: int, reduced: bool, where: str
) -> GradientLayout:
    """Take kinds and structures of rows as a layout, values still to be checked.

    Raises
    ------
    FeatureError
        If they are not one integer per row, or a kind is not known.
    """
    kinds, owners = np.asarray(kind), np.asarray(structure)
    check_row_labels(kinds, owners, len(kinds) if kinds.ndim else 0, where)
    return GradientLayout(
        kind=_kind_codes(kinds, where),
        structure=_as_int64(owners),
        n_structures=n_structures,
        reduced=bool(reduced),
    )


def gradient_table(
    rows: RowArray,
    kind: ArrayLike,
    structure: ArrayLike,
    n_atoms: np.ndarray,
    *,
    reduced: bool,
    where: str,
) -> GradientTable:
    """Take rows with their kinds and structures as a table, all checked but the rows' values.

    Parameters
    ----------
    rows : RowArray
        (M, D) rows.
    kind, structure : (M,) array-like of int
        As `GradientLayout` describes them.
    n_atoms : (S,) array of int64
        Atoms of each structure.
    reduced : bool
        Whether blocks taller than D were reduced to D rows.
    where : str
        Name for messages.

    Raises
    ------
    FeatureError
        If they do not fit each other or the structures.
    """
    kinds, owners = np.asarray(kind), np.asarray(structure)
    check_row_labels(kinds, owners, rows.shape[0], where)
    layout = gradient_layout(kinds, owners, len(n_atoms), reduced, where)
    table = GradientTable(
        rows=rows,
        kind=layout.kind,
        structure=layout.structure,
        n_structures=layout.n_structures,
        reduced=reduced,
    )
    check_gradients(table, n_atoms, rows.shape[1], where)
    return table


def check_gradient_rows(rows: Typed, n_features: int, where: str) -> None:
    """Check shape and type of gradient rows.

    Raises
    ------
    FeatureError
        Unless they are (M, D) of float32 or float64, with D of the features.
    """
    shape = tuple(rows.shape)
    if len(shape) != 2:
        raise FeatureError(
            "gradient rows are misshaped",
            where=where,
            expected=f"shape (M, {n_features})",
            got=f"shape {shape}",
        )
    if shape[1] != n_features:
        raise FeatureError(
            "gradient rows and features differ in width",
            where=where,
            expected=f"{n_features} columns, one per feature",
            got=f"{shape[1]}",
        )
    if rows.dtype.newbyteorder("=") not in FEATURE_DTYPES:
        raise FeatureError(
            "gradient rows have an unsuitable type",
            where=where,
            expected="float32 or float64",
            got=str(rows.dtype),
        )


def check_row_labels(kind: Typed, structure: Typed, n_rows: int, where: str) -> None:
    """Check shape and type of the kinds and structures of gradient rows.

    Raises
    ------
    FeatureError
        Unless each is one integer per row.
    """
    for name, values in (("kinds", kind), ("structures", structure)):
        if tuple(values.shape) != (n_rows,) or (n_rows and values.dtype.kind not in "iu"):
            raise FeatureError(
                f"{name} of gradient rows do not fit the rows",
                where=where,
                expected=f"one integer per row, shape ({n_rows},)",
                got=f"shape {tuple(values.shape)} of {values.dtype}",
            )


def check_gradients(
    layout: GradientLayout, n_atoms: np.ndarray, n_features: int, where: str
) -> None:
    """Check that gradient rows are in order, and complete where a structure has any.

    Parameters
    ----------
    layout : GradientLayout
        Or a table.
    n_atoms : (S,) array of int64
        Atoms of each structure.
    n_features : int
        D, to which reduced blocks are cut.
    where : str
        Name for messages.

    Raises
    ------
    FeatureError
        If a kind is unknown, structures are out of range or out of order, forces do not
        come first, or rows are missing or too many.
    """
    _check_order(layout, where)
    _check_range(layout, where)
    for kind in GRADIENT_KINDS:
        _check_counts(layout, kind, n_atoms, n_features, where)


def _check_order(layout: GradientLayout, where: str) -> None:
    """Refuse rows that are not grouped by structure, or with forces behind stresses."""
    for start, kind, structure in _spans(layout):
        unknown = (kind != FORCE) & (kind != STRESS)
        if unknown.any():
            raise _unknown_kind(kind, start, where)
        steps = np.diff(structure)
        if (steps < 0).any():
            at = int(np.argmax(steps < 0)) + 1
            raise FeatureError(
                "gradient rows are not grouped by structure",
                where=f"{where}, gradient row {start + at}",
                expected=f"structure {structure[at - 1]} or a later one, as in the rows before",
                got=f"structure {structure[at]}",
            )
        swapped = (steps == 0) & (kind[1:] < kind[:-1])
        if swapped.any():
            at = int(np.argmax(swapped)) + 1
            raise FeatureError(
                "a force row follows a stress row of the same structure",
                where=f"{where}, gradient row {start + at}, structure {structure[at]}",
                expected="forces of a structure before its stress",
            )


def _check_range(layout: GradientLayout, where: str) -> None:
    """Refuse structures that the set does not have; rows are in order."""
    for at in (0, -1) if layout.n_rows else ():
        if not 0 <= layout.structure[at] < layout.n_structures:
            raise FeatureError(
                "a gradient row belongs to a structure that is not there",
                where=f"{where}, gradient row {at % layout.n_rows}",
                expected=f"structures 0 to {layout.n_structures - 1}",
                got=f"structure {layout.structure[at]}",
            )


def _check_counts(
    layout: GradientLayout, kind: RowKind, n_atoms: np.ndarray, n_features: int, where: str
) -> None:
    """Refuse structures with some, but not all rows of a kind."""
    counts = layout.counts(kind)
    full = full_counts(kind, n_atoms)
    expected = np.minimum(full, n_features) if layout.reduced else full
    bad = (counts > 0) & (counts != expected)
    if not bad.any():
        return
    first = int(np.argmax(bad))
    text = f"{expected[first]} {kind} rows or none"
    if expected[first] < full[first]:
        text += f", {full[first]} reduced to one per feature"
    elif kind == "force":
        text += f", 3 for each of {n_atoms[first]} atoms"
    cut = not layout.reduced and counts[first] == n_features < full[first]
    raise FeatureError(
        f"number of {kind} rows does not fit the structure",
        where=f"{where}, structure {first}",
        expected=text,
        got=str(counts[first]),
        remedy="if blocks were reduced by QR, say so: reduced = true" if cut else None,
    )


def _spans(layout: GradientLayout) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Read kinds and structures in spans that overlap by one row."""
    for start in range(0, layout.n_rows, ROWS_AT_A_TIME):
        here = slice(start, start + ROWS_AT_A_TIME + 1)
        yield start, layout.kind[here], layout.structure[here]


def _kind_codes(kind: np.ndarray, where: str) -> np.ndarray:
    """Take kinds as (M,) uint8, without a copy where they are that already."""
    if kind.dtype == np.uint8:
        return kind
    if kind.size and not (kind.min() >= FORCE and kind.max() <= STRESS):
        raise _unknown_kind(kind, 0, where)
    return kind.astype(np.uint8)


def _as_int64(structure: np.ndarray) -> np.ndarray:
    """Take structures as (M,) int64; what is beyond its range becomes negative."""
    return structure.astype(np.int64, copy=False)


def _unknown_kind(kind: np.ndarray, start: int, where: str) -> FeatureError:
    """Name the first row of a kind that is not known."""
    first = int(np.argmax((kind != FORCE) & (kind != STRESS)))
    return FeatureError(
        "kind of a gradient row is unknown",
        where=f"{where}, gradient row {start + first}",
        expected="1 (force) or 2 (stress)",
        got=str(kind[first]),
    )
