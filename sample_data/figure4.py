"""Show whether picks by prediction rigidity teach a model about surfaces it has never seen.

A ridge model of per-atom energies is trained on dense bulk carbon (``train.xyz``), then refitted
after structures of the pool are added: those picked greedily by the mean PR of the surfaces,
random ones, or random light ones. Printed is the error on the surfaces (``target.xyz``).

    python figure4.py     # reads the xyz files and the feature stores beside it

Everything that could be tuned is fixed by a rule that does not see the surfaces' energies: one
scale (rms norm of the training atoms' features), energies relative to the mean per-atom energy of
the first training set, and the regularizer of the lowest leave-one-out error on that set.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import prcli

HERE = Path(__file__).resolve().parent
GRAM_PER_CM3 = 1.66053906660  # u/Å³ in g/cm³
CANDIDATE_REGULARIZERS = tuple(10.0**k for k in range(-8, -1))
COUNTS = (0, 1, 2, 5, 10)
SEEDS = range(10)
LOW_DENSITY = 2.0  # g/cm³


@dataclass(frozen=True)
class Dataset:
    """Mean feature rows (S, D), scaled; per-atom energies (S,) in eV; densities (S,) in g/cm³."""

    rows: np.ndarray
    energies: np.ndarray
    densities: np.ndarray


def load(name: str) -> tuple[Dataset, np.ndarray]:
    """Read one set; return it unscaled, with its per-atom features (N, D)."""
    import h5py
    from ase.io import read

    frames = read(HERE / f"{name}.xyz", index=":")
    with h5py.File(HERE / f"{name}.h5") as store:
        features = store["atoms/features"][:].astype(np.float64)
    sizes = np.array([len(frame) for frame in frames])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.add.reduceat(features, starts, axis=0) / sizes[:, None]
    energies = np.array([frame.get_potential_energy() for frame in frames]) / sizes
    masses = np.array([frame.get_masses().sum() for frame in frames])
    volumes = np.array([frame.get_volume() for frame in frames])
    return Dataset(rows, energies, masses / volumes * GRAM_PER_CM3), features


def load_scaled() -> dict[str, Dataset]:
    """Read the three sets, all divided by the rms norm of the training atoms' features."""
    loaded = {name: load(name) for name in ("train", "target", "pool")}
    scale = np.sqrt((loaded["train"][1] ** 2).sum(axis=1).mean())
    return {
        name: Dataset(data.rows / scale, data.energies, data.densities)
        for name, (data, _) in loaded.items()
    }


def fit(rows: np.ndarray, values: np.ndarray, regularizer: float) -> np.ndarray:
    """Ridge weights by least squares on [X; ς I]: the square-root form, XᵀX never formed."""
    d = rows.shape[1]
    stacked = np.vstack([rows, np.sqrt(regularizer) * np.eye(d)])
    return np.linalg.lstsq(stacked, np.concatenate([values, np.zeros(d)]), rcond=None)[0]


def leave_one_out_rmse(train: Dataset, regularizer: float) -> float:
    """Return the leave-one-out RMSE in eV/atom; each fold subtracts its own mean energy."""
    errors = []
    for left in range(len(train.rows)):
        kept = np.arange(len(train.rows)) != left
        mean = train.energies[kept].mean()
        weights = fit(train.rows[kept], train.energies[kept] - mean, regularizer)
        errors.append(train.rows[left] @ weights + mean - train.energies[left])
    return float(np.sqrt(np.mean(np.square(errors))))


def choose_regularizer(train: Dataset) -> tuple[float, dict[float, float]]:
    """Return the ς² of the lowest leave-one-out error on the training set, and all errors."""
    errors = {r: leave_one_out_rmse(train, r) for r in CANDIDATE_REGULARIZERS}
    return min(errors, key=errors.__getitem__), errors


def pick_greedily(regularizer: float, n: int) -> list[int]:
    """Pick n pool structures, each the one that most raises the surfaces' mean PR."""
    selection = prcli.select(
        HERE / "pool.h5",
        n,
        train=HERE / "train.h5",
        target=HERE / "target.h5",
        regularizer=regularizer,
    )
    return selection.indices.tolist()


def surface_rmse(sets: dict[str, Dataset], picks: list[int], regularizer: float) -> float:
    """RMSE on the surfaces in meV/atom of the model fitted to train + picks."""
    train, pool, target = sets["train"], sets["pool"], sets["target"]
    mean = train.energies.mean()  # of the first training set: the baseline does not move
    energies = np.concatenate([train.energies, pool.energies[picks]])
    weights = fit(np.vstack([train.rows, pool.rows[picks]]), energies - mean, regularizer)
    errors = target.rows @ weights + mean - target.energies
    return float(1000 * np.sqrt(np.mean(errors**2)))


def curve(sets: dict[str, Dataset], order: list[int], regularizer: float) -> list[float]:
    """RMSE after each of ``COUNTS`` additions of the pool structures in this order."""
    return [surface_rmse(sets, order[:n], regularizer) for n in COUNTS]


def random_curves(sets: dict[str, Dataset], allowed: np.ndarray, regularizer: float) -> np.ndarray:
    """Curves (seeds, counts) of uniform random picks without repetition among ``allowed``."""
    orders = [np.random.default_rng(seed).permutation(allowed) for seed in SEEDS]
    return np.array([curve(sets, order[: max(COUNTS)].tolist(), regularizer) for order in orders])


def table(sets: dict[str, Dataset], regularizer: float) -> str:
    """Return the table of errors in meV/atom as Markdown."""
    pool = sets["pool"]
    picks = pick_greedily(regularizer, max(COUNTS))
    light = np.flatnonzero(pool.densities < LOW_DENSITY)
    lines = ["| added | " + " | ".join(map(str, COUNTS)) + " |", "|---" * (len(COUNTS) + 1) + "|"]
    values = [f"{v:.0f}" for v in curve(sets, picks, regularizer)]
    lines.append("| mean-PR | " + " | ".join(values) + " |")
    for label, allowed in (("random", np.arange(len(pool.rows))), ("low-density", light)):
        curves = random_curves(sets, allowed, regularizer)
        means, spreads = curves.mean(axis=0), curves.std(axis=0, ddof=1)
        cells = [f"{m:.0f} ± {s:.0f}" for m, s in zip(means, spreads, strict=True)]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    floor = surface_rmse(sets, list(range(len(pool.rows))), regularizer)
    picked = ", ".join(f"{i} ({pool.densities[i]:.2f})" for i in picks)
    lines += ["", f"picks, pool position (g/cm³): {picked}", f"whole pool added: {floor:.0f}"]
    return "\n".join(lines)


def main() -> None:
    """Choose the regularizer on the training set, then print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--regularizer", type=float, help="ς², in place of the rule's choice")
    asked = parser.parse_args().regularizer
    sets = load_scaled()
    for name, data in sets.items():
        spread = 1000 * data.energies.std()
        print(f"{name}: {len(data.rows)} structures, energy spread {spread:.0f} meV/atom")
    regularizer, errors = choose_regularizer(sets["train"])
    for value, error in errors.items():
        print(f"regularizer {value:.0e}: leave-one-out RMSE {1000 * error:.1f} meV/atom")
    print(f"chosen: {regularizer:.0e}")
    if asked is not None:
        regularizer = asked
        print(f"used instead, as asked: {regularizer:.0e}")
    print("\nRMSE on the surfaces, meV/atom\n")
    print(table(sets, regularizer))


if __name__ == "__main__":
    main()
