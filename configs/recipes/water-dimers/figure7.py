"""What range separation does to the components of a SOAP + LODE model of water dimers.

::

    python figure7.py FOLDER --plot figure7.png

For growing training sets of dimers: the CPR of the short- and the long-range block for other
dimers, and the errors of the energies of monomers, with the whole potential and with the part of it
that comes from beyond the cutoff. Figure 7 of Chong2025.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import lstsq

import prcli

HERE = Path(__file__).resolve().parent
MODELS = ("whole", "separated")
SETS = ("train", "test", "monomers")
SIZES = (5, 10, 20, 50, 100)
REGULARIZER = 1e-11
#: Of the file of monomers the first ones are to be added to the training set, never to be tested.
N_TO_ADD = 10


@dataclass(frozen=True)
class Outcome:
    """What a training set leads to.

    Attributes
    ----------
    cpr : (2,) array
        Geometric mean over the test dimers: short-range block, long-range block.
    rmse, short_rmse : float
        Of the energy of monomers, meV per molecule: of the prediction, and of the part of it that
        is the short-range block's.
    dimer_rmse : float
        Of the energy of test dimers, meV per dimer.
    """

    cpr: np.ndarray
    rmse: float
    short_rmse: float
    dimer_rmse: float


#: By the numbers of dimers and of monomers in the training set.
Outcomes: TypeAlias = dict[tuple[int, int], Outcome]


def settings(model: str, exponent: int | None = None) -> dict[str, Any]:
    """Read the settings of a model, the exponent of the potential replaced if one is given."""
    read = tomllib.loads((HERE / f"{model}.toml").read_text())
    hypers = {key: read[key] for key in ("short", "long")}
    if exponent is not None:
        hypers["long"]["density"]["exponent"] = exponent
    return hypers


def make_stores(folder: Path, name: str, hypers: Mapping[str, Any]) -> dict[str, Path]:
    """Compute the features of all sets in a folder, with their blocks short and long."""
    stores = {each: folder / f"{each}-{name}.h5" for each in SETS}
    for each, path in stores.items():
        structures = str(folder / f"{each}.xyz")
        request = prcli.ComputeRequest(
            "lode", structures, str(path), hypers, columns=("relative_energy",), overwrite=True
        )
        prcli.compute_features(request)
    return stores


def total_rows(path: Path, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of total energies, scaled, and the energies relative to molecules at rest."""
    with prcli.open_store(path) as store:
        means = store.structures.read(0, store.n_structures)
        rows = means * store.n_atoms[:, np.newaxis] / scale
        return rows, np.array(store.column("relative_energy"))


def outcomes(
    stores: Mapping[str, Path],
    sizes: Sequence[int] = SIZES,
    regularizer: float = REGULARIZER,
) -> Outcomes:
    """Train on more and more dimers, alone and with the first monomers."""
    train, test, monomers = (stores[name] for name in SETS)
    # One scale for all training sets, so that their rigidities can be compared.
    scale = prcli.hessian(train).scale
    rows = {name: total_rows(stores[name], scale) for name in SETS}
    tested, unseen = rows["test"], first(rows["monomers"], slice(N_TO_ADD, None))
    found = {}
    for n_monomers in (0, N_TO_ADD):
        for n_dimers in sizes:
            training, parts = [f"{train}@:{n_dimers}"], [first(rows["train"], slice(n_dimers))]
            if n_monomers:
                training.append(f"{monomers}@:{n_monomers}")
                parts.append(first(rows["monomers"], slice(n_monomers)))
            record = prcli.hessian(training, energy="total", scale=scale, regularizer=regularizer)
            scores = prcli.score(record, test, per="component")
            assert scores.blocks == ("short", "long")
            cpr = np.exp(np.log(scores.rigidity.reshape(-1, 2)).mean(axis=0))
            weights = fit(parts, regularizer)
            short = weights.copy()
            short[record.blocks[0].width :] = 0.0
            found[n_dimers, n_monomers] = Outcome(
                cpr, rmse(weights, *unseen), rmse(short, *unseen), rmse(weights, *tested)
            )
    return found


def first(rows: tuple[np.ndarray, np.ndarray], kept: slice) -> tuple[np.ndarray, np.ndarray]:
    """Take some rows and their energies."""
    return rows[0][kept], rows[1][kept]


def fit(parts: Sequence[tuple[np.ndarray, np.ndarray]], regularizer: float) -> np.ndarray:
    """Fit weights to energies; the same rows and the same prior as those of the rigidities."""
    rows, energies = (np.concatenate(each) for each in zip(*parts, strict=True))
    n_columns = rows.shape[1]
    # The prior as rows of energy zero, so that no digits are lost in a product of rows.
    rows = np.vstack([rows, np.sqrt(regularizer) * np.eye(n_columns)])
    energies = np.concatenate([energies, np.zeros(n_columns)])
    return lstsq(rows, energies, lapack_driver="gelsy")[0]


def rmse(weights: np.ndarray, rows: np.ndarray, energies: np.ndarray) -> float:
    """Root-mean-square error in meV."""
    return 1e3 * float(np.sqrt(np.mean((rows @ weights - energies) ** 2)))


def mean_over_draws(draws: Sequence[Outcomes]) -> Outcomes:
    """Geometric means of the numbers of several draws of the data."""
    names = [field.name for field in fields(Outcome)]
    return {
        key: Outcome(
            *(np.exp(np.mean([np.log(getattr(d[key], n)) for d in draws], 0)) for n in names)
        )
        for key in draws[0]
    }


def table(results: Mapping[str, Outcomes]) -> str:
    """List all numbers, tab-separated; errors in meV."""
    head = "model dimers monomers cpr_short cpr_long monomer_rmse short_part_rmse test_rmse"
    lines = ["\t".join(head.split())]
    for model, found in results.items():
        for (n_dimers, n_monomers), each in found.items():
            numbers = (*each.cpr, each.rmse, each.short_rmse, each.dimer_rmse)
            texts = (model, n_dimers, n_monomers, *(f"{x:.2g}" for x in numbers))
            lines.append("\t".join(map(str, texts)))
    return "\n".join(lines)


def plot(results: Mapping[str, Outcomes], path: Path) -> None:
    """Draw rigidities and errors over the number of dimers, where there are no monomers."""
    from matplotlib.figure import Figure

    from prcli.report.style import style

    with style():
        figure = Figure(figsize=(7.0, 2.8))
        left, right = figure.subplots(1, 2)
        for place, (model, found) in enumerate(results.items()):
            sizes = [n_dimers for n_dimers, n_monomers in found if not n_monomers]
            shown, colour = [found[size, 0] for size in sizes], f"C{place}"
            # Later ones are smaller, so that those below them are seen.
            lines = [
                (left, "short", "o-", 9, [each.cpr[0] for each in shown]),
                (left, "long", "s--", 5, [each.cpr[1] for each in shown]),
                (right, "both parts", "o-", 9 - 4 * place, [each.rmse for each in shown]),
                (right, "short part", "^:", 9 - 4 * place, [each.short_rmse for each in shown]),
            ]
            for axes, name, line, size, values in lines:
                label = f"{model}, {name}"
                look = {"markersize": size, "markeredgecolor": "white", "color": colour}
                axes.plot(sizes, values, line, label=label, **look)
        left.set_ylabel("CPR of test dimers")
        right.set_ylabel("RMSE of monomers / meV")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("training dimers")
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
        left.legend(loc="upper left")
        right.legend(loc=(0.45, 0.22))
        figure.savefig(path, dpi=110)


def main() -> None:
    """Compute, print and draw."""
    parser = argparse.ArgumentParser(description="Figure 7 of Chong2025.")
    parser.add_argument("folder", type=Path, help="what make_water.py has written")
    parser.add_argument("--exponent", type=int, help="of the potential; default 6")
    parser.add_argument("--regularizer", type=float, default=REGULARIZER)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    folders = sorted(options.folder.glob("data-*"))
    if not folders:
        parser.error(f"{options.folder} holds no folder data-*: run make_water.py first")
    results = {}
    for model in MODELS:
        hypers = settings(model, options.exponent)
        draws = [
            outcomes(make_stores(folder, model, hypers), regularizer=options.regularizer)
            for folder in folders
        ]
        results[model] = mean_over_draws(draws)
    print(table(results))
    if options.plot is not None:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
