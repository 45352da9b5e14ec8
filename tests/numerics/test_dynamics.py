from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.numerics.dynamics import learning_dynamics


def models(n_models: int, n_rows: int, seed: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).lognormal(size=(n_models, n_rows)))


@given(
    n_models=st.integers(1, 4),
    n_rows=st.integers(1, 9),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_differences_are_those_of_a_loop(n_models, n_rows, seed, data):
    rigidities = models(n_models, n_rows, seed)
    reference = data.draw(st.integers(0, n_models - 1))
    found = learning_dynamics(rigidities, reference)
    best = max(range(n_rows), key=lambda j: rigidities[reference][j])
    for m, own in enumerate(rigidities):
        total = 0.0
        for j in range(n_rows):
            x = own[j] / own[best]
            x_ref = rigidities[reference][j] / rigidities[reference][best]
            total += abs(x - x_ref) / x_ref
        np.testing.assert_allclose(found.differences[m], total / n_rows, rtol=1e-12, atol=1e-15)


def test_curves_are_in_the_order_of_the_reference():
    found = learning_dynamics([np.array([4.0, 2.0, 8.0]), np.array([3.0, 6.0, 1.0])], 1)
    assert found.order.tolist() == [2, 0, 1]
    assert found.highest == 1
    assert found.curve(1).tolist() == [1.0 / 6.0, 0.5, 1.0]
    assert found.curve(0).tolist() == [4.0, 2.0, 1.0]


def test_scales_of_the_models_do_not_matter():
    first, second = models(2, 20, 0)
    found = learning_dynamics([first, 1e3 * first, second], 0).differences
    assert found[0] == 0.0
    assert found[1] < 1e-14
    assert found[2] > 0.1


def test_what_is_infinite_under_any_model_is_left_out():
    first, second = models(2, 6, 1)
    kept = learning_dynamics([first[:4], second[:4]], 0)
    first[4], second[5] = np.inf, np.inf
    found = learning_dynamics([first, second], 0)
    assert found.n_left_out == 2
    np.testing.assert_array_equal(found.differences, kept.differences)
    np.testing.assert_array_equal(found.curve(1), kept.curve(1))


def test_nothing_finite_is_refused():
    with pytest.raises(ValueError, match="no environment"):
        learning_dynamics([np.array([np.inf, 1.0]), np.array([1.0, np.inf])], 0)
