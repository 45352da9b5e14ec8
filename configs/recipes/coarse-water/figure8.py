"""Rigidities along runs of coarse-grained water, for models of few and of many training frames.

::

    python figure8.py water                 # the folder that make_water.py has filled

For each size of the training set: a Hessian of force rows, weights fitted to the same rows, a run
of beads, and `prcli score` on that run relative to the test set. Of the first run, the thin one,
also LPRs of the beads. Everything is left in the folder; tables go to stdout.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import beads
import numpy as np
from ase.io import read

import prcli
from prcli.report.style import GUIDE, REFERENCE, new_figure, style

SIZES = (1, 10, 100, 1000)  # frames, evenly spaced
N_STEPS, SEEDS = 2000, (0, 1, 2)  # seeds of the thinnest set; the others have the first
WINDOW, THRESHOLD = 200, 0.5

#: Weight of the energy rows, whose only part is to fix the zero that forces leave open.
ENERGY_WEIGHT = 1e4
N_BEFORE = 10  # frames before the end that LPRs are shown of
CONTACT, DPI = 2.5, 85  # Å, drawn as a bond; of pictures


@dataclass(frozen=True)
class Run:
    """A run of beads: how many training frames the model has, and the seed of the run."""

    size: int
    seed: int
    folder: Path

    @property
    def hessian(self) -> Path:
        """Hessian of the model."""
        return self.folder / f"{self.size}.hessian"

    @property
    def weights(self) -> Path:
        """Weights of the model."""
        return self.folder / f"{self.size}.npy"

    @property
    def trajectory(self) -> Path:
        """What has been run."""
        return self.folder / f"run-{self.size}-{self.seed}.xyz"


@dataclass(frozen=True, eq=False)
class Watched:
    """What `prcli score` says of a run.

    Attributes
    ----------
    exit_code : int
        3 where the average fell below the threshold.
    relative, average : ndarray of shape (F,)
    first_below : int or None
        Frame of the average.
    """

    exit_code: int
    relative: np.ndarray
    average: np.ndarray
    first_below: int | None


def command(*arguments: object, codes: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Run prcli; give its exit code and what it wrote to stdout."""
    line = [sys.executable, "-m", "prcli", *map(str, arguments)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in codes:
        raise SystemExit(f"{' '.join(line)}: exit code {done.returncode}")
    return done.returncode, done.stdout


def column(table: str, name: str) -> np.ndarray:
    """Take a column of numbers from a table."""
    return np.array(
        [float(row[name]) for row in csv.DictReader(io.StringIO(table), delimiter="\t")]
    )


def describe(folder: Path, featurizer: Path = beads.FEATURIZER) -> None:
    """Compute features of both sets, once."""
    for name, gradients in (("train", ["--gradients", "force"]), ("test", [])):
        source, store = folder / f"{name}.xyz", folder / f"{name}.h5"
        options = ["--hypers", featurizer, "--distinct", "--overwrite", "-q", *gradients]
        command("features", "compute", "soap", source, "-o", store, *options)


def build_model(run: Run) -> None:
    """Build the Hessian of evenly spaced training frames, and fit weights to their forces."""
    source, store = run.folder / "train.xyz", run.folder / "train.h5"
    frames = read(source, ":")
    step = len(frames) // run.size
    chosen = range(0, step * run.size, step)
    options = ["--energy-weight", ENERGY_WEIGHT, "--overwrite", "-q"]
    command("hessian", f"{store}@0:{chosen.stop}:{step}", "-o", run.hessian, *options)
    with prcli.open_store(store) as opened:
        rows, ends = opened.gradients.rows, opened.gradients.offsets
        blocks = ((rows.read(*ends[i : i + 2]), frames[i].get_forces().ravel()) for i in chosen)
        np.save(run.weights, beads.fit(prcli.read_hessian(run.hessian), blocks))


def run_model(
    run: Run, n_steps: int = N_STEPS, window: int = WINDOW, featurizer: Path = beads.FEATURIZER
) -> list:
    """Run beads from the first frame of the test set, for one window at least."""
    start = read(run.folder / "test.xyz", 0)
    described = beads.featurizer_of_beads(featurizer)
    side = float(start.cell.lengths()[0])
    potential = beads.linear_potential(described, np.load(run.weights), side)
    return beads.run_beads(potential, start, run.trajectory, n_steps, run.seed, window)


def watch(run: Run, window: int = WINDOW, featurizer: Path = beads.FEATURIZER) -> Watched:
    """Score a run relative to the test set."""
    options = ["--window", window, "--threshold", THRESHOLD, "--featurizer", featurizer, "-q"]
    reference = run.folder / "test.h5"
    exit_code, table = command(
        "score", run.hessian, run.trajectory, "--relative-to", reference, *options, codes=(0, 3)
    )
    average = column(table, "relative_pr_average")
    below = average < THRESHOLD
    first = int(np.argmax(below)) if below.any() else None
    return Watched(exit_code, column(table, "relative_pr"), average, first)


def rigidity_of_beads(run: Run, featurizer: Path = beads.FEATURIZER) -> np.ndarray:
    """Give the LPR of every bead (F, n) over the mean of the first frame; write it as a column."""
    options = ["--featurizer", featurizer, "--overwrite", "-q"]
    output = run.trajectory.with_name(f"lpr-{run.size}-{run.seed}.xyz")
    where = ["--relative-to", "first", "--write", output]
    _, table = command("score", run.hessian, run.trajectory, "--per", "atom", *where, *options)
    return column(table, "relative_lpr").reshape(-1, len(read(run.trajectory, 0)))


def blow_up(frames: list) -> int | None:
    """Find the frame in which a run blows up."""
    return next((number for number, frame in enumerate(frames) if frame.is_blown_up), None)


def row_of_run(run: Run, frames: list, watched: Watched) -> list[object]:
    """Say how rigid a run was, and when what happened."""
    end = blow_up(frames)
    means = [f"{watched.relative[:end].mean():.2f}", f"{np.nanmin(watched.average[:end]):.2f}"]
    told = ["-" if value is None else value for value in (watched.first_below, end)]
    return [run.size, run.seed, *means, watched.exit_code, *told]


def rows_of_beads(lpr: np.ndarray, frames: list, side: float, at: dict[str, int]) -> list[list]:
    """Say how rigid the beads are, and the two that come too near first, at some frames.

    Parameters
    ----------
    lpr : (F, n) array
    frames : list of Frame
    side : float
    at : dict of str to int
        Frames, by name.
    """
    two = nearest(frames[at["blow-up"]].positions, side)
    rows = []
    for name, frame in at.items():
        order = np.argsort(np.argsort(lpr[frame])) + 1
        values = [f"{value:.2g}" for value in (lpr[frame].mean(), lpr[frame].min())]
        told = [f"{lpr[frame, bead]:.2g} ({order[bead]})" for bead in two]
        rows.append([name, frame, *values, *told])
    return rows


def nearest(positions: np.ndarray, side: float) -> tuple[int, int]:
    """Find the two beads that are nearest to each other."""
    pairs = np.triu_indices(len(positions), 1)
    place = int(np.argmin(beads.distances(positions, side)))
    return int(pairs[0][place]), int(pairs[1][place])


def pair_correlation(frames: list[np.ndarray], side: float) -> tuple[np.ndarray, np.ndarray]:
    """Give r and g(r)."""
    edges = np.linspace(1.5, side / 2.0, 61)
    found = np.concatenate([beads.distances(positions, side) for positions in frames])
    counts, _ = np.histogram(found, edges)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    return 0.5 * (edges[1:] + edges[:-1]), counts / len(found) / shells * side**3


def plot_runs(runs: dict[int, tuple[list, Watched]], reference: list, side: float, path: Path):
    """Draw relative PRs of the runs, and pair correlations beside them."""
    with style():
        figure = new_figure(height=3.0)
        figure.set_size_inches(7.2, 3.0)
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0])
        for number, (size, (frames, watched)) in enumerate(runs.items()):
            time = np.arange(len(frames)) * beads.TIME_STEP / 1000.0
            label = f"{size} frame" + "s" * (size > 1)
            left.plot(time, watched.relative, color=f"C{number}", alpha=0.25, linewidth=0.6)
            left.plot(time, watched.average, color=f"C{number}", label=label)
            end = blow_up(frames)
            if end is not None:
                left.plot(time[end], watched.relative[end], f"C{number}x", clip_on=False)
            steps = frames[min(WINDOW, len(frames) // 2) :: 5]
            right.plot(*pair_correlation([each.positions for each in steps], side), f"C{number}")
        left.axhline(THRESHOLD, color=GUIDE, linestyle="--", linewidth=0.8)
        left.set(xlabel="time / ps", ylabel="PR / mean of the test set", ylim=(0.0, 1.8))
        right.plot(*pair_correlation(reference, side), color=REFERENCE, linestyle=":")
        right.set(xlabel="r / Å", ylabel="g(r), dotted: classical run", xlim=(2.0, side / 2.0))
        left.legend(ncols=2, loc="upper right")
        figure.savefig(path, dpi=DPI, pil_kwargs={"optimize": True})


def plot_beads(lpr: np.ndarray, frames: list, side: float, at: dict[str, int], path: Path) -> None:
    """Draw beads, coloured by LPR, with bonds between those in contact."""
    from matplotlib.colors import LogNorm

    with style():
        figure = new_figure(height=2.8)
        figure.set_size_inches(7.2, 2.8)
        norm = LogNorm(0.01, 3.0)
        for axes, (name, frame) in zip(figure.subplots(1, len(at)), at.items(), strict=True):
            x = frames[frame].positions % side
            order = np.argsort(x[:, 2])
            for i, j in zip(*np.triu_indices(len(x), 1), strict=True):
                if np.linalg.norm(x[i] - x[j]) < CONTACT:
                    axes.plot(*x[[i, j], :2].T, color="black", linewidth=1.5, zorder=1)
            sizes = 30.0 + 60.0 * x[order, 2] / side
            dots = axes.scatter(
                *x[order, :2].T, sizes, lpr[frame, order], norm=norm, cmap="cividis", zorder=2
            )
            axes.set(xlim=(0, side), ylim=(0, side), aspect="equal", xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
            axes.set_title(f"{name}: {frame * beads.TIME_STEP / 1000.0:.2f} ps")
        figure.colorbar(dots, ax=figure.axes, label="LPR / mean of begin", extend="both")
        figure.savefig(path, dpi=DPI, pil_kwargs={"optimize": True})


def show(names: str, rows: list[list[object]]) -> None:
    """Print a table."""
    print("\n".join("\t".join(map(str, row)) for row in (names.split(), *rows)) + "\n")


def main() -> None:
    """Do everything."""
    parser = argparse.ArgumentParser(description="Figures 8 and 9 of Chong2025, in spirit.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    describe(options.folder)
    models = [Run(size, SEEDS[0], options.folder) for size in SIZES]
    for model in models:
        build_model(model)
    runs = [*models, *(Run(SIZES[0], seed, options.folder) for seed in SEEDS[1:])]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        trajectories = pool.map(run_model, runs, chunksize=1)
        watched = pool.map(watch, runs, chunksize=1)
    done = list(zip(runs, trajectories, watched, strict=True))
    header = "frames seed mean_relative_pr lowest_average exit_code below blow_up"
    show(header, [row_of_run(*each) for each in done])
    reference = read(options.folder / "test.xyz", ":")
    side = float(reference[0].cell.lengths()[0])
    shown = {run.size: (frames, scores) for run, frames, scores in done if run.seed == SEEDS[0]}
    positions = [frame.positions for frame in reference]
    plot_runs(shown, positions, side, options.folder / "figure8.png")
    thin, frames, scores = done[0]
    end = blow_up(frames)
    if scores.first_below is None or end is None:
        raise SystemExit("the run of the thinnest set was stable")
    at = {"begin": 0, "alarm": scores.first_below, "blow-up": end}
    lpr = rigidity_of_beads(thin)
    told = {
        "begin": 0,
        "alarm": scores.first_below,
        "before": max(end - N_BEFORE, 0),
        "blow-up": end,
    }
    show("frame number mean lowest bead_1 bead_2", rows_of_beads(lpr, frames, side, told))
    plot_beads(lpr, frames, side, at, options.folder / "figure9.png")


if __name__ == "__main__":
    main()
