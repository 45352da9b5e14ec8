"""A potential of beads: fitted to their forces, linear in features; and dynamics with it.

::

    python beads.py WEIGHTS.npy START.xyz -o RUN.xyz --steps 2000 --seed 0

writes a frame of extxyz after each step, to be read while the run goes on. Lengths in Å, energies
in eV, times in fs, masses in u.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms, units

from prcli.data.hessian_record import HessianRecord
from prcli.features.featurizer import Featurizer, FeaturizerOptions, make_featurizer
from prcli.numerics.refit import Regression
from prcli.workflows.compute_setup import read_settings

FEATURIZER = Path(__file__).with_name("soap.toml")
ELEMENT, MASS = "O", 18.0154
TEMPERATURE = 300.0  # K
TIME_STEP, FRICTION = 4.0, 0.005  # fs, 1/fs

#: A run has blown up once two beads are so near, in Å, or it is so hot, in K.
LEAST_DISTANCE, HIGHEST_TEMPERATURE = 2.0, 10.0 * TEMPERATURE

#: Energy and forces (n, 3) of positions.
Potential = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Frame:
    """A step of a run.

    Attributes
    ----------
    positions : (n, 3) array
    energy : float
        Potential energy, eV a bead; its zero means nothing.
    temperature : float
        Of the velocities, K.
    distance : float
        Of the nearest two beads, Å.
    """

    positions: np.ndarray
    energy: float
    temperature: float
    distance: float

    @property
    def is_blown_up(self) -> bool:
        """Whether this is no liquid any more."""
        return self.distance < LEAST_DISTANCE or self.temperature > HIGHEST_TEMPERATURE


def fit(record: HessianRecord, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Fit weights to forces, by the square root and with scale and regularizer of a Hessian.

    Parameters
    ----------
    record : HessianRecord
    blocks : iterable of (m, D) array and (m,) array
        Force rows of the frames of the training set, and their forces in eV/Å.

    Returns
    -------
    weights : (D,) array
        For features as they are.
    """
    regression = Regression(record.n_features)
    for rows, forces in blocks:
        regression.add_rows(rows / record.scale, forces)
    regression.add_prior(np.ones(record.n_features), record.regularizer)
    return regression.fit().weights / record.scale


def featurizer_of_beads(path: Path = FEATURIZER) -> Featurizer:
    """Make what describes beads."""
    name, hypers = read_settings(path)
    (number,) = Atoms([ELEMENT]).numbers.tolist()
    return make_featurizer(name, FeaturizerOptions((number,), hypers=hypers, distinct=True))


def linear_potential(featurizer: Featurizer, weights: np.ndarray, side: float) -> Potential:
    """Make a potential of beads in a periodic cube."""

    def potential(positions: np.ndarray) -> tuple[float, np.ndarray]:
        beads = Atoms([ELEMENT] * len(positions), positions, cell=[side] * 3, pbc=True)
        described = featurizer.describe([beads], ["force"])
        forces = (described.forces @ weights).reshape(-1, 3)
        return float((described.features @ weights).sum()), forces

    return potential


def langevin(
    potential: Potential, positions: np.ndarray, side: float, seed: int
) -> Iterator[Frame]:
    """Run at constant temperature, without end: half steps of forces and drift around a thermostat.

    Parameters
    ----------
    potential : callable
    positions : (n, 3) array
        Where it begins.
    side : float
        Of the periodic cube.
    seed : int

    Yields
    ------
    frame : Frame
        After each step.
    """
    rng = np.random.default_rng(seed)
    step, spread = TIME_STEP * units.fs, np.sqrt(units.kB * TEMPERATURE / MASS)
    kept = np.exp(-FRICTION * TIME_STEP)
    x, v = positions.copy(), rng.normal(scale=spread, size=positions.shape)
    _, forces = potential(x)
    while True:
        v += 0.5 * step * forces / MASS
        x += 0.5 * step * v
        v = kept * v + np.sqrt(1.0 - kept**2) * rng.normal(scale=spread, size=v.shape)
        x += 0.5 * step * v
        energy, forces = potential(x)
        v += 0.5 * step * forces / MASS
        temperature = MASS * float((v**2).mean()) / units.kB
        yield Frame(x.copy(), energy / len(x), temperature, float(distances(x, side).min()))


def distances(positions: np.ndarray, side: float) -> np.ndarray:
    """Distances of all pairs of beads in a periodic cube, i < j."""
    first, second = np.triu_indices(len(positions), 1)
    arms = positions[first] - positions[second]
    arms -= side * np.round(arms / side)
    return np.linalg.norm(arms, axis=1)


def run_beads(
    potential: Potential, start: Atoms, output: Path, n_steps: int, seed: int, n_least: int = 1
) -> list[Frame]:
    """Run to the end, or if it has blown up at least so many steps; write and give the frames."""
    side = float(start.cell.lengths()[0])
    comment = f'Lattice="{side} 0 0 0 {side} 0 0 0 {side}" Properties=species:S:1:pos:R:3'
    frames = []
    with output.open("w") as file:
        for frame in islice(langevin(potential, start.positions, side, seed), n_steps):
            told = f" energy_per_bead={frame.energy:.6f} temperature={frame.temperature:.1f}"
            lines = [f"{ELEMENT} {x:.6f} {y:.6f} {z:.6f}" for x, y, z in frame.positions]
            header = [str(len(lines)), f'{comment}{told} pbc="T T T"']
            file.write("\n".join([*header, *lines]) + "\n")
            file.flush()
            frames.append(frame)
            if frame.is_blown_up and len(frames) >= n_least:
                break
    return frames


def main() -> None:
    """Run."""
    from ase.io import read

    parser = argparse.ArgumentParser(description="Dynamics of beads.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("start", help="structure file; its first frame counts")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = read(options.start, 0)
    side = float(start.cell.lengths()[0])
    potential = linear_potential(featurizer_of_beads(), np.load(options.weights), side)
    frames = run_beads(potential, start, options.output, options.steps, options.seed)
    print(f"{len(frames)} steps" + (", blown up" if frames[-1].is_blown_up else ""))


if __name__ == "__main__":
    main()
