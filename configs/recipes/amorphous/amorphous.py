"""What structures teach a model about environments: amorphous silicon and amorphous carbon.

::

    python make_silicon.py silicon
    python amorphous.py silicon --plot amorphous.png

Silicon: LPR of atoms with three, four and five neighbours, for a model of strictly fourfold cells,
and after cells with defects have been added. Carbon: LPR of atoms in cells of all densities, after
diamond or graphite has been added.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import prcli

HERE = Path(__file__).resolve().parent
SAMPLE = (HERE / "../../../sample_data").resolve()  # in a checkout of the repository
GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³

#: Silicon: the first structures of fourfold.xyz to train on, as many added of either kind, and
#: then the structures with defects whose atoms are scored.
N_TRAIN, N_ADDED, N_TEST = 100, 20, 100
SILICON_BOND = 2.85  # Å; closer atoms are neighbours
COORDINATIONS = (3, 4, 5)

#: Carbon: the sample data in so many parts, each of which is scored once.
N_FOLDS = 4
N_CRYSTALS, STRAIN, DISPLACEMENT = 10, 0.03, 0.05
DENSITY_EDGES = (1.5, 2.0, 2.5, 3.0, 3.5)
CARBON_BOND = 1.9
CARBON_COORDINATIONS = (2, 3, 4)

Paths = Sequence[str | Path]


@dataclass(frozen=True, eq=False)
class Outcome:
    """LPR of atoms before and after structures were added, and where the atoms are.

    Attributes
    ----------
    before : ndarray of shape (N,)
    after : dict of str to ndarray of shape (N,)
    coordination : ndarray of shape (N,)
        Neighbours of each atom.
    density : ndarray of shape (N,)
        Of the structure that the atom belongs to, g/cm³.
    """

    before: np.ndarray
    after: dict[str, np.ndarray]
    coordination: np.ndarray
    density: np.ndarray

    def factor(self, name: str, chosen: np.ndarray) -> float:
        """Geometric mean of LPR after over LPR before, of the chosen atoms."""
        return mean_log(self.after[name][chosen] / self.before[chosen])


def mean_log(values: np.ndarray) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def learn(
    train: Paths,
    added: Mapping[str, Paths],
    test: Paths,
    inputs: prcli.InputOptions,
    bond: float,
    regularizer: float | str | None = None,
) -> Outcome:
    """Score the atoms of a test set before and after structures are added to the training set.

    Scale and regularizer stay those of the training set, so that LPR can only grow.
    """
    record = prcli.hessian(train, inputs=inputs, regularizer=regularizer)
    before = prcli.score(record, test, per="atom", inputs=inputs).rigidity
    after = {}
    for name, paths in added.items():
        more = prcli.hessian(
            [*train, *paths], inputs=inputs, scale=record.scale, regularizer=record.regularizer
        )
        after[name] = prcli.score(more, test, per="atom", inputs=inputs).rigidity
    coordination, density = describe(test, bond)
    return Outcome(before, after, coordination, density)


def describe(test: Paths, bond: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordination of each atom, and the density of its structure in g/cm³."""
    from ase.io import read
    from ase.neighborlist import neighbor_list

    coordination, density = [], []
    for path in test:
        for atoms in read(path, ":" if "@" not in str(path) else None):
            first = neighbor_list("i", atoms, bond)
            coordination.append(np.bincount(first, minlength=len(atoms)))
            grams = atoms.get_masses().sum() * GRAM_PER_CM3 / atoms.get_volume()
            density.append(np.full(len(atoms), grams))
    return np.concatenate(coordination), np.concatenate(density)


def silicon(folder: Path, regularizer: float | str | None = None) -> Outcome:
    """Fourfold cells, and what more of them or cells with defects add."""
    fourfold, defects = folder / "fourfold.xyz", folder / "defects.xyz"
    end = N_TRAIN + N_ADDED
    return learn(
        [f"{fourfold}@:{N_TRAIN}"],
        {"fourfold": [f"{fourfold}@{N_TRAIN}:{end}"], "defects": [f"{defects}@:{N_ADDED}"]},
        [f"{defects}@{N_ADDED}:{N_ADDED + N_TEST}"],
        prcli.InputOptions(featurizer=str(HERE / "soap-silicon.toml")),
        SILICON_BOND,
        regularizer,
    )


def carbon(
    folder: Path,
    seed: int = 0,
    regularizer: float | str | None = None,
    folds: Sequence[int] = range(N_FOLDS),
    sample: Path = SAMPLE,
) -> Outcome:
    """Amorphous cells of the sample data, and what crystals add; every cell is scored once."""
    crystals = write_crystals(folder, seed)
    bulk = [sample / "train.xyz", sample / "pool.xyz"]
    outcomes = []
    for fold in folds:
        kept = [k for k in range(N_FOLDS) if k != fold]
        outcomes.append(
            learn(
                [f"{path}@{k}::{N_FOLDS}" for path in bulk for k in kept],
                {name: [path] for name, path in crystals.items()},
                [f"{path}@{fold}::{N_FOLDS}" for path in bulk],
                prcli.InputOptions(featurizer="soap"),
                CARBON_BOND,
                regularizer,
            )
        )
    return Outcome(
        np.concatenate([each.before for each in outcomes]),
        {name: np.concatenate([each.after[name] for each in outcomes]) for name in crystals},
        np.concatenate([each.coordination for each in outcomes]),
        np.concatenate([each.density for each in outcomes]),
    )


def write_crystals(folder: Path, seed: int) -> dict[str, Path]:
    """Write cells of 64 atoms of diamond and of graphite, strained and with displacements."""
    from ase import Atoms
    from ase.build import bulk
    from ase.io import write
    from ase.lattice.hexagonal import Graphite

    graphite = Atoms(Graphite("C", latticeconstant={"a": 2.461, "c": 6.708}))
    diamond = bulk("C", "diamond", a=3.567, cubic=True)
    perfect = {"diamond": diamond.repeat(2), "graphite": graphite.repeat((4, 4, 1))}
    rng = np.random.default_rng(seed)
    paths = {}
    for name, crystal in perfect.items():
        cells = []
        for _ in range(N_CRYSTALS):
            atoms = crystal.copy()
            atoms.set_cell(crystal.cell * (1.0 + rng.uniform(-STRAIN, STRAIN)), scale_atoms=True)
            atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
            cells.append(atoms)
        paths[name] = folder / f"{name}.xyz"
        write(paths[name], cells, format="extxyz")
    return paths


def groups_of_densities(outcome: Outcome) -> dict[str, np.ndarray]:
    """Atoms of cells between two densities."""
    pairs = zip(DENSITY_EDGES[:-1], DENSITY_EDGES[1:], strict=True)
    density = outcome.density
    return {f"{low}-{high}": (density >= low) & (density < high) for low, high in pairs}


def groups_of_coordinations(outcome: Outcome, known: Sequence[int]) -> dict[str, np.ndarray]:
    """Atoms of one coordination."""
    return {f"{number}-fold": outcome.coordination == number for number in known}


def table(outcome: Outcome, groups: Mapping[str, np.ndarray]) -> str:
    """Geometric mean of the LPR before, and factors."""
    lines = ["\t".join(["", "atoms", "LPR before", *(f"+ {name}" for name in outcome.after)])]
    for name, chosen in groups.items():
        factors = [f"{outcome.factor(each, chosen):.3f}" for each in outcome.after]
        before = f"{mean_log(outcome.before[chosen]):.2g}"
        lines.append("\t".join([name, str(np.count_nonzero(chosen)), before, *factors]))
    return "\n".join(lines)


def plot(silicon: Outcome, carbon: Outcome, path: Path) -> None:
    """Draw the LPR of silicon by coordination, and factors of carbon by density."""
    from matplotlib.figure import Figure

    from prcli.report.style import style

    with style():
        figure = Figure(figsize=(7.0, 3.0))
        left, right = figure.subplots(1, 2)
        draw_silicon(left, silicon)
        draw_carbon(right, carbon)
        figure.savefig(path, dpi=110)


def draw_silicon(axes, outcome: Outcome) -> None:
    """Dots for atoms, bars for geometric means."""
    rng = np.random.default_rng(0)
    sets = {"fourfold cells": outcome.before, "and with defects": outcome.after["defects"]}
    for number, (name, values) in enumerate(sets.items()):
        for place, coordination in enumerate(COORDINATIONS):
            chosen = values[outcome.coordination == coordination]
            shown = chosen[:: max(1, len(chosen) // 150)]
            x = place + 0.4 * (number - 0.5)
            spread = rng.uniform(-0.12, 0.12, size=len(shown))
            axes.plot(x + spread, shown, ".", color=f"C{number}", markersize=2, alpha=0.5)
            label = name if place == 0 else None
            axes.hlines(
                mean_log(chosen), x - 0.17, x + 0.17, color=f"C{number}", label=label, zorder=3
            )
    axes.set_xticks(range(len(COORDINATIONS)), [f"{number}-fold" for number in COORDINATIONS])
    axes.set(yscale="log", ylabel="LPR", title="amorphous silicon")
    axes.legend(title="trained on", loc="lower center")


def draw_carbon(axes, outcome: Outcome) -> None:
    """Dots for structures, lines for means between two densities."""
    densities, number = np.unique(outcome.density, return_inverse=True)
    groups = groups_of_densities(outcome)
    middles = (np.array(DENSITY_EDGES[:-1]) + DENSITY_EDGES[1:]) / 2.0
    for color, marker, name in (("C0", "D", "diamond"), ("C1", "o", "graphite")):
        logs = np.log(outcome.after[name] / outcome.before)
        each = 100.0 * np.expm1(np.bincount(number, logs) / np.bincount(number))
        axes.plot(densities, each, marker, color=color, markersize=2, alpha=0.5)
        means = [100.0 * (outcome.factor(name, chosen) - 1.0) for chosen in groups.values()]
        axes.plot(middles, means, color=color, marker=marker, markersize=5, label=name)
    axes.set(xlabel="density / g/cm³", ylabel="growth of the LPR / %", yscale="log")
    axes.set_title("amorphous carbon")
    axes.legend(title="added")


def main() -> None:
    """Compute, print and draw."""
    parser = argparse.ArgumentParser(description="LPR of amorphous silicon and carbon.")
    parser.add_argument("folder", type=Path, help="what make_silicon.py has written")
    parser.add_argument("--sample-data", type=Path, default=SAMPLE, help="of the repository")
    parser.add_argument("--seed", type=int, default=0, help="of the displacements in crystals")
    parser.add_argument("--regularizer", type=float, help="1e-5 by default")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if not (options.folder / "fourfold.xyz").is_file():
        parser.error(f"{options.folder} holds no silicon: run make_silicon.py first")
    if not (options.sample_data / "train.xyz").is_file():
        parser.error(f"{options.sample_data} is not there: --sample-data says where it is")
    of_silicon = silicon(options.folder, options.regularizer)
    print(f"# silicon\n{table(of_silicon, groups_of_coordinations(of_silicon, COORDINATIONS))}")
    with tempfile.TemporaryDirectory() as folder:
        of_carbon = carbon(
            Path(folder), options.seed, options.regularizer, sample=options.sample_data
        )
    print(f"# carbon\n{table(of_carbon, groups_of_densities(of_carbon))}")
    print(table(of_carbon, groups_of_coordinations(of_carbon, CARBON_COORDINATIONS)))
    if options.plot is not None:
        plot(of_silicon, of_carbon, options.plot)


if __name__ == "__main__":
    main()
