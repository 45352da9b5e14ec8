"""What has to hold of prediction rigidities, whatever the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from problems import decaying, factor_of, low_rank, normal, spread_columns

from prcli.numerics.rigidity import inverse_rigidities, rigidities, squared_norms, whiten
from prcli.numerics.square_root import SquareRoot, condition_number, with_prior

RTOL = 1e-9
MODEST = settings(deadline=None, max_examples=60)


@dataclass(frozen=True)
class Case:
    rows: np.ndarray
    weights: np.ndarray
    targets: np.ndarray
    prior_root: np.ndarray
    regularizer: float

    @property
    def factor(self):
        return self.factor_of(self.rows, self.weights)

    def factor_of(self, rows, weights):
        factor = with_prior(factor_of(rows, weights), self.prior_root, self.regularizer)
        assume(condition_number(factor) <= 1e7)
        return factor


@st.composite
def cases(draw):
    g = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_columns = draw(st.integers(1, 9))
    n_rows = draw(st.integers(1, 25))
    make = draw(st.sampled_from([normal, decaying, low_rank, spread_columns]))
    prior = draw(st.sampled_from(["identity", "diagonal", "triangular"]))
    root = {
        "identity": np.ones(n_columns),
        "diagonal": g.uniform(0.1, 3.0, n_columns),
        "triangular": np.triu(g.normal(size=(n_columns, n_columns))) + 3.0 * np.eye(n_columns),
    }[prior]
    return Case(
        make(g, n_rows, n_columns),
        10.0 ** g.uniform(-3, 2, n_rows),
        make(g, 4, n_columns),
        root,
        10.0 ** draw(st.floats(-13, 0)),
    )


@MODEST
@given(cases(), st.floats(-6, 4))
def test_adding_a_row_raises_its_own_rigidity_by_its_weight(case, exponent):
    weight = 10.0**exponent
    for target in case.targets:
        before = rigidities(target[None], case.factor)[0]
        root = SquareRoot.from_factor(factor_of(case.rows, case.weights))
        root.add_rows(target[None], np.array([weight]))
        factor = with_prior(root.factor, case.prior_root, case.regularizer)
        assume(condition_number(factor) <= 1e7)
        after = rigidities(target[None], factor)[0]
        np.testing.assert_allclose(after, before + weight, rtol=RTOL)


@MODEST
@given(cases(), st.floats(-6, 4))
def test_adding_a_row_lowers_no_rigidity(case, exponent):
    before = rigidities(case.targets[1:], case.factor)
    rows = np.concatenate([case.rows, case.targets[:1]])
    weights = np.append(case.weights, 10.0**exponent)
    after = rigidities(case.targets[1:], case.factor_of(rows, weights))
    assert np.all(after >= before * (1.0 - RTOL))


@MODEST
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(case, random):
    order = list(range(len(case.rows)))
    random.shuffle(order)
    np.testing.assert_allclose(
        rigidities(case.targets, case.factor_of(case.rows[order], case.weights[order])),
        rigidities(case.targets, case.factor),
        rtol=RTOL,
    )


@MODEST
@given(cases(), st.lists(st.integers(0, 25), max_size=5))
def test_shards_do_not_matter(case, cuts):
    merged = SquareRoot(case.rows.shape[1])
    for part in np.split(np.arange(len(case.rows)), sorted(min(c, len(case.rows)) for c in cuts)):
        merged.merge(factor_of(case.rows[part], case.weights[part]))
    factor = with_prior(merged.factor, case.prior_root, case.regularizer)
    np.testing.assert_allclose(
        rigidities(case.targets, factor), rigidities(case.targets, case.factor), rtol=RTOL
    )


@MODEST
@given(cases())
def test_merging_in_any_tree_is_the_union(case):
    parts = [SquareRoot.from_factor(factor_of(part)) for part in np.array_split(case.rows, 4)]
    parts[0].merge(parts[1].factor)
    parts[3].merge(parts[2].factor)
    parts[3].merge(parts[0].factor)
    union = case.factor_of(case.rows, None)
    merged = with_prior(parts[3].factor, case.prior_root, case.regularizer)
    np.testing.assert_allclose(
        rigidities(case.targets, merged), rigidities(case.targets, union), rtol=RTOL
    )


@MODEST
@given(cases(), st.floats(-5, 5), st.sampled_from([-1.0, 1.0]))
def test_rigidity_of_a_multiple(case, exponent, sign):
    t = sign * 10.0**exponent
    np.testing.assert_allclose(
        rigidities(t * case.targets, case.factor),
        rigidities(case.targets, case.factor) / t**2,
        rtol=RTOL,
    )


@MODEST
@given(cases(), st.floats(-5, 5))
def test_units_of_features_do_not_matter(case, exponent):
    s = 10.0**exponent
    factor = with_prior(
        factor_of(s * case.rows, case.weights), case.prior_root, s**2 * case.regularizer
    )
    np.testing.assert_allclose(
        rigidities(s * case.targets, factor), rigidities(case.targets, case.factor), rtol=RTOL
    )


@MODEST
@given(cases())
def test_leverages_sum_to_the_effective_number_of_parameters(case):
    factor = case.factor
    leverages = case.weights * inverse_rigidities(case.rows, factor)
    F = np.diag(case.prior_root) if case.prior_root.ndim == 1 else case.prior_root
    shrunk = case.regularizer * squared_norms(whiten(F, factor)).sum()
    np.testing.assert_allclose(leverages.sum() + shrunk, case.rows.shape[1], rtol=RTOL)
    assert np.all(leverages >= 0.0)
    assert np.all(leverages <= 1.0 + RTOL)
