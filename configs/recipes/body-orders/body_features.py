"""Features of body orders 2 to 5 in blocks ν = 1 to 4, with and without self-interaction.

::

    python body_features.py FOLDER         # FOLDER/*.xyz to FOLDER/{self,distinct}/*.h5

With A_nlm = Σ_j φ_nlm(r_j) the density of the neighbours of an atom, the features of order ν are
Clebsch-Gordan products of ν densities that are invariant under rotations. Each is a sum over
ν-tuples of neighbours,

    F = Σ_{j1…jν} T(j1, …, jν) = F(J), J the set of neighbours,

in which the same neighbour may occur several times: *self-interaction*, by which F of order ν
holds terms of all lower body orders, too. Without it the sum runs over distinct neighbours.

The distinct sum by inclusion and exclusion. Let F(S) be the feature with the neighbours in S only,
and G(S) the sum over the tuples that contain each neighbour of S and no other. Then F(S) is the sum
of G(S') over S' ⊆ S, so that G(S) = Σ_{S' ⊆ S} (−1)^{|S|−|S'|} F(S'). A tuple of ν neighbours
contains ν different ones if and only if all are distinct. Hence

    F_distinct = Σ_{S ⊆ J, |S| = ν} G(S)
               = Σ_{S ⊆ J, |S| ≤ ν} (−1)^{ν−|S|} C(|J|−|S|, ν−|S|) F(S):

features as they are, of all subsets of the neighbours, with integer weights. For ν = 2 it is F(J)
minus the squares F({j}) of single neighbours. It vanishes for fewer than ν neighbours. The number
of subsets grows as |J|^ν: right for clusters, too slow for solids.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import prcli

if TYPE_CHECKING:
    from ase import Atoms
    from metatensor import TensorMap

Kind = Literal["self", "distinct"]
KINDS: tuple[Kind, ...] = ("self", "distinct")

CUTOFF, SMOOTHING, WIDTH = 6.0, 1.0, 0.3  # Å
#: Clusters that are described together.
_BATCH = 50


@dataclass(frozen=True)
class Order:
    """A block of features.

    Attributes
    ----------
    nu : int
        Neighbours in each term.
    max_radial, max_angular : int
        Largest n and l.
    """

    nu: int
    max_radial: int
    max_angular: int

    @property
    def name(self) -> str:
        """Name of the block."""
        return f"nu{self.nu}"


#: The higher the order, the fewer functions, so that no block is much wider than the others.
ORDERS = (Order(1, 9, 0), Order(2, 3, 3), Order(3, 1, 3), Order(4, 1, 2))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Contributions of single neighbours to densities, and which atom they belong to.

    Attributes
    ----------
    centre : (P,) array of int
        Atom around which the density is, counted over all clusters.
    values : list of (P, 2 l + 1, N) arrays
        φ_nlm(r_j), for each l.
    n_atoms : int
        In all clusters.
    """

    centre: np.ndarray
    values: list[np.ndarray]
    n_atoms: int

    def groups(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield atoms with k neighbours each, shape (A,), and the pairs of each, shape (A, k)."""
        pairs = np.argsort(self.centre, kind="stable")
        counts = np.bincount(self.centre, minlength=self.n_atoms)
        first = np.cumsum(counts) - counts
        for k in np.unique(counts[counts > 0]):
            atoms = np.flatnonzero(counts == k)
            yield atoms, pairs[first[atoms, None] + np.arange(k)]


def find_neighbours(structures: Sequence[Atoms], order: Order) -> Neighbours:
    """Expand neighbour by neighbour, with the functions of an order."""
    from featomic import SphericalExpansionByPair

    calculator = SphericalExpansionByPair(
        cutoff={"radius": CUTOFF, "smoothing": {"type": "ShiftedCosine", "width": SMOOTHING}},
        density={"type": "Gaussian", "width": WIDTH, "center_atom_weight": 0.0},
        basis={
            "type": "TensorProduct",
            "max_angular": order.max_angular,
            "radial": {"type": "Gto", "max_radial": order.max_radial},
        },
    )
    expansion = calculator.compute(list(structures))
    counts = [len(structure) for structure in structures]
    first = np.cumsum(counts) - counts
    centres, values = [], []
    for ell in range(order.max_angular + 1):
        block = expansion.block({"o3_lambda": ell})
        samples = np.asarray(block.samples.values)
        # For l = 0 each atom is listed as a pair with itself, too.
        pairs = np.flatnonzero(samples[:, 1] != samples[:, 2])
        centres.append(first[samples[pairs, 0]] + samples[pairs, 1])
        values.append(np.asarray(block.values)[pairs])
    return Neighbours(centres[0], values, sum(counts))


def as_tensor(densities: Sequence[np.ndarray]) -> TensorMap:
    """Wrap densities A_nlm, an (n, 2 l + 1, N) array for each l, for featomic."""
    from metatensor import Labels, TensorBlock, TensorMap

    keys = Labels(["o3_lambda", "o3_sigma"], np.array([(ell, 1) for ell in range(len(densities))]))
    blocks = [
        TensorBlock(
            values,
            Labels.range("density", len(values)),
            [Labels("o3_mu", np.arange(-ell, ell + 1)[:, None])],
            Labels.range("n", values.shape[2]),
        )
        for ell, values in enumerate(densities)
    ]
    return TensorMap(keys, blocks)


def invariants(densities: Sequence[np.ndarray], nu: int) -> TensorMap:
    """Multiply ν densities to all invariants, redundant ones among them."""
    from featomic.clebsch_gordan import DensityCorrelations
    from metatensor import Labels

    # Two densities may be joined to 2 l_max, and must be back at l_max before the last one.
    largest = (2 if nu > 3 else 1) * (len(densities) - 1)
    correlations = DensityCorrelations(n_correlations=nu - 1, max_angular=largest)
    scalars = Labels(["o3_lambda", "o3_sigma"], np.array([[0, 1]]))
    return correlations.compute(as_tensor(densities), largest, scalars)


def correlate(densities: Sequence[np.ndarray], nu: int) -> np.ndarray:
    """Compute all products of ν densities that are invariant, shape (n, products)."""
    if nu == 1:
        return densities[0][:, 0]
    parts = [np.asarray(block.values)[:, 0] for block in invariants(densities, nu).blocks()]
    return np.concatenate(parts, axis=1)


@lru_cache
def directions(order: Order) -> np.ndarray:
    """Orthonormal directions in which the products of densities vary at all.

    Products that differ by a permutation of densities are the same, or depend linearly on others.
    To rotate onto the directions that are left changes no product of two rows, hence no rigidity.

    Returns
    -------
    directions : (products, D) array
    """
    rng = np.random.default_rng(0)
    shapes = [(2 * ell + 1, order.max_radial + 1) for ell in range(order.max_angular + 1)]
    rows = correlate([rng.normal(size=(1000, *shape)) for shape in shapes], order.nu)
    _, singular, vectors = np.linalg.svd(rows, full_matrices=False)
    return vectors[singular > 1e-9 * singular[0]].T


def subset_weights(n_neighbours: int, nu: int) -> dict[tuple[int, ...], int]:
    """Weights of the features of subsets of neighbours that add up to the sum over distinct ones.

    None for fewer than ν neighbours; the empty subset has no features.
    """
    if n_neighbours < nu:
        return {}
    return {
        subset: (-1) ** (nu - size) * comb(n_neighbours - size, nu - size)
        for size in range(1, nu + 1)
        for subset in combinations(range(n_neighbours), size)
    }


def describe(neighbours: Neighbours, order: Order, kind: Kind) -> np.ndarray:
    """Compute a block of features.

    Returns
    -------
    features : (N, D) array
        Zero for atoms without neighbours, and with fewer than ν where these must be distinct.
    """
    rotation = directions(order)
    features = np.zeros((neighbours.n_atoms, rotation.shape[1]))
    for atoms, pairs in neighbours.groups():
        n_neighbours = pairs.shape[1]
        everyone = {tuple(range(n_neighbours)): 1}
        weights = everyone if kind == "self" else subset_weights(n_neighbours, order.nu)
        if weights:
            densities = [densities_of(values[pairs], weights) for values in neighbours.values]
            products = correlate(densities, order.nu).reshape(len(atoms), len(weights), -1)
            features[atoms] = np.einsum("s,asp->ap", list(weights.values()), products) @ rotation
    return features


def densities_of(values: np.ndarray, subsets: Iterable[tuple[int, ...]]) -> np.ndarray:
    """Add up contributions (A, k, 2 l + 1, N) of subsets of the k neighbours of A atoms each.

    Returns
    -------
    densities : (A * subsets, 2 l + 1, N) array
        The subsets of an atom side by side.
    """
    sums = np.stack([values[:, list(subset)].sum(axis=1) for subset in subsets], axis=1)
    return sums.reshape(-1, *values.shape[2:])


def block_features(structures: Sequence[Atoms], kind: Kind) -> list[np.ndarray]:
    """Compute the features of all atoms, an (N, D_ν) array for each order."""
    parts: list[list[np.ndarray]] = []
    for start in range(0, len(structures), _BATCH):
        batch = structures[start : start + _BATCH]
        parts.append([describe(find_neighbours(batch, order), order, kind) for order in ORDERS])
    return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]


def norms_of(blocks: Sequence[np.ndarray]) -> list[float]:
    """Root mean square norm of the rows of each block."""
    return [float(np.sqrt(np.mean(np.sum(block**2, axis=1)))) for block in blocks]


def write_store(xyz: Path, output: Path, kind: Kind, norms: Sequence[float] | None) -> list[float]:
    """Write the features of a file of clusters, each block divided by a norm.

    Parameters
    ----------
    xyz, output : Path
    kind : {"self", "distinct"}
    norms : sequence of float, optional
        By default those of these very clusters.

    Returns
    -------
    norms : list of float
    """
    from ase.io import read

    blocks = block_features(read(xyz, ":"), kind)
    norms = norms_of(blocks) if norms is None else list(norms)
    scaled = [block / norm for block, norm in zip(blocks, norms, strict=True)]
    widths = [f"{o.name}:{block.shape[1]}" for o, block in zip(ORDERS, blocks, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        features = Path(folder) / "features.npy"
        np.save(features, np.concatenate(scaled, axis=1))
        prcli.import_features(
            prcli.ImportRequest(
                str(xyz),
                str(output),
                features=str(features),
                convention="per-atom",
                blocks=",".join(widths),
                columns=("binding_energy",),
                overwrite=True,
            )
        )
    return list(norms)


def main() -> None:
    """Write a store of each kind for each file of clusters."""
    parser = argparse.ArgumentParser(description="Features of body orders 2 to 5.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not (folder / "pentamers.xyz").is_file():
        parser.error(f"{folder} holds no clusters: run make_clusters.py first")
    others = sorted({path.stem for path in folder.glob("*.xyz")} - {"pentamers"})
    for kind in KINDS:
        (folder / kind).mkdir(exist_ok=True)
        norms = None
        # The first ones tell the norms of all.
        for name in ["pentamers", *others]:
            norms = write_store(folder / f"{name}.xyz", folder / kind / f"{name}.h5", kind, norms)


if __name__ == "__main__":
    main()
