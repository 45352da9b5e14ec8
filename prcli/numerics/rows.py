"""Rows of the design matrix: what a feature vector becomes for each kind of prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.records import Convention, EnergyKind, Intercept

FloatArray = NDArray[np.float64]


def energy_rows(
    features: NDArray[np.floating],
    n_atoms: NDArray[np.integer],
    *,
    convention: Convention,
    energy: EnergyKind,
    intercept: Intercept,
    counts: NDArray[np.integer] | None = None,
) -> FloatArray:
    """Rows of structure energies, unscaled.

    Parameters
    ----------
    features : ndarray of shape (S, D)
        Mean or sum over the atoms of each structure.
    n_atoms : ndarray of shape (S,)
        Atoms per structure.
    convention : {"mean", "sum"}
        What `features` holds.
    energy : {"per-atom", "total"}
        Whether the row is (1/N) Σ f or Σ f.
    intercept : Intercept
        Constant columns to append.
    counts : ndarray of shape (S, n_species), optional
        Atoms of each species of the intercept; needed for kind "species".

    Returns
    -------
    rows : ndarray of shape (S, D + n_intercept), C order
    """
    n_structures, n_features = features.shape
    rows = np.empty((n_structures, n_features + intercept.n_columns))
    rows[:, :n_features] = features
    per_atom = energy == "per-atom"
    if convention == "mean" and not per_atom:
        rows[:, :n_features] *= n_atoms[:, np.newaxis]
    elif convention == "sum" and per_atom:
        rows[:, :n_features] /= n_atoms[:, np.newaxis]
    if intercept.kind == "atom":
        rows[:, n_features] = 1.0 if per_atom else n_atoms
    elif intercept.kind == "species":
        if counts is None:
            raise ValueError("a species intercept needs the counts of each species")
        rows[:, n_features:] = counts / n_atoms[:, np.newaxis] if per_atom else counts
    return rows


def atom_rows(
    features: NDArray[np.floating],
    *,
    intercept: Intercept,
    species: NDArray[np.integer] | None = None,
) -> FloatArray:
    """Rows of local predictions, unscaled.

    Parameters
    ----------
    features : ndarray of shape (N, D)
        Features of each atom.
    intercept : Intercept
        Constant columns to append.
    species : ndarray of shape (N,), optional
        Atomic numbers; needed for a species intercept.

    Returns
    -------
    rows : ndarray of shape (N, D + n_intercept), C order
    """
    n_atoms, n_features = features.shape
    rows = np.empty((n_atoms, n_features + intercept.n_columns))
    rows[:, :n_features] = features
    if intercept.kind == "atom":
        rows[:, n_features] = 1.0
    elif intercept.kind == "species":
        if species is None:
            raise ValueError("a species intercept needs the species of each atom")
        rows[:, n_features:] = species[:, np.newaxis] == np.array(intercept.species)
    return rows


def column_scales(n_features: int, intercept: Intercept, scale: float) -> FloatArray:
    """Divisors of the columns, shape (D + n_intercept,): s for features, 1 for intercepts.

    A factor of scaled rows times these serves for unscaled rows, so that no feature is
    ever divided.
    """
    return np.concatenate([np.full(n_features, scale), np.ones(intercept.n_columns)])
