"""What features must satisfy, wherever they come from; each fault is told in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.row_offsets import atom_offsets as atom_offsets
from prcli.data.store_schema import CONVENTIONS, FEATURES, N_ATOMS, format_blocks, parse_blocks
from prcli.errors import FeatureError, FormatError
from prcli.records import Block

FEATURE_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_n_atoms(n_atoms: ArrayLike, where: str) -> np.ndarray:
    """Check the number of atoms of each structure.

    Parameters
    ----------
    n_atoms : (S,) array-like of int
        Each at least 1.
    where : str
        Name for messages.

    Returns
    -------
    (S,) array of int64
        The same numbers.

    Raises
    ------
    FeatureError
        If there is no structure, or a number is not a positive 32-bit integer.
    """
    counts = np.asarray(n_atoms)
    if counts.ndim != 1 or (counts.size and counts.dtype.kind not in "iu"):
        raise FeatureError(
            "numbers of atoms are misshaped",
            where=where,
            expected="one integer per structure, shape (S,)",
            got=f"shape {counts.shape} of {counts.dtype}",
        )
    if counts.size == 0:
        raise FeatureError("there are no structures", where=where, expected="1 or more")
    bad = (counts < 1) | (counts > np.iinfo(np.int32).max)
    if bad.any():
        first = int(np.argmax(bad))
        raise FeatureError(
            "number of atoms is out of range",
            where=f"{where}, structure {first}",
            expected="1 to 2147483647",
            got=str(counts[first]),
        )
    return counts.astype(np.int64)


def check_features(
    shape: tuple[int, ...], dtype: np.dtype, n_rows: int, unit: str, where: str
) -> None:
    """Check shape and type of an array of features.

    Parameters
    ----------
    shape, dtype
        What the array has.
    n_rows : int
        Rows that it should have.
    unit : str
        What a row is: "structure", "atom" or "gradient row".
    where : str
        Name for messages.

    Raises
    ------
    FeatureError
        Unless the array is (n_rows, D) with D at least 1, of float32 or float64.
    """
    if len(shape) != 2 or shape[0] != n_rows or shape[1] < 1:
        raise FeatureError(
            f"features do not fit the {unit}s",
            where=where,
            expected=f"one row per {unit}, shape ({n_rows}, D)",
            got=f"shape {shape}",
        )
    if dtype.newbyteorder("=") not in FEATURE_DTYPES:
        raise FeatureError(
            "features have an unsuitable type",
            where=where,
            expected="float32 or float64",
            got=str(dtype),
        )


def check_finite(
    rows: np.ndarray,
    start: int,
    where: str,
    offsets: np.ndarray | None = None,
    unit: str = "atom",
) -> None:
    """Refuse features that are not finite, with the position of the first one.

    Parameters
    ----------
    rows : (n, D) array
        Consecutive rows.
    start : int
        Position of the first of them in the whole set.
    where : str
        Name of the set for messages.
    offsets : (S + 1,) array of int, optional
        Given if structures have several rows: as `atom_offsets`.
    unit : str
        What a row is then: "atom" or "gradient row".

    Raises
    ------
    FeatureError
        If a value is NaN or infinite.
    """
    finite = np.isfinite(rows)
    if finite.all():
        return
    row, column = divmod(int(np.argmin(finite)), rows.shape[1])
    place = f"structure {start + row}"
    if offsets is not None:
        structure = int(np.searchsorted(offsets, start + row, side="right")) - 1
        place = f"{unit} {start + row - int(offsets[structure])} of structure {structure}"
    raise FeatureError(
        "feature is not finite",
        where=f"{where}, {place}, column {column}",
        expected="a finite number",
        got=str(rows[row, column]),
        remedy="compute the features again, or leave such structures out with --skip-invalid",
    )


def check_species(species: ArrayLike, n_atoms_total: int, where: str) -> np.ndarray:
    """Check the atomic number of each atom.

    Returns
    -------
    (N,) array of uint8
        Without a copy where it is that already.

    Raises
    ------
    FeatureError
        If the length or a number is wrong.
    """
    numbers = np.asarray(species)
    if numbers.shape != (n_atoms_total,) or numbers.dtype.kind not in "iu":
        raise FeatureError(
            "species do not fit the atoms",
            where=where,
            expected=f"one atomic number per atom, shape ({n_atoms_total},)",
            got=f"shape {numbers.shape} of {numbers.dtype}",
        )
    if numbers.dtype == np.uint8:
        return numbers
    if numbers.size and (numbers.min() < 0 or numbers.max() > 255):
        raise FeatureError(
            "atomic number is out of range",
            where=where,
            expected="0 to 255",
            got=f"{numbers.min()} to {numbers.max()}",
        )
    return numbers.astype(np.uint8)


def check_blocks(
    blocks: Sequence[Block] | None, n_features: int, where: str
) -> tuple[Block, ...] | None:
    """Check that named blocks cover the columns, each name once.

    Raises
    ------
    FeatureError
        If they do not.
    """
    if blocks is None:
        return None
    try:
        parsed = parse_blocks(format_blocks(blocks))
    except FormatError as error:
        raise FeatureError(error.what, where=where, got=error.got) from error
    if parsed != tuple(blocks):
        raise FeatureError(
            "name of a block cannot be stored",
            where=where,
            expected="names without commas and without spaces at their ends",
            got=", ".join(repr(block.name) for block in blocks),
        )
    width = sum(block.width for block in blocks)
    if width != n_features:
        raise FeatureError(
            "blocks do not cover the feature columns",
            where=where,
            expected=f"widths that add up to {n_features}",
            got=f"{format_blocks(blocks)}, together {width}",
        )
    return parsed


def check_convention(convention: str, where: str) -> None:
    """Refuse a convention that is neither mean nor sum.

    Raises
    ------
    FeatureError
        With the known ones.
    """
    if convention not in CONVENTIONS:
        raise FeatureError(
            "convention is unknown",
            where=where,
            expected=" or ".join(CONVENTIONS),
            got=repr(convention),
        )


def check_columns(
    columns: Mapping[str, ArrayLike] | None, n_structures: int, where: str
) -> dict[str, np.ndarray]:
    """Check optional columns: float64 numbers or strings, one per structure.

    Parameters
    ----------
    columns : mapping of str to (S,) array-like, or None
        NaN is allowed: it marks a value that is absent.
    n_structures : int
        S.
    where : str
        Name for messages.

    Returns
    -------
    dict of str to (S,) array
        Sorted by name, of float64 or str.

    Raises
    ------
    FeatureError
        If a name or a length is wrong, or a number does not fit into float64.
    """
    return {
        name: _check_column(name, values, n_structures, f"{where}, column {name!r}")
        for name, values in sorted((columns or {}).items())
    }


def _check_column(name: str, values: ArrayLike, n_structures: int, where: str) -> np.ndarray:
    """Check one column."""
    if name in ("", ".", N_ATOMS, FEATURES) or "/" in name or "\0" in name:
        raise FeatureError("name of a column cannot be used", where=where)
    array = np.asarray(values)
    if array.shape != (n_structures,):
        raise FeatureError(
            "column does not fit the structures",
            where=where,
            expected=f"shape ({n_structures},)",
            got=f"shape {array.shape}",
        )
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array):
        return array.astype(np.str_)
    if array.dtype.kind not in "biuf":
        raise FeatureError(
            "column has an unsuitable type",
            where=where,
            expected="numbers or strings",
            got=str(array.dtype),
        )
    numbers = array.astype(np.float64)
    if array.dtype.kind in "iu" and not np.array_equal(numbers.astype(array.dtype), array):
        raise FeatureError(
            "column holds integers too large for float64",
            where=where,
            expected="magnitudes up to 2**53",
            remedy="store them as strings",
        )
    return numbers
