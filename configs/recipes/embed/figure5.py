"""How much small structures teach a model about the least rigid environments of a large one.

::

    python figure5.py LARGE.xyz --train A.xyz --train B.xyz --crystal C:diamond:3.567 --plot f.png

For each of the least rigid atoms of LARGE.xyz, one to N structures of each strategy are added to
the training set, and the LPR of the atom is compared with what it was: figure 5 of Chong2025. The
large structure itself ("whole") and the carved cluster are the same each time; the crystal counts
as added with the first structure that is embedded in it.
"""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import prcli

STRATEGIES = ("whole", "carve", "periodic", "high-symmetry")
MARKERS = "osD^"
SETTINGS = Path(__file__).resolve().with_name("soap.toml")


def growth(
    large: Path,
    record: prcli.HessianRecord,
    hypers: Mapping[str, Any],
    *,
    crystal: str,
    n_draws: int,
    lowest: int,
    buffer: float = 0.0,
    n_orders: int = 5,
) -> dict[str, np.ndarray]:
    """Add structures one by one, in several orders, since single ones differ a lot.

    Parameters
    ----------
    large : path
        A structure of many atoms.
    record : HessianRecord
        Of energies per atom.
    hypers : mapping
        Settings of the SOAP features of `record`.
    crystal, n_draws, lowest, buffer : optional
        As in `prcli.embed`.
    n_orders : int

    Returns
    -------
    curves : dict of str to (K, N) array
        LPR after 1 to N structures over LPR before, minus 1, for each of K atoms; the mean over
        the orders.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = describe(large, folder / "large.h5", hypers)
        embedding = prcli.embed(
            large,
            lpr=prcli.score(record, store, per="atom").rigidity,
            lowest=lowest,
            cutoff=hypers["cutoff"]["radius"],
            buffer=buffer,
            crystal=crystal,
            n_draws=n_draws,
            output=str(folder / "small.xyz"),
        )
        (whole,), atoms = rows_of(store)
        small, _ = rows_of(describe(folder / "small.xyz", folder / "small.h5", hypers))
    draws = defaultdict(list)
    for structure, row in zip(embedding.small, small, strict=True):
        draws[structure.name, structure.centre].append(row)
    curves = defaultdict(list)
    for centre in embedding.centres:
        before = lpr_of(record, atoms[centre])
        rows = {
            "whole": [whole] * n_draws,
            "carve": draws["carve", centre] * n_draws,
            "periodic": draws["periodic", centre],
            "high-symmetry": draws["high-symmetry", centre],
        }
        for strategy in STRATEGIES:
            first = draws["crystal", None] if strategy == "high-symmetry" else []
            each = [
                [lpr / before - 1.0 for lpr in lprs_with(record, atoms[centre], first, order)]
                for order in orders(rows[strategy], n_orders)
            ]
            curves[strategy].append(np.mean(each, axis=0))
    return {strategy: np.array(curves[strategy]) for strategy in STRATEGIES}


def describe(structures: Path, store: Path, hypers: Mapping[str, Any]) -> Path:
    """Compute the features of a file of structures."""
    prcli.compute_features(prcli.ComputeRequest("soap", str(structures), str(store), hypers))
    return store


def rows_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean features of structures, (S, D), and features of atoms, (N, D), of a store."""
    with prcli.open_store(path) as store:
        n_atoms = int(store.n_atoms.sum())
        return store.structures.read(0, store.n_structures), store.atoms.read(0, n_atoms)


def orders(rows: list[np.ndarray], n_orders: int) -> list[list[np.ndarray]]:
    """Orders that begin with different structures; one where all are the same."""
    if all(row is rows[0] for row in rows):
        return [rows]
    n_orders = min(n_orders, len(rows))
    starts = [i * len(rows) // n_orders for i in range(n_orders)]
    return [rows[start:] + rows[:start] for start in starts]


def lprs_with(
    record: prcli.HessianRecord,
    atom: np.ndarray,
    first: Sequence[np.ndarray],
    added: Sequence[np.ndarray],
) -> list[float]:
    """LPR of an atom of features (D,) once 1, 2, ... rows (D,) have been added after `first`."""
    numbers = {"scale": record.scale, "regularizer": record.regularizer}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.hessian"
        prcli.write_hessian(path, record)
        for n_added in range(1, len(added) + 1):
            rows = prcli.Features(structures=[*first, *added[:n_added]], blocks=record.blocks)
            # The same structure may be added again and again.
            grown = prcli.hessian([path, rows], allow_duplicates=True, **numbers)
            found.append(lpr_of(grown, atom))
    return found


def lpr_of(record: prcli.HessianRecord, atom: np.ndarray) -> float:
    """LPR of an atom of features (D,)."""
    one = prcli.Features(atoms=[atom], n_atoms=[1], blocks=record.blocks)
    return float(prcli.score(record, one, per="atom").rigidity[0])


def table(curves: Mapping[str, np.ndarray]) -> str:
    """Mean over the atoms, in percent, by number of structures added."""
    n_added = curves["whole"].shape[1]
    shown = [n for n in (1, 2, 5, 10, 20, 50) if n <= n_added]
    lines = ["\t".join(["added", *map(str, shown)])]
    for strategy, values in curves.items():
        means = 100.0 * values.mean(axis=0)
        lines.append("\t".join([strategy, *(f"{means[n - 1]:.3g}" for n in shown)]))
    return "\n".join(lines)


def plot(curves: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw both panels."""
    from matplotlib.figure import Figure

    from prcli.report.style import style

    with style():
        figure = Figure(figsize=(7.0, 2.8))
        bars, lines = figure.subplots(1, 2)
        for place, (strategy, values) in enumerate(curves.items()):
            means = 100.0 * values.mean(axis=0)
            bars.bar(place, means[0], color=f"C{place}")
            n_added = np.arange(1, len(means) + 1)
            kind = {"marker": MARKERS[place], "color": f"C{place}"}
            lines.plot(n_added, means, markersize=4, label=strategy, **kind)
        bars.set_xticks(range(len(curves)), list(curves), fontsize=7)
        bars.set(ylabel="growth of the LPR / %", xlabel="one structure added")
        lines.set(ylabel="growth of the LPR / %", xlabel="structures added")
        lines.legend()
        figure.savefig(path, dpi=110)


def main() -> None:
    """Compute, print and draw."""
    parser = argparse.ArgumentParser(description="Figure 5 of Chong2025.")
    parser.add_argument("large", type=Path)
    parser.add_argument("--train", action="append", required=True)
    parser.add_argument("--crystal", default="C:diamond:3.567")
    parser.add_argument("--regularizer", default="auto")
    parser.add_argument("--buffer", type=float, default=0.0)
    parser.add_argument("--lowest", type=int, default=8, help="atoms to average over")
    parser.add_argument("-n", type=int, default=10, help="structures to add")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if not options.large.is_file():
        parser.error(f"there is no {options.large}: run make_liquid.py first")
    settings = tomllib.loads(SETTINGS.read_text())
    given = options.regularizer
    record = prcli.hessian(
        options.train,
        inputs=prcli.InputOptions(featurizer=settings),
        regularizer=given if given == "auto" else float(given),
    )
    curves = growth(
        options.large,
        record,
        {key: value for key, value in settings.items() if key != "featurizer"},
        crystal=options.crystal,
        n_draws=options.n,
        lowest=options.lowest,
        buffer=options.buffer,
    )
    size = f"{record.n_structures} structures, {record.n_features} features"
    print(f"# {size}, regularizer {record.regularizer:.3g}; growth of the LPR in percent")
    print(table(curves))
    if options.plot is not None:
        plot(curves, options.plot)


if __name__ == "__main__":
    main()
