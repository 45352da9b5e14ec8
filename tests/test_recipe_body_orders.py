"""The recipe of body orders, reduced: figure 6 of Chong2025, and the sums that it rests on."""

from __future__ import annotations

import sys
from itertools import permutations, product
from math import prod
from pathlib import Path

import numpy as np
import pytest

import prcli

RECIPE = Path(__file__).resolve().parents[1] / "configs/recipes/body-orders"
NAMES = ("make_clusters", "body_features", "figure6")

pytest.importorskip("featomic")


@pytest.fixture(scope="module")
def recipe():
    """The modules of the recipe, by name."""
    from importlib import import_module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(RECIPE), *sys.path])
        yield {name: import_module(name) for name in NAMES}
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def clusters(recipe):
    return recipe["make_clusters"]


@pytest.fixture(scope="module")
def features(recipe):
    return recipe["body_features"]


@pytest.fixture(scope="module")
def figure6(recipe):
    return recipe["figure6"]


def silicon(positions):
    from ase import Atoms

    return Atoms(numbers=[14] * len(positions), positions=positions)


def random_silicon(clusters, n_atoms, n_clusters=3):
    return [silicon(each) for each in clusters.clusters_of(n_atoms, n_clusters, 0)]


def small_order(features, nu):
    """An order with few functions, all l of which occur."""
    return features.Order(nu, 1, 2)


def coupled(one, other, ell, coefficients):
    """Clebsch-Gordan product of (2 l1 + 1, K) and (2 l2 + 1, N), shape (2 l + 1, K N)."""
    l1, l2 = len(one) // 2, len(other) // 2
    block = coefficients.block({"l1": l1, "l2": l2, "lambda": ell}).values[0, ..., 0]
    joined = np.einsum("mnM,mp,nq->Mpq", (-1) ** (l1 + l2 + ell) * block, one, other)
    return joined.reshape(len(joined), -1)


def tuple_products(values, key, nu, coefficients):
    """One product of the contributions of ν neighbours, coupled as featomic's key says."""
    state = values[0][key["l_1"]]
    for step in range(2, nu + 1):
        ell = 0 if step == nu else key[f"k_{step}"]
        state = coupled(state, values[step - 1][key[f"l_{step}"]], ell, coefficients)
    return state[0]


def brute_force(features, structure, order, is_counted):
    """Add up products over tuples of neighbours for which `is_counted`, then rotate."""
    from featomic.clebsch_gordan import calculate_cg_coefficients

    neighbours = features.find_neighbours([structure], order)
    coefficients = calculate_cg_coefficients(2 * order.max_angular, "python-dense", "numpy",
                                             np.float64, "cpu")  # fmt: skip
    any_density = [values[:1] for values in neighbours.values]
    keys = features.invariants(any_density, order.nu).keys
    rows = []
    for atom in range(len(structure)):
        pairs = np.flatnonzero(neighbours.centre == atom)
        tuples = [t for t in product(pairs, repeat=order.nu) if is_counted(t)]
        columns = []
        for key in keys:
            n_products = (order.max_radial + 1) ** order.nu
            total = np.zeros(n_products)
            for each in tuples:
                chosen = [[values[pair] for values in neighbours.values] for pair in each]
                total += tuple_products(chosen, key, order.nu, coefficients)
            columns.append(total)
        rows.append(np.concatenate(columns))
    return np.array(rows) @ features.directions(order)


@pytest.mark.parametrize(("nu", "n_atoms"), [(2, 5), (3, 5), (4, 5)])
def test_distinct_sums_are_those_over_distinct_tuples(clusters, features, nu, n_atoms):
    order = features.Order(nu, 1, 2 if nu < 4 else 1)
    (structure,) = random_silicon(clusters, n_atoms, 1)
    neighbours = features.find_neighbours([structure], order)
    found = features.describe(neighbours, order, "distinct")
    expected = brute_force(features, structure, order, lambda pairs: len(set(pairs)) == nu)
    scale = np.abs(features.describe(neighbours, order, "self")).max()
    assert np.abs(found).max() > 1e-3 * scale
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-13 * scale)


@pytest.mark.parametrize("nu", [2, 3])
def test_sums_with_self_interaction_are_those_over_all_tuples(clusters, features, nu):
    order = small_order(features, nu)
    (structure,) = random_silicon(clusters, 4, 1)
    found = features.describe(features.find_neighbours([structure], order), order, "self")
    expected = brute_force(features, structure, order, lambda pairs: True)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-13 * np.abs(found).max())


@pytest.mark.parametrize("n_neighbours", [2, 3, 4, 6])
@pytest.mark.parametrize("nu", [1, 2, 3, 4])
def test_weights_of_subsets_count_distinct_tuples_once(features, n_neighbours, nu):
    """With numbers in place of functions: the sum of products over all permutations."""
    numbers = np.random.default_rng(nu).normal(size=n_neighbours)
    weights = features.subset_weights(n_neighbours, nu)
    found = sum(w * numbers[list(subset)].sum() ** nu for subset, w in weights.items())
    expected = sum(map(prod, permutations(numbers, nu)))
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert bool(weights) == (n_neighbours >= nu)


def test_order_two_is_all_pairs_minus_the_squares_of_each(clusters, features):
    order = small_order(features, 2)
    neighbours = features.find_neighbours(random_silicon(clusters, 5), order)
    both = {kind: features.describe(neighbours, order, kind) for kind in features.KINDS}
    squares = np.zeros_like(both["self"])
    products = features.correlate(neighbours.values, 2) @ features.directions(order)
    np.add.at(squares, neighbours.centre, products)
    np.testing.assert_allclose(
        both["distinct"], both["self"] - squares, rtol=0.0, atol=1e-13 * np.abs(squares).max()
    )


@pytest.mark.parametrize("n_atoms", [1, 2, 3, 4, 5])
def test_blocks_vanish_for_clusters_that_are_too_small(clusters, features, n_atoms):
    structures = random_silicon(clusters, n_atoms)
    distinct, all_tuples = (features.block_features(structures, kind) for kind in
                            ("distinct", "self"))  # fmt: skip
    assert len(distinct) == len(features.ORDERS) == 4
    for order, rows, others in zip(features.ORDERS, distinct, all_tuples, strict=True):
        if order.nu >= n_atoms:
            assert not rows.any()
        else:
            assert np.linalg.norm(rows, axis=1).min() > 0.0
        assert others.any() == (n_atoms > 1)
    np.testing.assert_array_equal(distinct[0], all_tuples[0])


@pytest.mark.parametrize("kind", ["self", "distinct"])
def test_features_do_not_see_rotations_or_the_order_of_atoms(clusters, features, kind):
    from scipy.spatial.transform import Rotation

    (structure,) = random_silicon(clusters, 5, 1)
    order = np.random.default_rng(2).permutation(5)
    turned = structure.positions @ Rotation.random(rng=3).as_matrix().T
    for one, other in zip(
        features.block_features([structure], kind),
        features.block_features([silicon(turned[order])], kind),
        strict=True,
    ):
        np.testing.assert_allclose(other, one[order], rtol=0.0, atol=1e-11 * np.abs(one).max())


def test_clusters_described_together_or_alone_are_the_same(clusters, features):
    structures = [*random_silicon(clusters, 3), *random_silicon(clusters, 5), silicon([[0, 0, 0]])]
    together = features.block_features(structures, "distinct")
    alone = [features.block_features([each], "distinct") for each in structures]
    for nu, block in enumerate(together):
        parts = np.concatenate([blocks[nu] for blocks in alone])
        np.testing.assert_allclose(block, parts, rtol=0.0, atol=1e-12 * np.abs(block).max())


@pytest.mark.parametrize("nu", [2, 3, 4])
def test_rotation_onto_fewer_columns_keeps_products_of_rows(clusters, features, nu):
    order = features.ORDERS[nu - 1]
    neighbours = features.find_neighbours(random_silicon(clusters, 5, 4), order)
    densities = [np.zeros((20, *values.shape[1:])) for values in neighbours.values]
    for density, values in zip(densities, neighbours.values, strict=True):
        np.add.at(density, neighbours.centre, values)
    products = features.correlate(densities, nu)
    rotated = features.describe(neighbours, order, "self")
    assert rotated.shape[1] < products.shape[1]
    gram = products @ products.T
    np.testing.assert_allclose(rotated @ rotated.T, gram, rtol=0.0, atol=1e-12 * gram.max())


def test_clusters_have_seeds_of_their_own_and_the_distances_asked_for(clusters):
    made = clusters.clusters_of(5, 20, 0)
    for one, other in zip(made[5:], clusters.clusters_of(5, 15, 5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({each.tobytes() for each in made}) == 20
    for positions in made:
        delta = positions[:, None] - positions
        distances = np.linalg.norm(delta, axis=-1)[np.triu_indices(5, 1)]
        assert distances.min() >= clusters.CLOSEST
        assert distances.max() <= clusters.FARTHEST
    numbers = [range(first, first + n) for size, n, first in clusters.SETS.values() if size == 5]
    assert not set(numbers[0]) & set(numbers[1])


def test_the_curve_of_the_dimer_is_smooth_and_ends_at_zero(clusters):
    pytest.importorskip("tblite")
    distances = np.linspace(2.0, 6.0, 41)
    atom = clusters.energy(np.zeros((1, 3)))
    curve = np.array([clusters.energy(clusters.dimer(d)) for d in [*distances, 20.0]]) - 2 * atom
    assert abs(curve[-1]) < 1e-3
    assert 2.0 < -curve.min() < 3.0
    # At 300 K it is 0.9 eV, where two states cross.
    assert np.abs(np.diff(curve[:-1], 2))[10:].max() < 0.05


def write_clusters(folder, clusters, features, seed):
    """The files of the recipe, smaller, and their stores."""
    sizes = {"pentamers": 260, "tetramers": 40, "trimers": 40, "dimers": 30, "test": 40}
    for name, (n_atoms, _, first) in clusters.SETS.items():
        made = clusters.clusters_of(n_atoms, sizes[name], first, seed)
        (folder / f"{name}.xyz").write_text(clusters.frames(made))
    curve = [clusters.dimer(distance) for distance in clusters.CURVE[::3]]
    (folder / "curve.xyz").write_text(clusters.frames(curve))
    for kind in features.KINDS:
        (folder / kind).mkdir()
        norms = None
        for name in ("pentamers", "tetramers", "trimers", "dimers", "test", "curve"):
            path = folder / f"{name}.xyz"
            norms = features.write_store(path, folder / kind / f"{name}.h5", kind, norms)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clusters, features):
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("clusters")
    write_clusters(folder, clusters, features, clusters.SEED)
    return folder


@pytest.fixture(scope="module")
def found(folder, figure6):
    return {kind: figure6.learn(folder / kind) for kind in figure6.KINDS}


def test_blocks_are_told_apart_by_smaller_clusters_only_without_self_interaction(found):
    def cpr(kind):
        return np.array([list(stage.cpr.values()) for stage in found[kind].stages])

    mixed, distinct = cpr("self"), cpr("distinct")
    assert distinct.shape == (4, 4)
    # Pentamers alone tell nothing apart.
    assert max(mixed[0].max(), distinct[0].max()) < 1e-5
    # Dimers isolate ν = 1, trimers ν = 2, tetramers ν = 3.
    for nu in (1, 2, 3):
        assert distinct[nu, nu - 1] > 100.0 * distinct[nu - 1, nu - 1]
        assert distinct[nu, nu - 1] > 1e-3
    assert distinct[1, 1:].max() < 1e-4
    assert distinct[2, 2:].max() < 1e-3
    assert distinct[3].min() > 1e-3
    assert mixed.max() < 1e-2 * distinct[3].min()


def test_the_first_block_is_the_curve_of_the_dimer_only_without_self_interaction(
    found, folder, figure6
):
    distances, energies = figure6.curve_of(folder)
    assert distances[0] == pytest.approx(1.9)
    for place, (mixed, distinct) in enumerate(
        zip(found["self"].stages, found["distinct"].stages, strict=True)
    ):
        deviations = [
            figure6.deviation(curve, energies)
            for curve in (mixed.curve, distinct.curve, distinct.curve_nu1)
        ]
        assert figure6.deviation(mixed.curve_nu1, energies) > 0.3
        if place:
            assert max(deviations) < 0.03
        else:
            assert min(deviations) > 0.5


def test_fits_are_ridge_regressions_with_the_hessian_of_the_scores(folder, figure6):
    """By numpy's least squares on all rows at once."""
    arguments = figure6.training_sets(folder / "distinct")["+ trimers"]
    names = ("pentamers", "dimers", "trimers")
    parts = [figure6.rows_of(folder / "distinct" / f"{name}.h5") for name in names]
    parts[0] = tuple(values[:190] for values in parts[0])
    rows, energies = (np.concatenate(each) for each in zip(*parts, strict=True))
    n = rows.shape[1]
    weights = figure6.fit(arguments, 1e-4)
    expected, *_ = np.linalg.lstsq(
        np.vstack([rows, 1e-2 * np.eye(n)]), np.concatenate([energies, np.zeros(n)])
    )
    np.testing.assert_allclose(weights, expected, rtol=0.0, atol=1e-8 * np.abs(expected).max())
    record = prcli.hessian(arguments, energy="total", scale="none", regularizer=1e-4)
    factor = record.R["energy"]
    np.testing.assert_allclose(factor.T @ factor, rows.T @ rows, rtol=0.0, atol=1e-9)


def test_training_sets_are_of_one_size(folder, figure6):
    sets = figure6.training_sets(folder / "self")
    assert list(sets) == ["pentamers", "+ dimers", "+ trimers", "+ tetramers"]
    sizes = {prcli.hessian(arguments).n_structures for arguments in sets.values()}
    assert sizes == {260}


def test_table_and_picture_hold_all_training_sets(found, folder, figure6, tmp_path):
    pytest.importorskip("matplotlib")
    distances, energies = figure6.curve_of(folder)
    lines = figure6.table(found, energies).splitlines()
    assert lines[0].split("\t")[2:] == ["nu1", "nu2", "nu3", "nu4", "dimer", "dimer nu1", "test"]
    assert [line.split("\t")[1] for line in lines[1:]] == 2 * list(
        figure6.training_sets(folder / "self")
    )
    figure6.plot(found, distances, energies, tmp_path / "figure6.png")
    assert (tmp_path / "figure6.png").stat().st_size > 10_000
