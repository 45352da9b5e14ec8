"""Condition numbers of large triangles."""

import numpy as np
import pytest
from scipy.linalg import svdvals

from prcli.numerics.condition import condition_of
from prcli.numerics.square_root import SquareRoot, condition_number, with_prior


def triangle(n_rows: int, n_columns: int, regularizer: float, decay: float = 0.0) -> np.ndarray:
    """Factor of random rows, of which some columns are smaller than others, and a prior."""
    rng = np.random.default_rng(n_rows)
    root = SquareRoot(n_columns)
    root.add_rows(rng.normal(size=(n_rows, n_columns)) * np.exp(-decay * np.arange(n_columns)))
    return with_prior(root.factor, np.ones(n_columns), regularizer)


@pytest.mark.parametrize(
    ("n_rows", "regularizer", "decay"),
    [(20, 1e-5, 0.0), (400, 1e-4, 0.0), (20, 1e-11, 0.0), (400, 1e-9, 0.05)],
)
def test_an_estimate_is_the_condition_number_to_two_digits(n_rows, regularizer, decay):
    factor = triangle(n_rows, 150, regularizer, decay)
    found = condition_of(factor, exact_up_to=0)
    assert found.is_estimate
    singular = svdvals(factor)
    assert found.number == pytest.approx(singular[0] / singular[-1], rel=2e-2)


def test_a_small_triangle_gets_the_exact_number():
    factor = triangle(20, 30, 1e-5)
    found = condition_of(factor)
    assert found.number == condition_number(factor)
    assert not found.is_estimate


def test_a_diagonal_of_two_values_is_settled_in_two_steps():
    factor = np.asfortranarray(np.diag(np.repeat([6.0, 0.5], 20)))
    assert condition_of(factor, exact_up_to=0).number == pytest.approx(12.0)


def test_a_triangle_with_a_zero_on_the_diagonal_has_an_infinite_condition_number():
    factor = np.asfortranarray(np.diag([3.0, 0.0, 1.0]))
    assert condition_of(factor, exact_up_to=0).number == np.inf


def test_estimates_repeat():
    factor = triangle(100, 150, 1e-6)
    assert condition_of(factor, exact_up_to=0) == condition_of(factor, exact_up_to=0)
