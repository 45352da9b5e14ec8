"""What a computation of features is asked for, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from prcli.records import RowKind

GradientChoice: TypeAlias = Literal["force", "stress", "both"]
FeatureType: TypeAlias = Literal["float32", "float64"]


@dataclass(frozen=True)
class ComputeRequest:
    """What to compute.

    Attributes
    ----------
    featurizer : str
        ``soap``, ``lode``, ``python:module:function``, or what an installed package offers.
    structures : str
        Structure file (extxyz, or what ASE reads), with an optional slice, or ``-`` for extxyz on
        standard input.
    output : str
        Feature store to write.
    hypers : path or mapping, optional
        TOML file with settings in the featurizer's own words, or the settings themselves; by
        default the featurizer's.
    species : tuple of str, optional
        Symbols of the elements that columns are made for; by default those that occur.
    per_species : bool, optional
        Whether atoms of different elements fill different columns; by default they do where
        there are several elements.
    distinct : bool
        Whether one of each two columns that are equal by symmetry is dropped.
    dtype : {"float32", "float64"}
        Type of features and gradient rows; means over atoms stay float64 where the atoms are
        stored beside them.
    gradients : {"force", "stress", "both"}, optional
        Gradient rows to compute as well.
    with_atoms : bool
        Whether rows of atoms are stored, beside the means of structures.
    columns : tuple of str
        Keys of the comment line to store as columns, as ``KEY`` or ``NAME=KEY``; volume and
        density are stored anyway.
    checkpoint : str, optional
        File that keeps what has been computed until the store is complete; by default the
        output's name with ``.checkpoint``.
    with_checkpoint : bool
        Whether there is one at all.
    overwrite : bool
    with_provenance : bool
        Whether time, command line and machine are recorded.
    """

    featurizer: str
    structures: str
    output: str
    hypers: str | Mapping[str, Any] | None = None
    species: tuple[str, ...] | None = None
    per_species: bool | None = None
    distinct: bool = False
    dtype: FeatureType = "float64"
    gradients: GradientChoice | None = None
    with_atoms: bool = True
    columns: tuple[str, ...] = ()
    checkpoint: str | None = None
    with_checkpoint: bool = True
    overwrite: bool = False
    with_provenance: bool = True

    @property
    def kinds(self) -> tuple[RowKind, ...]:
        """Kinds of gradient rows, forces first."""
        if self.gradients is None:
            return ()
        return ("force", "stress") if self.gradients == "both" else (self.gradients,)

    @property
    def checkpoint_path(self) -> str | None:
        """The checkpoint's file; None if there is none."""
        if not self.with_checkpoint:
            return None
        return self.checkpoint or f"{self.output}.checkpoint"


@dataclass(frozen=True)
class ComputeSummary:
    """What was computed.

    Attributes
    ----------
    path : str
    n_structures, n_atoms, n_features : int
    n_gradient_rows : int
    dtype : str
    n_resumed : int
        Structures taken over from an earlier run that was interrupted.
    """

    path: str
    n_structures: int
    n_atoms: int
    n_features: int
    n_gradient_rows: int
    dtype: str
    n_resumed: int = 0
