from __future__ import annotations

import numpy as np
import pytest
from problems import decaying, factor_of

from prcli.numerics import regularizer_scan as module
from prcli.numerics.calibration import CRITERIA, Sample, best_alpha, cost
from prcli.numerics.regularizer_scan import regularizer_grid, scan_regularizer
from prcli.numerics.rigidity import inverse_rigidities
from prcli.numerics.spectrum import decompose
from prcli.numerics.square_root import with_prior

D = 20
LOW, HIGH = 1e-9, 1e3


class Case:
    """Residuals of a model of known α and ς², with rows that tell them apart."""

    def __init__(self, regularizer=1e-3, alpha=0.2, n_rows=4000, seed=0):
        g = np.random.default_rng(seed)
        self.data = factor_of(decaying(g, 60, D, decades=6))
        # Some rows as in training, some in directions that only the prior knows.
        known, unknown = decaying(g, n_rows, D, decades=6), g.normal(size=(n_rows, D))
        self.rows = np.where(g.random((n_rows, 1)) < 0.5, known, 0.1 * unknown)
        self.spectrum = decompose(self.data, np.ones(D), np.sqrt(LOW * HIGH))
        sigma = alpha * np.sqrt(self.fresh(regularizer))
        self.residuals = sigma * g.normal(size=n_rows)
        self.calls = []

    def fresh(self, regularizer):
        return inverse_rigidities(self.rows, with_prior(self.data, np.ones(D), regularizer))

    def variances(self, regularizers):
        self.calls.append(len(regularizers))
        return [self.spectrum.inverse_rigidities(self.rows, regularizers)]

    def cost(self, criterion, regularizer):
        one = [Sample(self.residuals, self.fresh(regularizer))]
        return cost(criterion, one, best_alpha(criterion, one))

    def scan(self, criterion="nll", low=LOW, high=HIGH, **options):
        grid = regularizer_grid(low, high)
        return scan_regularizer([self.residuals], self.variances, grid, criterion, **options)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_known_regularizer_and_alpha_are_recovered(criterion):
    case = Case(regularizer=1e-3, alpha=0.2)
    scan = case.scan(criterion)
    assert abs(np.log10(scan.best) + 3.0) < 0.2
    one = [Sample(case.residuals, case.fresh(scan.best))]
    assert best_alpha(criterion, one) == pytest.approx(0.2, rel=0.05)
    assert scan.edge is None


@pytest.mark.parametrize("criterion", CRITERIA)
def test_costs_are_those_of_fresh_factorizations(criterion):
    case = Case(n_rows=300)
    scan = case.scan(criterion)
    expected = [case.cost(criterion, regularizer) for regularizer in scan.regularizers]
    np.testing.assert_allclose(scan.costs, expected, rtol=1e-7, atol=1e-9)
    assert scan.best_cost == pytest.approx(case.cost(criterion, scan.best), abs=1e-9)


@pytest.mark.parametrize("criterion", ["nll", "crps"])
def test_refinement_finds_the_minimum(criterion):
    case = Case()
    scan = case.scan(criterion)
    fine = np.geomspace(scan.best / 3.0, scan.best * 3.0, 61)
    assert scan.best_cost <= min(case.cost(criterion, x) for x in fine) + 1e-9
    assert scan.best_cost < scan.costs.min()


def test_rows_are_asked_for_twice():
    case = Case(n_rows=50)
    case.scan()
    assert case.calls == [25, module._NODES]


def test_memory_bounds_how_much_is_asked_for(monkeypatch):
    case = Case(n_rows=50)
    whole = case.scan()
    case.calls.clear()
    monkeypatch.setattr(module, "_HELD_BYTES", 8 * 50 * 7)
    parts = case.scan()
    assert case.calls == [7, 7, 7, 4, module._NODES]
    np.testing.assert_allclose(parts.costs, whole.costs, rtol=1e-12)
    assert parts.best == pytest.approx(whole.best, rel=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "edge", "best"), [(1e-2, 1e2, "low", 1e-2), (1e-8, 1e-5, "high", 1e-5)]
)
def test_edge_is_reported(low, high, edge, best):
    scan = Case(regularizer=1e-3).scan(low=low, high=high)
    assert scan.edge == edge
    assert scan.best == pytest.approx(best)


def test_of_equal_costs_the_larger_regularizer_wins():
    # Rows of length 1 in one dimension: the variance does not depend on the row.
    spectrum = decompose(np.eye(1), np.ones(1), 1e-3)
    residuals = np.array([1.0, -2.0, 0.5])
    grid = regularizer_grid(1e-6, 1e-1)
    scan = scan_regularizer(
        [residuals],
        lambda regularizers: [spectrum.inverse_rigidities(np.ones((3, 1)), regularizers)],
        grid,
        "nll",
    )
    assert scan.best == grid[-1]
    assert scan.edge == "high"


def test_kinds_count_alike():
    one, other = Case(1e-5, seed=1), Case(1e-1, n_rows=500, seed=2)
    costs = [case.scan().costs for case in (one, other)]
    both = scan_regularizer(
        [one.residuals, other.residuals],
        lambda regularizers: one.variances(regularizers) + other.variances(regularizers),
        regularizer_grid(LOW, HIGH),
        "nll",
    )
    np.testing.assert_allclose(both.costs, np.mean(costs, axis=0), rtol=1e-12)


def test_joint_shares_one_alpha():
    one, other = Case(alpha=0.1, seed=1, n_rows=200), Case(alpha=0.4, seed=2, n_rows=100)

    def variances(regularizers):
        return one.variances(regularizers) + other.variances(regularizers)

    grid = regularizer_grid(LOW, HIGH)
    joint = scan_regularizer([one.residuals, other.residuals], variances, grid, "nll", joint=True)
    samples = [
        Sample(case.residuals, values[:, 3])
        for case, values in zip((one, other), variances(grid), strict=True)
    ]
    alpha = best_alpha("nll", samples)
    assert joint.costs[3] == pytest.approx(cost("nll", samples, alpha), rel=1e-12)
    apart = scan_regularizer([one.residuals, other.residuals], variances, grid, "nll")
    assert np.all(joint.costs > apart.costs)


def test_regularizers_where_the_criterion_is_undefined_are_passed_over():
    # Only at one end are the rows without residual a bin of their own.
    residuals = np.array([0.0, 0.0, 1.0, 2.0])

    def variances(regularizers):
        mixed = np.array([1.0, 3.0, 2.0, 4.0])
        apart = np.array([1.0, 2.0, 3.0, 4.0])
        return [np.column_stack([apart if x < 1e-3 else mixed for x in regularizers])]

    scan = scan_regularizer([residuals], variances, regularizer_grid(1e-4, 1.0), "ssl")
    assert np.isinf(scan.costs[:2]).all()
    assert np.isfinite(scan.costs[2:]).all()
    assert scan.best >= 1e-3


def test_criterion_that_is_nowhere_defined():
    case = Case(n_rows=100)
    case.residuals[:] = 0.0
    scan = case.scan("ssl")
    assert np.isnan(scan.best_cost)
    assert not np.isfinite(scan.costs).any()


@pytest.mark.parametrize(("low", "high", "n"), [(1e-6, 1e-1, 11), (1.0, 2.0, 2), (1e-3, 5e-3, 3)])
def test_grid_has_two_steps_a_decade_and_both_ends(low, high, n):
    grid = regularizer_grid(low, high)
    assert len(grid) == n
    assert (grid[0], grid[-1]) == pytest.approx((low, high), rel=1e-12)
    np.testing.assert_allclose(np.diff(np.log(grid)), np.log(high / low) / (n - 1), rtol=1e-9)
