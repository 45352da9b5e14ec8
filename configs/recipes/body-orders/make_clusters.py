"""Make random clusters of silicon, with energies of GFN2-xTB.

::

    python make_clusters.py FOLDER                    # half a minute

Writes dimers, trimers, tetramers and pentamers to train on, pentamers to test on, and a curve of
dimers. Needs ``pip install "prcli[recipes]"``. Each cluster has a seed of its own, made of SEED,
its size and its number. Lengths in Å, energies in eV.

Electrons have a temperature of 5000 K in every calculation. At 300 K many clusters do not
converge, and the curve of the dimer has a kink where two states cross.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

SEED = 0
ELECTRON_TEMPERATURE = 5000.0  # K
#: Å, between any two atoms: all pairs are well inside the cutoff of the features.
CLOSEST, FARTHEST = 1.9, 5.0
DECIMALS = 6

#: Names of files, atoms of a cluster, how many, and the number of the first one.
SETS = {
    "pentamers": (5, 500, 0),
    "tetramers": (4, 50, 0),
    "trimers": (3, 50, 0),
    "dimers": (2, 50, 0),
    "test": (5, 100, 100_000),
}
#: Å, of the atoms of the dimers in ``curve.xyz``.
CURVE = np.linspace(CLOSEST, FARTHEST, 63)

_BOHR = 0.529177210544  # Å
_HARTREE = 27.211386245981  # eV
_KELVIN = 3.166811563455546e-06  # hartree
_SILICON = 14


def random_cluster(n_atoms: int, rng: np.random.Generator) -> np.ndarray:
    """Put atoms one by one beside an atom that is there, in a random direction.

    The distance to that atom is uniform between ``CLOSEST`` and ``FARTHEST``, and so is that of no
    other pair, which only must lie between them.

    Returns
    -------
    positions : (n_atoms, 3) array
        Å.
    """
    placed = np.zeros((1, 3))
    while len(placed) < n_atoms:
        direction = rng.normal(size=3)
        step = rng.uniform(CLOSEST, FARTHEST) * direction / np.linalg.norm(direction)
        trial = np.round(placed[rng.integers(len(placed))] + step, DECIMALS)
        distances = np.linalg.norm(placed - trial, axis=1)
        if CLOSEST <= distances.min() and distances.max() <= FARTHEST:
            placed = np.vstack([placed, trial])
    return placed


def energy(positions: np.ndarray) -> float:
    """Total energy of silicon atoms by GFN2-xTB, in eV, at the temperature of all."""
    from tblite.interface import Calculator

    calculator = Calculator("GFN2-xTB", np.full(len(positions), _SILICON), positions / _BOHR)
    calculator.set("temperature", ELECTRON_TEMPERATURE * _KELVIN)
    calculator.set("max-iter", 500)
    calculator.set("verbosity", 0)
    with threadpool_limits(1):  # several only wait for each other on so few atoms
        return float(calculator.singlepoint().get("energy")) * _HARTREE


def frames(clusters: Sequence[np.ndarray]) -> str:
    """Compute energies and write frames of extxyz.

    ``binding_energy`` is relative to isolated atoms: a cluster whose atoms do not see each other
    has none, as it has no features.
    """
    atom = energy(np.zeros((1, 3)))
    lines = []
    for positions in clusters:
        total = energy(positions)
        binding = total - len(positions) * atom
        comment = f"Properties=species:S:1:pos:R:3 energy={total:.8f} binding_energy={binding:.8f}"
        rows = ["Si " + " ".join(f"{x:.{DECIMALS}f}" for x in row) for row in positions]
        lines += [str(len(rows)), f'{comment} pbc="F F F"', *rows]
    return "\n".join(lines) + "\n"


def clusters_of(n_atoms: int, n_clusters: int, first: int, seed: int = SEED) -> list[np.ndarray]:
    """Draw clusters with numbers from `first` on."""
    numbers = range(first, first + n_clusters)
    return [random_cluster(n_atoms, np.random.default_rng([seed, n_atoms, i])) for i in numbers]


def dimer(distance: float) -> np.ndarray:
    """Two atoms, `distance` Å apart."""
    return np.array([[0.0, 0.0, 0.0], [0.0, 0.0, distance]])


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description="Make clusters of silicon.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sets = {name: clusters_of(*which, options.seed) for name, which in SETS.items()}
    sets["curve"] = [dimer(distance) for distance in CURVE]
    for name, clusters in sets.items():
        (options.folder / f"{name}.xyz").write_text(frames(clusters))


if __name__ == "__main__":
    main()
