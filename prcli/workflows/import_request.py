"""What an import of features is asked for, and what it did."""

from __future__ import annotations

from dataclasses import dataclass

from prcli.data.conventions import RowConvention


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    Attributes
    ----------
    structures : str
        extxyz file, with an optional slice, or ``-`` for standard input.
    output : str
        Feature store to write.
    features : str, optional
        npy, npz, mts or HDF5 file with one row per structure or per atom.
    array : str, optional
        Name of the array where `features` holds several.
    feature_key : str, optional
        Per-atom column or vector of the comment line, instead of `features`.
    convention : {"mean", "sum", "per-atom"}, optional
        What the rows are; needed unless `feature_key` names a column.
    blocks : str, optional
        ``name:width,…``, the components of the model in column order.
    allow_pickle, skip_invalid, overwrite : bool
    with_provenance : bool
        Whether time, command line and machine are recorded.
    """

    structures: str
    output: str
    features: str | None = None
    array: str | None = None
    feature_key: str | None = None
    convention: RowConvention | None = None
    blocks: str | None = None
    allow_pickle: bool = False
    skip_invalid: bool = False
    overwrite: bool = False
    with_provenance: bool = True


@dataclass(frozen=True)
class ImportSummary:
    """What was imported.

    Attributes
    ----------
    path : str
    n_structures, n_atoms, n_features : int
    dtype : str
    convention : {"mean", "sum", "per-atom"}
        What the rows were.
    skipped : tuple of int
        Frames left out because a feature was not finite.
    notes : tuple of str
        What the user should know.
    """

    path: str
    n_structures: int
    n_atoms: int
    n_features: int
    dtype: str
    convention: RowConvention
    skipped: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
