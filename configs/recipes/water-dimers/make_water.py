"""Make water dimers and monomers in one box, and label them with GFN2-xTB.

::

    python make_water.py FOLDER              # FOLDER/data-0 to data-2; seconds

Needs ``pip install "prcli[recipes]"``. Each folder holds three sets: ``train.xyz`` and ``test.xyz``
of dimers, ``monomers.xyz``. Each structure has a generator of its own, so that a smaller set is the
beginning of a larger one. Lengths in Å, angles in degrees, energies in eV.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

SEED = 7
BOX = 30.0
DECIMALS = 6

#: A molecule at rest, and the standard deviations of its normal distortions.
BOND, ANGLE = 0.96, 104.5
BOND_SPREAD, ANGLE_SPREAD = 0.04, 5.0

#: Distances of the oxygen atoms are uniform between these.
SEPARATIONS = (3.0, 10.0)
#: No two atoms of different molecules are closer than this, so that none sees the other molecule.
CLOSEST = 3.0

SYMBOLS = ("O", "H", "H")


@dataclass(frozen=True)
class WaterSet:
    """A file of dimers or monomers."""

    name: str
    code: int  # enters the seeds
    n_molecules: int
    size: int


SETS = (WaterSet("train", 0, 2, 100), WaterSet("test", 1, 2, 50), WaterSet("monomers", 2, 1, 110))


def water(bonds: Sequence[float], angle: float) -> np.ndarray:
    """Place O, H and H, the oxygen atom in the origin."""
    half = np.radians(angle) / 2.0
    directions = np.array([[np.sin(half), 0.0, np.cos(half)], [-np.sin(half), 0.0, np.cos(half)]])
    return np.vstack([np.zeros(3), np.asarray(bonds)[:, np.newaxis] * directions])


def molecule(rng: np.random.Generator) -> np.ndarray:
    """Draw a distorted molecule in a random orientation."""
    positions = water(rng.normal(BOND, BOND_SPREAD, 2), rng.normal(ANGLE, ANGLE_SPREAD))
    return positions @ random_rotation(rng).T


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation from the uniform distribution."""
    a, b, c, d = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ]
    )


def molecules(n_molecules: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one molecule, or two of which no two atoms are closer than `CLOSEST`."""
    first = molecule(rng)
    while n_molecules == 2:
        direction = rng.normal(size=3)
        separation = rng.uniform(*SEPARATIONS)
        second = molecule(rng) + separation * direction / np.linalg.norm(direction)
        if np.linalg.norm(first[:, np.newaxis] - second, axis=-1).min() > CLOSEST:
            return np.vstack([first, second])
    return first


def energy(positions: np.ndarray) -> float:
    """Compute the energy of molecules in vacuum: their box is for the features alone."""
    from ase import Atoms
    from tblite.ase import TBLite

    atoms = Atoms(SYMBOLS * (len(positions) // 3), positions)
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    with threadpool_limits(1):  # several only wait for each other on so few atoms
        return float(atoms.get_potential_energy())


def frame_text(positions: np.ndarray, total: float, relative: float) -> str:
    """Write a frame of extxyz; the energy is the total one, and relative to molecules at rest."""
    comment = f'Lattice="{BOX} 0 0 0 {BOX} 0 0 0 {BOX}" Properties=species:S:1:pos:R:3'
    comment += f' energy={total:.8f} relative_energy={relative:.8f} pbc="T T T"'
    symbols = SYMBOLS * (len(positions) // 3)
    rows = [
        f"{symbol} " + " ".join(f"{x:.{DECIMALS}f}" for x in row)
        for symbol, row in zip(symbols, positions, strict=True)
    ]
    return "\n".join([str(len(rows)), comment, *rows]) + "\n"


def make_set(folder: Path, data: int, one: WaterSet, size: int | None = None) -> None:
    """Draw, label and write a set."""
    at_rest = energy(water((BOND, BOND), ANGLE))
    frames = []
    for index in range(one.size if size is None else size):
        rng = np.random.default_rng([SEED, data, one.code, index])
        positions = np.round(molecules(one.n_molecules, rng) + BOX / 2.0, DECIMALS)
        total = energy(positions)
        frames.append(frame_text(positions, total, total - one.n_molecules * at_rest))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{one.name}.xyz").write_text("".join(frames))


def main() -> None:
    """Write the sets of several independent draws."""
    parser = argparse.ArgumentParser(description="Make water dimers and monomers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=3, help="independent data sets")
    options = parser.parse_args()
    for data in range(options.draws):
        for one in SETS:
            make_set(options.folder / f"data-{data}", data, one)


if __name__ == "__main__":
    main()
