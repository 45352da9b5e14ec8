"""Make the clusters: copper, four to eight atoms, energies and forces of an effective-medium model.

    pip install "prcli[soap]" ase
    python generate.py

The training set holds clusters near their minima, the targets stretched ones, the pool both.
Lengths in Å, energies in eV, forces in eV/Å. The features follow from the files by

    prcli features compute soap train.xyz -o train.h5 --hypers soap.toml

with ``--distinct --gradients force``.
"""

import subprocess
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS

HERE = Path(__file__).resolve().parent
SEED = 7
#: Clusters of each set, by the factor that distances are stretched by and the noise in Å.
SETS = {
    "train": [(24, 1.0, 0.05)],
    "target": [(8, 1.15, 0.25)],
    "pool": [(20, 1.0, 0.1), (20, 1.15, 0.25)],
}


def minimum(rng: np.random.Generator, n_atoms: int) -> Atoms:
    """Relax a random cluster."""
    atoms = Atoms(f"Cu{n_atoms}", positions=rng.normal(scale=1.8, size=(n_atoms, 3)))
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)
    return atoms


def cluster(rng: np.random.Generator, stretch: float, noise: float) -> Atoms:
    """Stretch and shake a relaxed cluster; positions are those of the file."""
    atoms = minimum(rng, int(rng.integers(4, 9)))
    positions = stretch * (atoms.positions - atoms.positions.mean(axis=0))
    positions += rng.normal(scale=noise, size=positions.shape)
    result = Atoms(atoms.symbols, positions=np.round(positions, 5))
    result.calc = EMT()
    result.get_forces()
    return result


def main() -> None:
    """Write structures and features of all sets."""
    for number, (name, parts) in enumerate(SETS.items()):
        rng = np.random.default_rng([SEED, number])
        frames = [cluster(rng, *kind) for count, *kind in parts for _ in range(count)]
        write(HERE / f"{name}.xyz", frames, format="extxyz")
        command = f"prcli features compute soap {name}.xyz -o {name}.h5 --overwrite -q"
        command += " --hypers soap.toml --distinct --gradients force --no-provenance"
        subprocess.run(command.split(), check=True, cwd=HERE)


if __name__ == "__main__":
    main()
