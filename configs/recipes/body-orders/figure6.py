"""Rigidities of body orders as smaller clusters enter the training set: figure 6 of Chong2025.

::

    python figure6.py FOLDER --plot figure6.png      # FOLDER/{self,distinct}/*.h5

Of the 500 training clusters, all pentamers at first, 50 are replaced by dimers, then 50 more by
trimers, then 50 more by tetramers. For each training set: the CPR of every block of features, the
median over pentamers that none of them holds; the curve of the dimer that a ridge regression with
the same Hessian predicts, and the part of it that comes from the block ν = 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lstsq

import prcli
from prcli.report.style import REFERENCE, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"self": "with self-interaction", "distinct": "without self-interaction"}
#: What is added in the course of time, in this order.
ADDED = ("dimers", "trimers", "tetramers")


@dataclass(frozen=True, eq=False)
class Stage:
    """What one training set teaches.

    Attributes
    ----------
    name : str
        What was added last.
    cpr : dict of str to float
        Median over the test pentamers, by block.
    curve, curve_nu1 : (n,) array
        Binding energy of the dimer, in eV, and what the first block contributes to it.
    rmse : float
        Of the binding energies of the test pentamers, in eV.
    """

    name: str
    cpr: Mapping[str, float]
    curve: np.ndarray
    curve_nu1: np.ndarray
    rmse: float


@dataclass(frozen=True, eq=False)
class Stages:
    """What the training sets teach one kind of model.

    Attributes
    ----------
    stages : list of Stage
    regularizer : float
        That of `auto` for the pentamers, and of all sets.
    """

    stages: list[Stage]
    regularizer: float


def training_sets(folder: Path) -> dict[str, list[str]]:
    """Arguments for prcli, for each set: all of the same size."""
    sizes = {name: len(rows_of(folder / f"{name}.h5")[1]) for name in ("pentamers", *ADDED)}
    n_left, sets, smaller = sizes["pentamers"], {}, []
    sets["pentamers"] = [str(folder / "pentamers.h5")]
    for name in ADDED:
        n_left -= sizes[name]
        smaller.append(str(folder / f"{name}.h5"))
        sets[f"+ {name}"] = [f"{folder / 'pentamers.h5'}@:{n_left}", *smaller]
    return sets


def rows_of(path: Path, kept: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Rows of total energies, shape (S, D), and binding energies, shape (S,), of a store."""
    with prcli.open_store(path) as store:
        assert store.structures is not None
        assert store.convention == "mean"
        rows = store.structures.read(0, store.n_structures) * store.n_atoms[:, None]
        return rows[kept], store.column("binding_energy")[kept]


def fit(arguments: Sequence[str], regularizer: float) -> np.ndarray:
    """Weights of the ridge regression that has the Hessian of these arguments."""
    parts = []
    for argument in arguments:
        path, _, n_left = argument.partition("@:")
        parts.append(rows_of(Path(path), slice(int(n_left) if n_left else None)))
    rows, energies = (np.concatenate(each) for each in zip(*parts, strict=True))
    n_columns = rows.shape[1]
    # The prior as rows of energy zero, so that no digits are lost in a product of rows.
    rows = np.vstack([rows, np.sqrt(regularizer) * np.eye(n_columns)])
    energies = np.concatenate([energies, np.zeros(n_columns)])
    return lstsq(rows, energies, lapack_driver="gelsy")[0]


def learn(folder: Path, regularizer: float | str = "auto") -> Stages:
    """Follow one kind of model through the training sets.

    Parameters
    ----------
    folder : Path
        Stores of one kind of feature.
    regularizer : float or "auto"
        Where it is "auto", that of the first set serves for all: rigidities of sets can only be
        compared at the same one.
    """
    stages = []
    for name, arguments in training_sets(folder).items():
        record = prcli.hessian(arguments, energy="total", scale="none", regularizer=regularizer)
        regularizer = record.regularizer
        scores = prcli.score(record, folder / "test.h5", per="component")
        cpr = np.median(scores.rigidity.reshape(-1, len(scores.blocks)), axis=0)
        weights = fit(arguments, regularizer)
        rows, energies = rows_of(folder / "test.h5")
        dimers, _ = rows_of(folder / "curve.h5")
        assert record.blocks is not None
        first = slice(0, record.blocks[0].width)
        stages.append(
            Stage(
                name,
                dict(zip(scores.blocks, map(float, cpr), strict=True)),
                dimers @ weights,
                dimers[:, first] @ weights[first],
                float(np.sqrt(np.mean((rows @ weights - energies) ** 2))),
            )
        )
    return Stages(stages, float(regularizer))


def curve_of(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the atoms of the dimers, in Å, and binding energies, in eV."""
    from ase.io import read

    dimers = read(folder / "curve.xyz", ":")
    _, energies = rows_of(folder / "self" / "curve.h5")
    return np.array([dimer.get_distance(0, 1) for dimer in dimers]), energies


def deviation(predicted: np.ndarray, energies: np.ndarray) -> float:
    """Root mean square difference of two curves."""
    return float(np.sqrt(np.mean((predicted - energies) ** 2)))


def table(found: Mapping[str, Stages], energies: np.ndarray) -> str:
    """CPR by block; deviations from the curve of the dimer and test errors, in eV."""
    blocks = next(iter(found.values())).stages[0].cpr
    lines = ["\t".join(["features", "training set", *blocks, "dimer", "dimer nu1", "test"])]
    for kind, stages in found.items():
        for stage in stages.stages:
            curves = (deviation(curve, energies) for curve in (stage.curve, stage.curve_nu1))
            numbers = [*stage.cpr.values(), *curves, stage.rmse]
            lines.append("\t".join([KINDS[kind], stage.name, *(f"{x:.3g}" for x in numbers)]))
    return "\n".join(lines)


def plot(
    found: Mapping[str, Stages], distances: np.ndarray, energies: np.ndarray, path: Path
) -> None:
    """Draw a row of panels for each kind: CPR, curve of the dimer, its part from ν = 1."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(7.2, 4.6))
        panels = figure.subplots(len(found), 3, squeeze=False)
        for row, (kind, stages) in zip(panels, found.items(), strict=True):
            _draw_cpr(row[0], stages)
            _draw_curves(row[1], stages, [s.curve for s in stages.stages], distances, energies)
            _draw_curves(row[2], stages, [s.curve_nu1 for s in stages.stages], distances, energies)
            row[0].set_ylabel(f"{KINDS[kind]}\nCPR")
            row[1].set_ylabel("energy / eV")
        for panel, title in zip(panels[0], ("", "dimer, all blocks", "dimer, ν = 1"), strict=True):
            panel.set_title(title)
        for panel in panels[-1, 1:]:
            panel.set_xlabel("distance / Å")
        limits = [limit for panel in panels[:, 0] for limit in panel.get_ylim()]
        for panel in panels[:, 0]:
            panel.set_ylim(min(limits), max(limits))
        handles, labels = panels[0, 1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.savefig(path, dpi=90, pil_kwargs={"optimize": True})


def _draw_cpr(panel: Axes, stages: Stages) -> None:
    """Draw the rigidity of each block, a mark for each training set."""
    for place, stage in enumerate(stages.stages):
        values = list(stage.cpr.values())
        panel.plot(values, "osD^"[place], color=f"C{place}", linestyle="-", linewidth=0.8)
    names = [name.replace("nu", "ν = ") for name in stages.stages[0].cpr]
    panel.set_xticks(range(len(names)), names)
    panel.set_yscale("log")


def _draw_curves(
    panel: Axes,
    stages: Stages,
    curves: Sequence[np.ndarray],
    distances: np.ndarray,
    energies: np.ndarray,
) -> None:
    """Draw the curves of all training sets; that of pentamers alone may leave the panel."""
    for place, (stage, curve) in enumerate(zip(stages.stages, curves, strict=True)):
        # Curves lie on each other: the later, the thinner.
        width = 4.0 - 0.9 * place
        panel.plot(distances, curve, color=f"C{place}", linewidth=width, label=stage.name)
    panel.plot(distances, energies, "--", color=REFERENCE, linewidth=1.0, label="GFN2-xTB")
    shown = np.concatenate([energies, *curves[1:]])
    margin = 0.15 * np.ptp(shown)
    panel.set_ylim(shown.min() - margin, shown.max() + margin)


def main() -> None:
    """Compute, print and draw."""
    parser = argparse.ArgumentParser(description="Figure 6 of Chong2025.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--regularizer", default="auto")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if not all((options.folder / kind).is_dir() for kind in KINDS):
        parser.error(f"{options.folder} holds no features: run body_features.py first")
    given = options.regularizer
    regularizer = given if given == "auto" else float(given)
    found = {kind: learn(options.folder / kind, regularizer) for kind in KINDS}
    distances, energies = curve_of(options.folder)
    for kind, stages in found.items():
        print(f"# {KINDS[kind]}: regularizer {stages.regularizer:.3g}")
    print("# median CPR by block; then eV: deviation of the curve, of its part nu1, test error")
    print(table(found, energies))
    if options.plot is not None:
        plot(found, distances, energies, options.plot)


if __name__ == "__main__":
    main()
