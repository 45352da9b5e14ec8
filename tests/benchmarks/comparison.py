"""What peers and prcli are compared on, and what prcli does with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from workloads import REGULARIZER, Features, Size

import prcli

#: Atoms of each structure, for what works on atoms.
N_ATOMS = 8


class Comparison:
    """One set of structures for all peers, and what prcli does with it.

    Every call begins with features and ends with picks or scores: the Hessian is part of it.

    Parameters
    ----------
    size : Size
    n_atoms : int
        Atoms of each structure, for what works on atoms.
    """

    def __init__(self, size: Size, n_atoms: int = N_ATOMS) -> None:
        self.size = size
        features = Features(size, seed=1)
        self.target = features.target
        self.train, self.train_atoms = _with_atoms(features.train, n_atoms, 2)
        self.pool, self.pool_atoms = _with_atoms(features.pool, n_atoms, 3)

    def save(self, folder: Path) -> None:
        """Hand the features over, and the first of the farthest points."""
        for name in ("train", "train_atoms", "pool", "pool_atoms"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        np.save(folder / "root.npy", np.sqrt(REGULARIZER))
        np.save(folder / "first.npy", self.farthest_points(1)[0])

    def _select(self, n_picks: int, **options: object) -> np.ndarray:
        selection = prcli.select(
            self.pool,
            n_picks,
            train=self.train,
            scale="none",
            regularizer=REGULARIZER,
            **options,  # type: ignore[arg-type]
        )
        return selection.indices

    def bait(self, n_picks: int) -> np.ndarray:
        """Mean variance of pool and training set together."""
        target = np.concatenate([self.pool, self.train])
        return self._select(n_picks, target=target, objective="mean-variance")

    def compress(self, n_picks: int) -> np.ndarray:
        """Mean variance of the pool."""
        return self._select(n_picks, target=self.pool, objective="mean-variance")

    def log_det(self, n_picks: int) -> np.ndarray:
        """Determinant of the Hessian."""
        return self._select(n_picks, objective="log-det")

    def farthest_points(self, n_picks: int) -> np.ndarray:
        """Farthest points of the pool."""
        return self._select(n_picks, target=self.target, strategy="fps")

    def leverage(self, n_picks: int) -> np.ndarray:
        """Leverage in the pool."""
        return self._select(n_picks, target=self.target, strategy="leverage")

    def local_rigidities(self, _: int) -> np.ndarray:
        """LPR of all atoms of the pool."""
        train, pool = (
            prcli.Features(atoms=atoms, n_atoms=np.full(len(rows), len(atoms) // len(rows)))
            for atoms, rows in ((self.train_atoms, self.train), (self.pool_atoms, self.pool))
        )
        record = prcli.hessian(train, regularizer=REGULARIZER)
        return prcli.score(record, pool, per="atom").rigidity


def _with_atoms(rows: np.ndarray, n_atoms: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of structures, and atoms that have them, spread around the rows."""
    noise = np.random.default_rng(seed).standard_normal((len(rows), n_atoms, rows.shape[1]))
    noise *= np.abs(rows).mean(axis=0)
    atoms = rows[:, np.newaxis] + noise
    return atoms.mean(axis=1), atoms.reshape(-1, rows.shape[1])
