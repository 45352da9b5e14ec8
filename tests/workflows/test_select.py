from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
from builders import features_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.numerics import posterior
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.square_root import condition_number, with_prior
from prcli.records import Block
from prcli.workflows import rows
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import full_factor, row_form
from prcli.workflows.rows import EnergyRows
from prcli.workflows.score import score
from prcli.workflows.select import SelectOptions, select
from prcli.workflows.select_run import SelectRequest, SelectRun
from prcli.workflows.selection import Selection


def whole(table: object, name: str = "pool") -> Dataset:
    return Dataset([Part(table, range(table.n_structures))], name)  # type: ignore[arg-type, attr-defined]


TRAIN, TARGET, POOL = (features_of(n, seed=seed) for n, seed in ((10, 1), (4, 2), (9, 3)))
OPTIONS = HessianOptions(regularizer=0.01)
RECORD = sum_hessian([whole(TRAIN, "train")], [], OPTIONS)


def pick(n: int = 3, *, target: Features | None = TARGET, **options: object) -> Selection:
    given = {name: options.pop(name) for name in ("allowed", "target_weight") if name in options}
    goal = None if target is None else whole(target, "target")
    return select(RECORD, whole(POOL), goal, SelectOptions(n, **options), **given)  # type: ignore[arg-type]


def rigidities_after(indices: list[int]) -> np.ndarray:
    """Rigidities of the targets with some of the pool in the training set, from scratch."""
    parts = [Part(TRAIN, range(10)), *(Part(POOL, range(i, i + 1)) for i in indices)]
    options = HessianOptions(regularizer=0.01, scale=RECORD.scale)
    both = sum_hessian([Dataset(parts, "train")], [], options)
    return score(both, whole(TARGET, "target")).rigidity


@pytest.mark.parametrize("objective", ["mean-pr", "mean-log-pr", "min-pr", "mean-variance"])
def test_every_pick_is_the_best(objective):
    selection = pick(4, objective=objective)
    value = {
        "mean-pr": lambda pr: pr.mean(),
        "mean-log-pr": lambda pr: np.log(pr).mean(),
        "min-pr": lambda pr: pr.min(),
        "mean-variance": lambda pr: -(1 / pr).mean(),
    }[objective]
    chosen: list[int] = []
    assert selection.objective_before == pytest.approx(value(rigidities_after([])), rel=1e-9)
    for step in selection.picks:
        left = [i for i in range(9) if i not in chosen]
        values = {i: value(rigidities_after([*chosen, i])) for i in left}
        best = max(values, key=values.__getitem__)
        assert step.index == best
        assert step.objective == pytest.approx(values[best], rel=1e-9)
        chosen.append(best)
    np.testing.assert_allclose(selection.target_pr_after, rigidities_after(chosen), rtol=1e-9)
    np.testing.assert_allclose(selection.target_pr_before, rigidities_after([]), rtol=1e-9)


def test_log_det_is_that_of_the_hessian():
    selection = pick(3, target=None, objective="log-det")
    form = row_form(RECORD)
    g = EnergyRows(whole(POOL), form).read_all() / RECORD.scale
    factor = RECORD.R["energy"] / RECORD.scale
    matrix = factor.T @ factor + RECORD.regularizer * np.eye(3)
    gains: list[float] = []
    taken: list[int] = []
    for step in selection.picks:
        before = np.linalg.slogdet(matrix)[1]
        here = np.array([np.linalg.slogdet(matrix + np.outer(r, r))[1] - before for r in g])
        gains.append(here[step.index])
        here[taken] = -np.inf
        assert step.index == int(np.argmax(here))
        matrix = matrix + np.outer(g[step.index], g[step.index])
        taken.append(step.index)
    np.testing.assert_allclose([step.gain for step in selection.picks], gains, rtol=1e-6)
    assert selection.target_pr_before.size == 0


@pytest.mark.parametrize("strategy", ["random", "fps", "leverage"])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_baselines_report_the_same_numbers(strategy, objective):
    selection = pick(4, strategy=strategy, objective=objective)
    indices = selection.indices.tolist()
    assert len(set(indices)) == 4
    np.testing.assert_allclose(selection.target_pr_after, rigidities_after(indices), rtol=1e-9)
    for n, step in enumerate(selection.picks, start=1):
        after = rigidities_after(indices[:n])
        assert step.pr_mean == pytest.approx(after.mean(), rel=1e-9)
        assert step.pr_min == pytest.approx(after.min(), rel=1e-9)
        assert step.pr_max == pytest.approx(after.max(), rel=1e-9)


def test_farthest_point_begins_far_from_nothing_twice():
    selection = pick(9, strategy="fps")
    assert sorted(selection.indices.tolist()) == list(range(9))


@pytest.mark.parametrize("strategy", ["pr", "random", "fps", "leverage"])
def test_only_what_is_allowed(strategy):
    allowed = np.zeros(9, dtype=bool)
    allowed[[1, 4, 6]] = True
    selection = pick(3, strategy=strategy, allowed=allowed)
    assert set(selection.indices.tolist()) == {1, 4, 6}
    assert selection.n_candidates == 3
    with pytest.raises(RequestError, match="fewer candidates") as caught:
        pick(4, strategy=strategy, allowed=allowed)
    assert "3 candidates of 9" in str(caught.value)


def test_training_structures_in_the_pool(caplog):
    pool = Dataset([Part(POOL, range(9)), Part(TRAIN, range(2))], "pool")
    with caplog.at_level(logging.WARNING):
        selection = select(RECORD, pool, whole(TARGET), SelectOptions(1))
    assert "2 of the pool's structures are in the training set" in caplog.text
    assert (selection.n_in_training, selection.n_candidates) == (2, 11)
    selection = select(RECORD, pool, whole(TARGET), SelectOptions(9, exclude_train=True))
    assert set(selection.indices.tolist()) == set(range(9))
    assert (selection.n_in_training, selection.n_candidates) == (2, 9)


def test_weights_are_relative():
    weights = np.array([1.0, 2.0, 0.5, 4.0])
    one, ten = (pick(3, target_weight=w) for w in (weights, 10 * weights))
    np.testing.assert_array_equal(one.indices, ten.indices)
    expected = np.average(rigidities_after(one.indices.tolist()), weights=weights)
    assert one.picks[-1].objective == pytest.approx(expected, rel=1e-9)
    assert ten.picks[-1].objective == pytest.approx(expected, rel=1e-9)


def test_target_without_weight_is_listed_and_does_not_count():
    selection = pick(2, target_weight=np.array([0.0, 1.0, 0.0, 0.0]))
    assert selection.target_pr_after.shape == (4,)
    after = rigidities_after(selection.indices.tolist())
    np.testing.assert_allclose(selection.target_pr_after, after, rtol=1e-9)
    assert selection.picks[-1].pr_min == pytest.approx(after[1], rel=1e-9)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weight_that_is_not_valid(bad):
    with pytest.raises(RequestError, match="target weight is not valid") as caught:
        pick(1, target_weight=np.array([1.0, 1.0, bad, 1.0]))
    assert "structure 2" in str(caught.value)


def test_no_target_counts():
    with pytest.raises(RequestError, match="no target counts"):
        pick(1, target_weight=np.zeros(4))
    with pytest.raises(RequestError, match="no target counts"):
        pick(1, target=Features(np.zeros((2, 3))))


def test_target_of_zeros_is_left_out(caplog):
    target = Features(np.array([[0.0, 0, 0], [1, 2, 3]]))
    with caplog.at_level(logging.WARNING):
        selection = pick(2, target=target)
    assert "1 targets are rows of zeros" in caplog.text
    assert selection.target_pr_after[0] == np.inf
    assert selection.n_infinite == 1
    assert selection.picks[0].pr_max == pytest.approx(selection.picks[0].pr_min)
    assert np.isfinite(selection.picks[-1].objective)


def test_targets_per_atom():
    selection = pick(3, target_per="atom")
    expected = score(RECORD, whole(TARGET), "atom")
    np.testing.assert_allclose(selection.target_pr_before, expected.rigidity, rtol=1e-9)
    np.testing.assert_array_equal(selection.target_structure, expected.structure)
    np.testing.assert_array_equal(selection.target_atom, expected.atom)
    with pytest.raises(FeatureError, match="targets per atom"):
        pick(1, target=Features(np.ones((2, 3))), target_per="atom")


def test_stop_gain_and_stop_pr():
    everything = pick(9)
    gains = np.array([step.gain for step in everything.picks])
    some = pick(9, stop_gain=0.9 * gains[3] / gains[0])
    assert some.stopped == "stop_gain"
    assert 4 <= len(some.picks) < 9
    np.testing.assert_allclose([step.gain for step in some.picks], gains[: len(some.picks)])
    limit = everything.picks[2].pr_min * (1 - 1e-9)
    some = pick(9, stop_pr=limit)
    assert some.stopped == "stop_pr"
    assert some.picks[-1].pr_min > limit
    assert all(step.pr_min <= limit for step in some.picks[:-1])
    assert everything.stopped == "n_to_select"


@pytest.mark.parametrize("objective", ["mean-pr", "mean-log-pr", "min-pr", "mean-variance"])
def test_objectives_need_targets(objective):
    with pytest.raises(RequestError, match="needs targets"):
        pick(1, target=None, objective=objective)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_to_select": 0}, "at least 1"),
        ({"n_to_select": 1, "objective": "best"}, "mean-log-pr"),
        ({"n_to_select": 1, "strategy": "luck"}, "leverage"),
        ({"n_to_select": 1, "target_per": "cell"}, "atom"),
        ({"n_to_select": 1, "stop_gain": -0.1}, "stop-gain"),
        ({"n_to_select": 1, "stop_pr": float("nan")}, "stop-pr"),
    ],
)
def test_options_out_of_range(options, text):
    with pytest.raises(RequestError, match=text):
        SelectOptions(**options)


@pytest.mark.parametrize("which", ["pool", "target"])
def test_sets_must_fit_the_hessian(which):
    for table in (features_of(4, 5), features_of(4, blocks=(Block("a", 3),))):
        pool, target = (table, TARGET) if which == "pool" else (POOL, table)
        with pytest.raises(MismatchError, match=f"the {which} set does not fit"):
            select(RECORD, whole(pool), whole(target, "target"), SelectOptions(1))


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_size_of_the_blocks_and_order_of_the_parts(monkeypatch, objective):
    expected = pick(5, objective=objective)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 8)
    found = pick(5, objective=objective)
    np.testing.assert_array_equal(found.indices, expected.indices)
    parts = [Part(POOL, range(4, 9)), Part(POOL, range(3, -1, -1))]
    pool = Dataset(parts, "pool")
    order = list(itertools.chain(*(part.positions for part in parts)))
    selection = select(RECORD, pool, whole(TARGET), SelectOptions(5, objective))
    assert [order[i] for i in selection.indices] == expected.indices.tolist()


def test_identical_candidates_are_taken_in_the_order_of_the_pool():
    row = np.array([[1.0, 2.0, -1.0]])
    pool = Features(np.repeat(row, 4, axis=0))
    selection = select(RECORD, whole(pool), whole(TARGET), SelectOptions(4))
    assert selection.indices.tolist() == [0, 1, 2, 3]
    assert selection.picks[0].margin == pytest.approx(0.0, abs=1e-12)


def test_run_checks_before_it_sums(monkeypatch, tmp_path):
    import prcli.workflows.select_run as module

    # The quick start leaves a folder `out` where the tests are run.
    monkeypatch.chdir(tmp_path)

    def sum_nothing(*arguments):
        raise AssertionError("long work has begun")

    monkeypatch.setattr(module, "sum_hessian", sum_nothing)
    sets = {"train": (TRAIN,), "target": (TARGET,), "pool": (POOL,)}
    faults = [
        ({"pool": (features_of(4, 5),)}, {}, MismatchError),
        ({"target": (features_of(4, 5),)}, {}, MismatchError),
        ({"target": (features_of(4, blocks=(Block("a", 3),)),)}, {}, MismatchError),
        ({"target": ()}, {}, RequestError),
        ({}, {"n_to_select": 10}, RequestError),
        ({"target": (np.ones((2, 3)),)}, {"target_per": "atom"}, FeatureError),
        ({"where": "n_atoms > 99"}, {}, RequestError),
        ({"output": "absent/out"}, {}, OSError),
        ({"output": "out"}, {}, RequestError),
        ({"memory": 10}, {}, RequestError),
    ]
    for changes, options, kind in faults:
        request = SelectRequest(
            options=SelectOptions(**{"n_to_select": 1} | options), **sets | changes
        )
        with pytest.raises(kind), SelectRun(request) as run:
            run.run()


def test_frames_must_have_been_asked_for():
    request = SelectRequest(SelectOptions(1), (POOL,), (TARGET,), (TRAIN,))
    with SelectRun(request) as run:
        run.run()
        with pytest.raises(ValueError, match="did not ask for frames"):
            run.frames()
        with pytest.raises(ValueError, match="did not ask for frames"):
            run.write("out")


def test_targets_that_only_the_regularizer_holds_are_counted(caplog):
    lone = np.eye(5)[4:]
    train = np.column_stack([np.random.default_rng(1).normal(size=(9, 4)), np.zeros(9)])
    record = sum_hessian([whole(Features(train), "train")], [], HessianOptions(regularizer=1e-3))
    pool = whole(Features(np.eye(5)[3:]))
    with caplog.at_level(logging.INFO):
        selection = select(record, pool, whole(Features(lone), "target"), SelectOptions(1))
    assert selection.indices.tolist() == [1]
    assert selection.target_prior_share_before == pytest.approx([1.0], rel=1e-12)
    assert selection.target_prior_share_after[0] < 0.01
    assert "of 1 target, 1 was held in place by the regularizer" in caplog.text


@pytest.mark.parametrize("n", [1, 3])
def test_a_selection_takes_one_factorization_before_and_one_after(monkeypatch, n):
    made: list[int] = []

    def counted(*given):
        made.append(1)
        return with_prior(*given)

    monkeypatch.setattr(posterior, "with_prior", counted)
    pick(n, target_weight=np.array([1.0, 0.0, 2.0, 1.0]))
    assert len(made) == 2


def test_condition_is_that_of_the_hessian_before_the_picks():
    expected = condition_number(full_factor(RECORD) / RECORD.scale)
    assert pick(2).condition.number == pytest.approx(expected, rel=1e-12)
    assert not pick(2).condition.is_estimate
