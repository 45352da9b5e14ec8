from __future__ import annotations

import logging

import numpy as np
import pytest
from builders import atoms_for, counts_of, features_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.numerics.condition import Condition
from prcli.numerics.square_root import condition_number
from prcli.workflows import health
from prcli.workflows.health import HealthCheck, say_condition, say_held
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import full_factor, row_form, scales
from prcli.workflows.rows import EnergyRows
from prcli.workflows.score import score
from prcli.workflows.score_run import ScoreRequest, ScoreRun

D = 5


def whole(table, name="train"):
    return Dataset([Part(table, range(table.n_structures))], name)


def hessian(regularizer=1e-3, **options):
    return sum_hessian(
        [whole(features_of(3, D, 1))], [], HessianOptions(regularizer=regularizer, **options)
    )


def targets(n_structures=40):
    """Structures of which some lie where three training structures say nothing."""
    counts = counts_of(n_structures, 2)
    return Features(atoms=atoms_for(counts, D, 2), n_atoms=counts)


def held_of(record, table):
    """Which targets are held, with H written out."""
    g = EnergyRows(whole(table), row_form(record)).read_all() / scales(record)
    factor = record.R["energy"] / scales(record)
    inverse = np.linalg.inv(factor.T @ factor + record.regularizer * np.eye(D))
    held = record.regularizer * np.sum((g @ inverse) ** 2, axis=1)
    return held / np.einsum("ij,jk,ik->i", g, inverse, g) > 0.5


@pytest.mark.parametrize("regularizer", [1e-6, 1e-1, 10.0])
def test_scores_say_how_many_rows_the_regularizer_holds(regularizer):
    record, table = hessian(regularizer), targets()
    found = score(record, whole(table, "scored")).health
    assert found.n_rows == 40
    assert found.n_held == np.count_nonzero(held_of(record, table))
    assert found.share_held == found.n_held / 40
    expected = condition_number(full_factor(record) / scales(record))
    assert found.condition == Condition(expected, is_estimate=False)


@pytest.mark.parametrize("height", [1, 3, 5, 7, 40])
def test_of_many_rows_some_at_equal_distances_are_looked_at(monkeypatch, height):
    monkeypatch.setattr(health, "MOST_ROWS", 9)
    record, table = hessian(), targets()
    check = HealthCheck(record, full_factor(record), 40)
    rows = EnergyRows(whole(table), row_form(record)).read_all()
    for start in range(0, 40, height):
        check.look(rows[start : start + height])
    found = check.result()
    # Every fifth of forty.
    assert found.n_rows == 8
    assert found.n_held == np.count_nonzero(held_of(record, table)[::5])


def test_rows_of_zeros_do_not_count():
    check = HealthCheck(record := hessian(), full_factor(record), 3)
    check.look(np.array([np.zeros(D), np.ones(D), np.zeros(D)]))
    assert check.result().n_rows == 1


def test_rows_stay_as_they_are():
    check = HealthCheck(record := hessian(), full_factor(record), 2)
    given = np.arange(2.0 * D).reshape(2, D)
    check.look(given)
    np.testing.assert_array_equal(given, np.arange(2.0 * D).reshape(2, D))


def test_no_row_has_no_share():
    check = HealthCheck(record := hessian(), full_factor(record), 0)
    assert np.isnan(check.result().share_held)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition(1.0, is_estimate=False), "R 1: rounding leaves at least 16 digits"),
        (Condition(2e6, is_estimate=False), "R 2e+06: rounding leaves at least 9 digits"),
        (Condition(2e6, is_estimate=True), "R about 2e+06"),
        (Condition(1e19, is_estimate=False), "at least 0 digits"),
        (Condition(np.inf, is_estimate=False), "R inf: rounding leaves at least 0 digits"),
    ],
)
def test_condition_numbers_are_put_into_digits(caplog, condition, words):
    with caplog.at_level(logging.INFO):
        say_condition(condition)
    assert words in caplog.text


def test_shares_are_put_into_words(caplog):
    with caplog.at_level(logging.INFO):
        say_held(0, 0, "atoms")
        assert not caplog.text
        say_held(0, 7, "atoms")
        assert "training rows determine all 7 atoms" in caplog.text
        say_held(2, 8, "structures")
    assert "2 of 8 structures (25 %) are held in place by the regularizer" in caplog.text


def test_a_scoring_speaks_of_it(caplog):
    request = ScoreRequest(hessian(), (targets(),))
    with caplog.at_level(logging.INFO), ScoreRun(request) as run:
        run.run()
    assert "digits of a rigidity" in caplog.text
    assert "of 40 structures" in caplog.text
