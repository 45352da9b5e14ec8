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
from collections import defaultdict
from pathlib import Path

import numpy as np

import prcli
from prcli.workflows.embed import embed
from prcli.workflows.embed_features import LargeFeatures, Model, make_model
from prcli.workflows.embed_gains import Gains, centre_rows, describe_small, row_of_mean
from prcli.workflows.embed_request import EmbedRequest
from prcli.workflows.embedding import Embedding
from prcli.workflows.inputs import InputOptions

STRATEGIES = ("whole", "carve", "periodic", "high-symmetry")


def growth(request: EmbedRequest, n_orders: int = 5) -> dict[str, np.ndarray]:
    """Add structures one by one, in several orders, since single ones differ a lot.

    Returns
    -------
    curves : dict of str to (K, N) array
        LPR after 1 to N structures over LPR before, minus 1, for each of K atoms; the mean over
        the orders.
    """
    embedding = embed(request)
    structures = [embedding.structure, embedding.crystal]
    model = make_model(request.hessian, request.inputs, structures)
    large = LargeFeatures(model, embedding.structure, embedding.geometry.cutoff, lambda *_: None)
    rows = target_rows(model, large, embedding)
    blocks = added_rows(model, large, embedding)
    crystal = describe_small(model, embedding.crystal.atoms, "crystal").rows
    curves = defaultdict(list)
    for centre, row in zip(embedding.centres, rows, strict=True):
        for strategy in STRATEGIES:
            before = [crystal] if strategy == "high-symmetry" else []
            rows_in_order = orders(blocks[strategy, centre], n_orders)
            each = [curve(model, row, before, added) for added in rows_in_order]
            curves[strategy].append(np.mean(each, axis=0))
    return {strategy: np.array(curves[strategy]) for strategy in STRATEGIES}


def orders(blocks: list[np.ndarray], n_orders: int) -> list[list[np.ndarray]]:
    """Orders that begin with different structures; one where all are the same."""
    if all(rows is blocks[0] for rows in blocks):
        return [blocks]
    n_orders = min(n_orders, len(blocks))
    starts = [i * len(blocks) // n_orders for i in range(n_orders)]
    return [blocks[start:] + blocks[:start] for start in starts]


def target_rows(model: Model, large: LargeFeatures, embedding: Embedding) -> np.ndarray:
    """Rows of the local predictions for the atoms in question."""
    numbers = embedding.structure.atoms.numbers[list(embedding.centres)]
    return centre_rows(model, large.of_atoms(embedding.centres), numbers)


def added_rows(
    model: Model, large: LargeFeatures, embedding: Embedding
) -> dict[tuple[str, int], list[np.ndarray]]:
    """Rows of the structures of each strategy and atom, draw after draw."""
    blocks = defaultdict(list)
    for small in sorted(embedding.small, key=lambda each: each.draw):
        if small.template is not None:
            rows = describe_small(model, small.template.atoms, small.name).rows
            blocks[small.name, small.centre].append(rows)
    large.rigidities()  # so that the mean over all atoms is known
    structure = embedding.structure
    whole = row_of_mean(model, large.mean, structure.atoms, structure.where)
    for centre in embedding.centres:
        blocks["whole", centre] = [whole] * embedding.request.n_draws
        blocks["carve", centre] *= embedding.request.n_draws
    return blocks


def curve(
    model: Model, row: np.ndarray, before: list[np.ndarray], blocks: list[np.ndarray]
) -> list[float]:
    """Relative growth of one LPR as structures are added, without loss of digits."""
    total, added, result = 1.0, [], []
    for rows in before:
        total *= 1.0 + Gains(model, row, added).of(rows)
        added.append(rows)
    for rows in blocks:
        total *= 1.0 + Gains(model, row, added).of(rows)
        added.append(rows)
        result.append(total - 1.0)
    return result


def table(curves: dict[str, np.ndarray]) -> str:
    """Mean over the atoms, in percent, by number of structures added."""
    n_added = curves["whole"].shape[1]
    shown = [n for n in (1, 2, 5, 10, 20, 50) if n <= n_added]
    lines = ["\t".join(["added", *map(str, shown)])]
    for strategy, values in curves.items():
        means = 100.0 * values.mean(axis=0)
        lines.append("\t".join([strategy, *(f"{means[n - 1]:.3g}" for n in shown)]))
    return "\n".join(lines)


def plot(curves: dict[str, np.ndarray], path: Path) -> None:
    """Draw both panels."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (bars, lines) = plt.subplots(1, 2, figsize=(8.5, 3.0), layout="constrained")
    for place, (strategy, values) in enumerate(curves.items()):
        means = 100.0 * values.mean(axis=0)
        bars.bar(place, means[0])
        lines.plot(np.arange(1, len(means) + 1), means, marker="o", label=strategy)
    bars.set_xticks([])
    bars.set_ylabel("growth of the LPR / %")
    bars.set_xlabel("one structure added")
    lines.set_xlabel("structures added")
    figure.legend(*lines.get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Compute, print and draw."""
    parser = argparse.ArgumentParser(description="Figure 5 of Chong2025.")
    parser.add_argument("large")
    parser.add_argument("--train", action="append", required=True)
    parser.add_argument("--crystal", default="C:diamond:3.567")
    parser.add_argument("--featurizer", default=str(Path(__file__).with_name("soap.toml")))
    parser.add_argument("--regularizer", default="auto")
    parser.add_argument("--energy", default="per-atom", choices=["per-atom", "total"])
    parser.add_argument("--buffer", type=float, default=0.0)
    parser.add_argument("--lowest", type=int, default=8, help="atoms to average over")
    parser.add_argument("-n", type=int, default=10, help="structures to add")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    inputs = InputOptions(featurizer=options.featurizer)
    regularizer = options.regularizer
    record = prcli.hessian(
        options.train,
        inputs=inputs,
        energy=options.energy,
        regularizer=regularizer if regularizer == "auto" else float(regularizer),
    )
    request = EmbedRequest(
        options.large,
        crystal=options.crystal,
        buffer=options.buffer,
        n_draws=options.n,
        lowest=options.lowest,
        hessian=record,
        inputs=inputs,
    )
    curves = growth(request)
    size = f"{record.n_structures} structures, {record.n_features} features"
    print(f"# {size}, regularizer {record.regularizer:.3g}; growth of the LPR in percent")
    print(table(curves))
    if options.plot is not None:
        plot(curves, options.plot)


if __name__ == "__main__":
    main()
