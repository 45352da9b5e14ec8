"""Disordered structures to cut environments out of, and what surrounds an atom by other means."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

#: Cells of three shapes, about as large as environments of radius 3 need.
CELLS = {
    "cubic": np.diag([14.0, 14.0, 14.0]),
    "oblong": np.diag([13.0, 16.0, 15.0]),
    "skewed": np.array([[14.0, 0.0, 0.0], [4.0, 14.0, 0.0], [-3.0, 5.0, 15.0]]),
}


def disordered(shape: str = "cubic", *, seed: int = 0, pbc=True, spread: float = 0.0) -> Atoms:
    """Atoms on a grid, displaced, none closer than 1.3 Å; `spread` unwraps them by whole cells."""
    rng = np.random.default_rng(seed)
    cell = CELLS[shape]
    n = (np.linalg.norm(cell, axis=1) / 2.2).astype(int)
    grid = np.stack(np.meshgrid(*map(np.arange, n), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = (grid / n) @ cell + rng.uniform(-0.25, 0.25, (len(grid), 3))
    positions += np.round(rng.normal(scale=spread, size=positions.shape)) @ np.where(
        np.broadcast_to(pbc, 3)[:, np.newaxis], cell, 0.0
    )
    numbers = rng.choice([6, 14], len(grid))
    return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc)


def around(atoms: Atoms, centre: int, cutoff: float) -> list[tuple[int, ...]]:
    """Elements and rounded vectors of all neighbours of an atom, by ASE's neighbour list."""
    i, j, vectors = neighbor_list("ijD", atoms, cutoff)
    rows = np.column_stack([atoms.numbers[j[i == centre]], np.round(vectors[i == centre] * 1e8)])
    return sorted(map(tuple, (rows + 0.0).astype(np.int64).tolist()))
