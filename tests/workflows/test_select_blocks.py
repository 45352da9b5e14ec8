from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of, write_store

from prcli.data.dataset import Dataset, Part
from prcli.errors import RequestError
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.score import score
from prcli.workflows.select import SelectOptions, select
from prcli.workflows.select_run import SelectRequest, SelectRun

N_POOL, D = 9, 4
TRAIN = features_of(10, D, seed=1, **gradients_of(counts_of(10, 1), D))
TARGET = features_of(4, D, seed=2)
#: Some candidates have forces, some stresses, some both, some neither.
MIXED = gradients_of(counts_of(N_POOL, 3), D, forces=(0, 1, 4, 7), stresses=(1, 2, 7))
POOL = features_of(N_POOL, D, seed=3, **MIXED)
WEIGHTS = {"energy_weight": 4.0, "force_weight": 0.3, "stress_weight": 2.0}
VALUES = {
    "mean-pr": lambda pr: pr.mean(),
    "mean-log-pr": lambda pr: np.log(pr).mean(),
    "min-pr": lambda pr: pr.min(),
    "mean-variance": lambda pr: -(1.0 / pr).mean(),
}


def whole(table, name="pool"):
    return Dataset([Part(table, range(table.n_structures))], name)


def record(regularizer=0.01, **options):
    given = HessianOptions(regularizer=regularizer, **(WEIGHTS | options))
    return sum_hessian([whole(TRAIN, "train")], [], given)


def rigidities_after(indices, regularizer=0.01):
    """Rigidities of the targets with some of the pool in the training set, from scratch."""
    parts = [Part(TRAIN, range(10)), *(Part(POOL, range(i, i + 1)) for i in indices)]
    scale = record().scale
    options = HessianOptions(regularizer=regularizer, scale=scale, **WEIGHTS)
    both = sum_hessian([Dataset(parts, "train")], [], options)
    return score(both, whole(TARGET, "target")).rigidity


@pytest.mark.parametrize("regularizer", [1e-2, 1e-8])
@pytest.mark.parametrize("objective", VALUES)
def test_every_pick_is_the_best(objective, regularizer):
    options = SelectOptions(4, objective=objective)
    selection = select(record(regularizer), whole(POOL), whole(TARGET, "target"), options)
    chosen: list[int] = []
    for step in selection.picks:
        left = [i for i in range(N_POOL) if i not in chosen]
        values = {i: VALUES[objective](rigidities_after([*chosen, i], regularizer)) for i in left}
        best = max(values, key=values.__getitem__)
        assert step.index == best
        assert step.objective == pytest.approx(values[best], rel=1e-9)
        chosen.append(best)
    after = rigidities_after(chosen, regularizer)
    np.testing.assert_allclose(selection.target_pr_after, after, rtol=1e-9)


def test_log_det_adds_up_to_that_of_the_hessian():
    selection = select(record(), whole(POOL), None, SelectOptions(N_POOL, objective="log-det"))
    parts = [Part(TRAIN, range(10)), Part(POOL, range(N_POOL))]
    options = HessianOptions(regularizer=0.01, scale=record().scale, **WEIGHTS)
    both = sum_hessian([Dataset(parts, "train")], [], options)

    def log_det(of):
        matrix = 0.01 * np.eye(D)
        for kind, factor in of.R.items():
            matrix += WEIGHTS[f"{kind}_weight"] * factor.T @ factor / of.scale**2
        return np.linalg.slogdet(matrix)[1]

    assert selection.objective_after == pytest.approx(log_det(both) - log_det(record()), rel=1e-9)


def test_forces_without_weight_leave_candidates_single_rows():
    options = SelectOptions(4)
    alone = features_of(N_POOL, D, seed=3)
    weights = {"force_weight": 0.0, "stress_weight": 0.0}
    target = whole(TARGET, "target")
    with_forces = select(record(**weights), whole(POOL), target, options)
    without = select(record(**weights), whole(alone), target, options)
    assert with_forces.indices.tolist() == without.indices.tolist()
    np.testing.assert_array_equal(with_forces.target_pr_after, without.target_pr_after)


@pytest.mark.parametrize("strategy", ["random", "fps", "leverage"])
def test_baselines_add_all_rows_of_what_they_pick(strategy):
    options = SelectOptions(3, strategy=strategy)
    selection = select(record(), whole(POOL), whole(TARGET, "target"), options)
    after = rigidities_after(selection.indices.tolist())
    np.testing.assert_allclose(selection.target_pr_after, after, rtol=1e-9)
    assert selection.picks[-1].pr_mean == pytest.approx(after.mean(), rel=1e-9)


def request(tmp_path: Path, **parts) -> SelectRequest:
    """A request on stores, whose pool has structure files with weights in the comment lines."""
    gradients = {seed: gradients_of(counts_of(n, seed), D) for n, seed in ((10, 1), (9, 3))}
    train = write_store(tmp_path / "train.h5", 10, D, 1, gradients=gradients[1])
    target = write_store(tmp_path / "target.h5", 4, D, 2)
    pool = write_store(
        tmp_path / "pool.h5",
        9,
        D,
        3,
        gradients=gradients[3],
        columns={"weight": np.arange(9.0)},
    )
    given = {
        "options": SelectOptions(3),
        "train": (str(train),),
        "target": (str(target),),
        "pool": (str(pool),),
    }
    return SelectRequest(**(given | parts))


def test_weights_of_structures_count_for_candidates(tmp_path):
    asked = request(tmp_path)
    asked = replace(
        asked,
        options=SelectOptions(9),
        train=(),
        hessian=record(),
        hessian_options=HessianOptions(loss=LossOptions(weight_key="weight")),
    )
    with SelectRun(asked) as run:
        selection = run.run()
    # Structure 0 weighs nothing, and nobody gains less.
    assert selection.indices[-1] == 0
    assert selection.picks[-1].gain == 0.0


def test_keys_that_no_candidate_has_are_said_and_count_as_one(tmp_path, caplog):
    asked = replace(request(tmp_path), train=(), hessian=record())
    keyed = replace(asked, hessian_options=HessianOptions(loss=LossOptions(weight_key="nobody")))
    picks = []
    for each in (asked, keyed):
        with SelectRun(each) as run:
            picks.append(run.run().indices.tolist())
    assert picks[0] == picks[1]
    assert "no candidate" in caplog.text


def test_what_will_be_held_is_said_before(tmp_path, caplog):
    with caplog.at_level(logging.INFO), SelectRun(request(tmp_path)) as run:
        run.run()
    assert "products within candidates" in caplog.text


def test_blocks_that_do_not_fit_into_memory_are_refused(tmp_path):
    with pytest.raises(RequestError, match="does not fit into memory"):
        SelectRun(request(tmp_path, memory=1 << 20)).__enter__()


def test_rows_that_do_not_fit_each_other_are_spoken_of(caplog):
    select(record(), whole(POOL), whole(TARGET, "target"), SelectOptions(1))
    assert "5 of 9 candidates have no force rows" in caplog.text
    caplog.clear()
    plain = features_of(10, D, seed=1)
    energies = sum_hessian([whole(plain, "train")], [], HessianOptions(regularizer=0.01))
    select(energies, whole(POOL), whole(TARGET, "target"), SelectOptions(1))
    assert "force rows of the pool are not counted: the training set has none" in caplog.text
