"""Small structures as ASE objects, and as extxyz files that hold them to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms


def structures_of(
    n_structures: int,
    *,
    seed: int = 0,
    symbols: Sequence[str] = ("C",),
    pbc: bool | tuple[bool, bool, bool] = True,
) -> list[Atoms]:
    """Skewed cells of 3 to 8 atoms, none closer to another than about 1 Å."""
    from ase import Atoms

    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3) / 2
    structures = []
    for i in range(n_structures):
        n_atoms = int(rng.integers(3, 9))
        scaled = rng.permutation(corners)[:n_atoms] + rng.uniform(-0.1, 0.1, (n_atoms, 3))
        cell = np.diag(rng.uniform(3.6, 4.2, 3)) + rng.uniform(-0.2, 0.2, (3, 3))
        # Every element occurs in the first structure.
        named = list(symbols) if i == 0 else []
        named += rng.choice(symbols, n_atoms).tolist()
        structures.append(Atoms(named[:n_atoms], scaled @ cell, cell=cell, pbc=pbc))
    return structures


def frame_of(structure: Atoms) -> str:
    """One frame."""
    cell = " ".join(map(repr, structure.cell.array.ravel().tolist()))
    flags = " ".join("FT"[int(flag)] for flag in structure.pbc)
    head = f'Lattice="{cell}" Properties=species:S:1:pos:R:3 energy=-1.5 pbc="{flags}"'
    lines = [
        " ".join([symbol, *map(repr, position)])
        for symbol, position in zip(structure.symbols, structure.positions.tolist(), strict=True)
    ]
    return "\n".join([str(len(structure)), head, *lines, ""])


def write_xyz(path: Path, structures: Sequence[Atoms]) -> Path:
    """Write frames."""
    path.write_text("".join(map(frame_of, structures)))
    return path


def count_atoms(structures: Sequence[Atoms]) -> np.ndarray:
    """Atoms of each structure, shape (S,)."""
    return np.array([len(structure) for structure in structures])
