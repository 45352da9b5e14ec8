"""What a store in the making will hold, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from prcli.data import checks, store_schema
from prcli.data.gradient_checks import check_gradients, gradient_layout
from prcli.data.gradients import GradientLayout, GradientShape
from prcli.data.row_offsets import atom_offsets
from prcli.data.source import StoreSource
from prcli.errors import FeatureError
from prcli.records import Block, Convention


@dataclass(frozen=True, eq=False)
class RowPlan:
    """One dataset of rows of a store in the making.

    Attributes
    ----------
    group, dataset : str
        Where it will be.
    unit : {"structure", "atom", "gradient row"}
        What a row is.
    dtype : dtype
        Type of the rows on disk.
    shape : tuple of int
        Rows and columns.
    heads : (S,) array of int64
        What is hashed before the rows of each structure: its atoms, or its gradient rows.
    offsets : (S + 1,) array of int64, or None
        First row of each structure; None where each structure has one row.
    """

    group: str
    dataset: str
    unit: str
    dtype: np.dtype
    shape: tuple[int, int]
    heads: np.ndarray
    offsets: np.ndarray | None

    @property
    def noun(self) -> str:
        """What the rows are called in messages."""
        return "gradient rows" if self.unit == "gradient row" else f"features of {self.unit}s"

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class StorePlan:
    """What a store will hold beside the values of its rows.

    Attributes
    ----------
    convention : {"mean", "sum"}
    n_atoms : (S,) array of int64
    n_features : int
    rows : dict of str to RowPlan
        By group, in the order in which they lie in the file.
    blocks : tuple of Block, or None
    columns : dict of str to (S,) array
    source : StoreSource, or None
    gradients : GradientLayout, or None
    """

    convention: Convention
    n_atoms: np.ndarray
    n_features: int
    rows: dict[str, RowPlan]
    blocks: tuple[Block, ...] | None
    columns: dict[str, np.ndarray]
    source: StoreSource | None
    gradients: GradientLayout | None

    @property
    def n_atoms_total(self) -> int:
        """N."""
        return int(self.n_atoms.sum())

    @property
    def n_bytes(self) -> int:
        """Size of rows on disk, and of what tells gradient rows apart."""
        labels = 0 if self.gradients is None else 9 * self.gradients.n_rows
        return labels + sum(plan.n_bytes for plan in self.rows.values())


def plan_store(
    where: str,
    *,
    n_atoms: ArrayLike,
    n_features: int,
    dtype: DTypeLike,
    convention: Convention,
    structures: bool,
    structures_dtype: DTypeLike | None,
    atoms: bool,
    blocks: Sequence[Block] | None,
    columns: Mapping[str, ArrayLike] | None,
    source: StoreSource | None,
    gradients: GradientShape | None,
) -> StorePlan:
    """Check what a store shall hold; parameters as of `prcli.data.store_writer.StoreWriter`.

    Raises
    ------
    FeatureError
        If the parts do not fit each other.
    """
    checks.check_convention(convention, where)
    counts = checks.check_n_atoms(n_atoms, where)
    if not (structures or atoms):
        raise FeatureError("a store needs features of structures or of atoms", where=where)
    rows: dict[str, RowPlan] = {}
    if structures:
        kind = np.dtype(structures_dtype or dtype)
        rows[store_schema.STRUCTURES] = _feature_plan("structure", kind, n_features, counts, where)
    if atoms:
        rows[store_schema.ATOMS] = _feature_plan("atom", np.dtype(dtype), n_features, counts, where)
    layout = None
    if gradients is not None:
        layout = _layout(gradients, counts, n_features, where)
        rows[store_schema.GRADIENTS] = _gradient_plan(gradients, layout, n_features, where)
    _check_source(source, len(counts), where)
    return StorePlan(
        convention=convention,
        n_atoms=counts,
        n_features=n_features,
        rows=rows,
        blocks=checks.check_blocks(blocks, n_features, where),
        columns=checks.check_columns(columns, len(counts), where),
        source=source,
        gradients=layout,
    )


def _feature_plan(
    unit: str, dtype: np.dtype, n_features: int, n_atoms: np.ndarray, where: str
) -> RowPlan:
    """Plan features of structures or of atoms."""
    checks.check_features((1, n_features), dtype, 1, unit, where)
    offsets = atom_offsets(n_atoms) if unit == "atom" else None
    n_rows = len(n_atoms) if offsets is None else int(offsets[-1])
    return RowPlan(
        group=f"{unit}s",
        dataset=store_schema.FEATURES,
        unit=unit,
        dtype=dtype,
        shape=(n_rows, n_features),
        heads=n_atoms,
        offsets=offsets,
    )


def _layout(
    gradients: GradientShape, n_atoms: np.ndarray, n_features: int, where: str
) -> GradientLayout:
    """Check which gradient rows there will be."""
    layout = gradient_layout(
        gradients.kind, gradients.structure, len(n_atoms), gradients.reduced, where
    )
    check_gradients(layout, n_atoms, n_features, where)
    return layout


def _gradient_plan(
    gradients: GradientShape, layout: GradientLayout, n_features: int, where: str
) -> RowPlan:
    """Plan gradient rows."""
    dtype = np.dtype(gradients.dtype)
    checks.check_features((1, n_features), dtype, 1, "gradient row", where)
    return RowPlan(
        group=store_schema.GRADIENTS,
        dataset=store_schema.ROWS,
        unit="gradient row",
        dtype=dtype,
        shape=(layout.n_rows, n_features),
        heads=np.diff(layout.offsets),
        offsets=layout.offsets,
    )


def _check_source(source: StoreSource | None, n_structures: int, where: str) -> None:
    """Refuse a source of another number of structures."""
    if source is not None and len(source.file) != n_structures:
        raise FeatureError(
            "source does not fit the structures",
            where=where,
            expected=f"{n_structures} structures",
            got=f"{len(source.file)}",
        )
