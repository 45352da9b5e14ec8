"""The plane in which a cloud of rows is widest, for drawings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, svd

FloatArray = NDArray[np.float64]

#: Directions that are followed beside those asked for, and rounds that turn them.
_N_BESIDE, _N_ROUNDS = 8, 12


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Directions along which rows spread most.

    Attributes
    ----------
    centre : ndarray of shape (D,)
        Mean of the rows.
    directions : ndarray of shape (D, 2)
        Orthonormal, the widest first; zero where the rows spread along fewer.
    shares : ndarray of shape (2,)
        Of the variance of the rows; nan where there is none.
    """

    centre: FloatArray
    directions: FloatArray
    shares: FloatArray

    def coordinates(self, rows: FloatArray) -> FloatArray:
        """Place rows of shape (M, D) in the plane, shape (M, 2)."""
        placed: FloatArray = (rows - self.centre) @ self.directions
        return placed


def principal_axes(rows: FloatArray) -> PrincipalAxes:
    """Find the first two principal components by subspace iteration.

    The iteration begins with the same directions every time. It sees differences between the
    third and later components only as far as a drawing does.

    Parameters
    ----------
    rows : ndarray of shape (M, D)
        M ≥ 1; finite.

    Returns
    -------
    axes : PrincipalAxes
        The largest entry of each direction is positive.
    """
    centre: FloatArray = rows.mean(axis=0)
    cloud = rows - centre
    n_followed = min(2 + _N_BESIDE, *cloud.shape)
    followed: FloatArray = np.random.default_rng(0).normal(size=(cloud.shape[1], n_followed))
    for _ in range(_N_ROUNDS):
        across, _ = qr(cloud @ followed, mode="economic")
        followed = np.asarray(qr(cloud.T @ across, mode="economic")[0], dtype=np.float64)
    _, lengths, turns = svd(cloud @ followed, full_matrices=False)
    directions: FloatArray = (followed @ turns.T)[:, :2]
    total = float(np.einsum("ij,ij->", cloud, cloud))
    shares = np.full(2, np.nan)
    if total > 0.0:
        shares[:] = 0.0
        shares[: len(lengths[:2])] = lengths[:2] ** 2 / total
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    placed = np.zeros((cloud.shape[1], 2))
    # Along a direction without spread, there is nothing but rounding.
    spread = lengths[:2] > 1e-12 * np.sqrt(total) if total > 0.0 else np.zeros(len(signs), bool)
    placed[:, : len(signs)] = np.where(spread, directions * signs, 0.0)
    return PrincipalAxes(centre, placed, shares)
