"""Features of a set of structures: what every set offers, and sets held in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from prcli.data import checks
from prcli.data.digests import compute_digests, content_digest_of
from prcli.data.gradient_checks import check_gradient_rows, gradient_table
from prcli.data.gradients import GradientTable
from prcli.data.row_array import ArrayRows, RowArray
from prcli.data.source import StoreSource
from prcli.errors import FeatureError
from prcli.records import Block, Convention, FeatureKind


class Features:
    """Features in memory, checked like those of a store.

    Parameters
    ----------
    structures : (S, D) array-like of float, optional
        Rows of structures.
    atoms : (N, D) array-like of float, optional
        Rows of atoms, those of structure 0 first. At least one of the two is needed.
    n_atoms : (S,) array-like of int, optional
        Atoms of each structure; ones by default, needed if `atoms` is given.
    convention : {"mean", "sum"}
        What `structures` holds.
    species : (N,) array-like of int, optional
        Atomic numbers.
    blocks : sequence of Block, optional
        Components, in column order.
    feature_kind : {"last-layer", "descriptor"}, optional
        What features of a network are.
    columns : mapping of str to (S,) array-like, optional
        Numbers or strings to filter, weigh or calibrate by.
    gradients : (M, D) array-like of float, optional
        Rows of forces and stresses, grouped by structure: forces atom by atom in x, y, z, then
        stresses in Voigt order xx, yy, zz, yz, xz, xy.
    gradient_kind : (M,) array-like of int, optional
        1 for a row of a force, 2 for one of a stress; needed with `gradients`.
    gradient_structure : (M,) array-like of int, optional
        Structure of each such row, never decreasing; needed with `gradients`.
    gradients_reduced : bool
        Whether blocks taller than D were reduced to D rows, per structure and kind.
    label : str
        Name for messages.

    Raises
    ------
    FeatureError
        If arrays are absent, misshaped, not finite or do not fit each other.
    """

    source: StoreSource | None = None
    featurizer: Mapping[str, object] | None = None

    def __init__(
        self,
        structures: ArrayLike | None = None,
        atoms: ArrayLike | None = None,
        n_atoms: ArrayLike | None = None,
        *,
        convention: Convention = "mean",
        species: ArrayLike | None = None,
        blocks: Sequence[Block] | None = None,
        feature_kind: FeatureKind | None = None,
        columns: Mapping[str, ArrayLike] | None = None,
        gradients: ArrayLike | None = None,
        gradient_kind: ArrayLike | None = None,
        gradient_structure: ArrayLike | None = None,
        gradients_reduced: bool = False,
        label: str = "array",
    ) -> None:
        self.label = label
        checks.check_convention(convention, label)
        self.convention: Convention = convention
        rows = None if structures is None else _as_floats(structures)
        self.n_atoms: np.ndarray = _default_n_atoms(rows, atoms, n_atoms, label)
        self.n_structures: int = len(self.n_atoms)
        offsets = checks.atom_offsets(self.n_atoms)
        n_atoms_total = int(offsets[-1])
        self.structures: RowArray | None = None
        self.atoms: RowArray | None = None
        if rows is not None:
            checks.check_features(rows.shape, rows.dtype, self.n_structures, "structure", label)
            checks.check_finite(rows, 0, label)
            self.structures = ArrayRows(rows)
        if atoms is not None:
            rows = _as_floats(atoms)
            checks.check_features(rows.shape, rows.dtype, n_atoms_total, "atom", label)
            checks.check_finite(rows, 0, label, offsets)
            self.atoms = ArrayRows(rows)
        self.n_features, self.dtype = common_features(self.structures, self.atoms, label)
        self.blocks = checks.check_blocks(blocks, self.n_features, label)
        self.feature_kind: FeatureKind | None = feature_kind
        self.species: np.ndarray | None = None
        if species is not None:
            self.species = checks.check_species(species, n_atoms_total, label)
        self._columns = checks.check_columns(columns, self.n_structures, label)
        self.column_names: tuple[str, ...] = tuple(self._columns)
        self.gradients = self._take_gradients(
            gradients, gradient_kind, gradient_structure, gradients_reduced
        )

    def _take_gradients(
        self,
        gradients: ArrayLike | None,
        kind: ArrayLike | None,
        structure: ArrayLike | None,
        reduced: bool,
    ) -> GradientTable | None:
        """Check gradient rows; either all three arrays are given or none."""
        if gradients is None and kind is None and structure is None:
            return None
        if gradients is None or kind is None or structure is None:
            raise FeatureError(
                "gradient rows are incomplete",
                where=self.label,
                expected="gradients, gradient_kind and gradient_structure, or none of them",
            )
        rows = _as_floats(gradients)
        check_gradient_rows(rows, self.n_features, self.label)
        table = gradient_table(
            ArrayRows(rows), kind, structure, self.n_atoms, reduced=reduced, where=self.label
        )
        checks.check_finite(rows, 0, self.label, table.offsets, "gradient row")
        return table

    def column(self, name: str) -> np.ndarray:
        """Give an optional column.

        Raises
        ------
        FeatureError
            If there is none of that name.
        """
        if name not in self._columns:
            raise absent_column(name, self.column_names, self.label)
        return self._columns[name]

    @cached_property
    def digests(self) -> np.ndarray | None:
        """(S,) uint64 digest of each structure, computed at first use."""
        return compute_digests(self)

    @cached_property
    def content_digest(self) -> str | None:
        """Digest of all of it, computed at first use."""
        return content_digest_of(self)


def common_features(
    structures: RowArray | None, atoms: RowArray | None, label: str
) -> tuple[int, np.dtype]:
    """Give the number of features and the type that structures and atoms share.

    Raises
    ------
    FeatureError
        If both are absent, or their widths differ.
    """
    present = [rows for rows in (structures, atoms) if rows is not None]
    if not present:
        raise FeatureError(
            "there are no features", where=label, expected="features of structures or of atoms"
        )
    widths = {rows.shape[1] for rows in present}
    if len(widths) > 1:
        raise FeatureError(
            "structures and atoms have different numbers of features",
            where=label,
            got=" and ".join(str(rows.shape[1]) for rows in present),
        )
    return widths.pop(), np.result_type(*(rows.dtype for rows in present))


def absent_column(name: str, names: Sequence[str], label: str) -> FeatureError:
    """Say that a column is absent, and which ones are there."""
    return FeatureError(
        f"column {name!r} is absent",
        where=label,
        expected="one of " + ", ".join(names) if names else "columns, but there are none",
    )


def _as_floats(values: ArrayLike) -> np.ndarray:
    """Take floats as they are and integers as float64."""
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def _default_n_atoms(
    structures: np.ndarray | None,
    atoms: ArrayLike | None,
    n_atoms: ArrayLike | None,
    label: str,
) -> np.ndarray:
    """Take the numbers of atoms as given, or as ones where there are only structures."""
    if n_atoms is not None:
        return checks.check_n_atoms(n_atoms, label)
    if atoms is not None:
        raise FeatureError(
            "numbers of atoms are needed with features of atoms",
            where=label,
            remedy="give n_atoms, one number per structure",
        )
    n_structures = 0 if structures is None or structures.ndim == 0 else len(structures)
    if structures is None:
        raise FeatureError(
            "there are no features", where=label, expected="features of structures or of atoms"
        )
    return checks.check_n_atoms(np.ones(n_structures, dtype=np.int64), label)
