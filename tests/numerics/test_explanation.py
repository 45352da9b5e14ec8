from __future__ import annotations

import numpy as np
import pytest

from prcli.numerics.explanation import HelpWatch, explain_picks
from prcli.numerics.nearest import NearestRows
from prcli.numerics.posterior import Posterior


def rigidities(rows, targets, regularizer=1e-3):
    R = np.linalg.qr(np.concatenate([rows, np.sqrt(regularizer) * np.eye(rows.shape[1])]), "r")
    return 1 / np.sum(np.linalg.solve(R.T, targets.T) ** 2, axis=0)


@pytest.mark.parametrize("heights", [[1] * 6, [1, 3, 0, 7, 2, 1]])
def test_helped_targets_are_those_of_fresh_factorizations(heights):
    g = np.random.default_rng(1)
    train, targets = g.normal(size=(8, 4)), g.normal(size=(9, 4))
    blocks = [g.normal(size=(height, 4)) for height in heights]
    posterior = Posterior(np.linalg.qr(train, "r"), np.ones(4), 1e-3)
    helped = explain_picks(posterior, targets, enumerate(blocks))
    assert helped.target.shape == (6, 3)
    rows = train
    for i, block in enumerate(blocks):
        before = rigidities(rows, targets)
        rows = np.concatenate([rows, block])
        after = rigidities(rows, targets)
        share = 1 - before / after
        if not len(block):
            assert helped.target[i].tolist() == [-1, -1, -1]
            continue
        top = np.argsort(-share)[:3]
        assert helped.target[i].tolist() == top.tolist()
        np.testing.assert_allclose(helped.share[i], share[top], rtol=1e-8)
        np.testing.assert_allclose(helped.pr_before[i], before[top], rtol=1e-9)
        np.testing.assert_allclose(helped.pr_after[i], after[top], rtol=1e-9)


def test_fewer_targets_than_places_are_all_named():
    watch = HelpWatch()
    watch.begin(np.array([1.0, 4.0]))
    watch.note(5, np.array([0.9, 1.0]))
    helped = watch.helped()
    assert watch.indices == [5]
    assert helped.target.tolist() == [[1, 0]]
    np.testing.assert_allclose(helped.share, [[0.75, 0.1]])


def test_a_watch_that_saw_nothing_gives_an_empty_table():
    watch = HelpWatch()
    watch.begin(np.ones(5))
    assert watch.helped().target.shape == (0, 3)


def test_nearest_rows_are_those_of_all_distances():
    g = np.random.default_rng(2)
    rows, others = g.normal(size=(7, 5)) + 50, g.normal(size=(40, 5)) + 50
    search = NearestRows(rows)
    for start in range(0, 40, 9):
        search.show(start, others[start : start + 9])
    distances = np.linalg.norm(rows[:, np.newaxis] - others, axis=2)
    np.testing.assert_array_equal(search.index, distances.argmin(axis=1))
    np.testing.assert_allclose(search.distance, distances.min(axis=1), rtol=1e-12)


def test_of_equal_rows_the_first_is_nearest_and_its_distance_is_exact():
    rows = np.full((1, 3), 1e4)
    search = NearestRows(np.concatenate([rows, rows + 1]))
    search.show(0, rows + [1e-6, 0, 0])
    search.show(1, np.concatenate([rows, rows]))
    search.show(3, rows)
    assert search.index[0] == 1
    assert search.distance[0] == 0.0
