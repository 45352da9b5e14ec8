"""What an import of features is asked for, and what it did."""

from __future__ import annotations

from dataclasses import dataclass

from prcli.data.conventions import RowConvention
from prcli.records import FeatureKind


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    Attributes
    ----------
    structures : str
        Structure file (extxyz, or what ASE reads), with an optional slice, or ``-`` for extxyz on
        standard input.
    output : str
        Feature store to write.
    features : str, optional
        npy, npz, mts or HDF5 file with one row per structure or per atom; pickle, parquet or csv
        file with a column of arrays; or what `program` writes.
    program : str, optional
        Program that wrote the features, which declares their convention; see
        `prcli.workflows.import_profiles`.
    array : str, optional
        Name of the array where `features` holds several, or of the column; of files of
        gradients, too, that have an array of this name.
    systems : tuple of str
        Systems of DeePMD-kit in the order of the structures; all by name if empty.
    feature_key : str, optional
        Per-atom column or vector of the comment line, instead of `features`.
    convention : {"mean", "sum", "per-atom"}, optional
        What the rows are; needed unless `feature_key` names a column.
    blocks : str, optional
        ``name:width,…``, the components of the model in column order.
    per_species : bool
        Whether each element gets columns of its own.
    species : tuple of str, optional
        Symbols of the elements that get them; by default those that occur.
    feature_kind : {"last-layer", "descriptor"}, optional
        What features of a network are, where the program does not tell, or against what it tells.
    columns : tuple of str
        Keys of the comment line that become columns of the store, as ``KEY`` or ``NAME=KEY``.
    allow_pickle, skip_invalid, overwrite : bool
    with_provenance : bool
        Whether time, command line and machine are recorded.
    force_rows : str, optional
        File with −∂(Σ_j f_j)/∂r, of shape (3N, D) or (N, 3, D).
    position_gradients : str, optional
        File with ∂(Σ_j f_j)/∂r, likewise; the sign is changed.
    stress_rows : str, optional
        File with (1/V) ∂(Σ_j f_j)/∂ε, of shape (6S, D) or (S, 6, D): xx yy zz yz xz xy.
    strain_gradients : str, optional
        File with ∂(Σ_j f_j)/∂ε_ij for nine independent strains, of shape (9S, D), (S, 9, D) or
        (S, 3, 3, D); made symmetric and divided by the volume.
    gradients : bool
        Whether the gradients that the mts file `features` holds are read.
    reduce_gradients : bool
        Whether more than D rows of a structure and kind become D rows, which have the same
        Hessian; what needs the force on an atom needs them all.
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
    force_rows: str | None = None
    position_gradients: str | None = None
    stress_rows: str | None = None
    strain_gradients: str | None = None
    gradients: bool = False
    reduce_gradients: bool = False
    program: str | None = None
    systems: tuple[str, ...] = ()
    per_species: bool = False
    species: tuple[str, ...] | None = None
    feature_kind: FeatureKind | None = None
    columns: tuple[str, ...] = ()


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
    n_force_rows, n_stress_rows : int
        Gradient rows in the store.
    skipped : tuple of int
        Frames left out because a feature or gradient was not finite.
    notes : tuple of str
        What the user should know.
    """

    path: str
    n_structures: int
    n_atoms: int
    n_features: int
    dtype: str
    convention: RowConvention
    n_force_rows: int = 0
    n_stress_rows: int = 0
    skipped: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
