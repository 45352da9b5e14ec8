"""Which training structures go, against Hessians that are summed without them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from builders import features_of, gradients_of

import prcli
from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import DuplicateRowsError, ExpressionError, FeatureError, RequestError
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.prune import Pruning
from prcli.workflows.prune_options import PruneOptions
from prcli.workflows.score import score

COUNTS = features_of(12, 4, seed=1).n_atoms
TRAIN = features_of(12, 4, seed=1)
FORCES = features_of(12, 4, seed=1, **gradients_of(COUNTS, 4, 1))
TARGET = features_of(5, 4, seed=2)
OPTIONS = HessianOptions(regularizer=0.01)


def pruned(train: object = TRAIN, options: HessianOptions = OPTIONS, **how: object) -> Pruning:
    weight = how.pop("target_weight", None)
    inputs = {} if weight is None else {"target_weight": weight}
    return prcli.prune(
        train,  # type: ignore[arg-type]
        how.pop("target", TARGET),  # type: ignore[arg-type]
        PruneOptions(**how),  # type: ignore[arg-type]
        hessian_options=options,
        **inputs,  # type: ignore[arg-type]
    )


def record_of(table: Features, indices: list[int], options: HessianOptions) -> HessianRecord:
    parts = [Part(table, range(i, i + 1)) for i in indices]
    return sum_hessian([Dataset(parts, "train")], [], options)


def rigidities(
    table: Features, indices: list[int], options: HessianOptions, per: str = "structure"
) -> np.ndarray:
    """Of the targets, by a Hessian of some structures at the scale of all."""
    whole = record_of(table, list(range(table.n_structures)), options)
    fixed = HessianOptions(
        scale=whole.scale,
        regularizer=0.01,
        force_weight=options.force_weight,
        stress_weight=options.stress_weight,
        loss=options.loss,
    )
    record = record_of(table, indices, fixed)
    return score(record, Dataset([Part(TARGET, range(5))], "target"), per=per).rigidity  # type: ignore[arg-type]


def check_every_removal(
    pruning: Pruning, table: Features, options: HessianOptions, per: str = "structure"
) -> None:
    left = list(range(table.n_structures))
    before = rigidities(table, left, options, per)
    np.testing.assert_allclose(pruning.target_pr_before, before, rtol=1e-9)
    for step, index in enumerate(pruning.indices.tolist()):
        means = {
            i: rigidities(table, [j for j in left if j != i], options, per).mean() for i in left
        }
        assert means[index] >= max(means.values()) * (1 - 1e-9)
        assert pruning.states.mean[step + 1] == pytest.approx(means[index], rel=1e-9)
        assert pruning.losses[step] == pytest.approx(1 - means[index] / before.mean(), rel=1e-7)
        left.remove(index)
    assert pruning.kept.tolist() == left
    after = rigidities(table, left, options, per)
    np.testing.assert_allclose(pruning.target_pr_after, after, rtol=1e-9)


def test_every_removal_is_the_least_missed():
    pruning = pruned(n_to_keep=5)
    assert len(pruning.indices) == 7
    assert pruning.stopped == "n_to_keep"
    check_every_removal(pruning, TRAIN, OPTIONS)


def test_structures_go_with_their_forces_and_stresses():
    options = HessianOptions(regularizer=0.01, force_weight=0.1, stress_weight=2.0)
    pruning = pruned(FORCES, options, n_to_keep=7)
    check_every_removal(pruning, FORCES, options)


def test_atoms_can_be_targets():
    check_every_removal(pruned(n_to_keep=9, target_per="atom"), TRAIN, OPTIONS, per="atom")


def test_weights_of_structures_count():
    table = features_of(12, 4, seed=1, columns={"w": np.linspace(0.0, 3.0, 12)})
    options = HessianOptions(regularizer=0.01, loss=LossOptions(weight_key="w"))
    pruning = pruned(table, options, n_to_keep=8)
    # What weighs nothing is missed least of all.
    assert pruning.indices[0] == 0
    check_every_removal(pruning, table, options)


def test_weights_of_kinds_stay_those_of_the_whole_set():
    mean = HessianOptions(regularizer=0.01, reduction="mean", stress_weight=0.0)
    n_forces = 3 * int(COUNTS.sum())
    same = HessianOptions(regularizer=0.01, force_weight=12 / n_forces, stress_weight=0.0)
    one, other = pruned(FORCES, mean, n_to_keep=8), pruned(FORCES, same, n_to_keep=8)
    assert one.indices.tolist() == other.indices.tolist()
    np.testing.assert_allclose(one.states.mean, other.states.mean, rtol=1e-9)


def test_loss_stays_below_what_is_allowed():
    pruning = pruned(max_loss=0.05)
    one_more = pruned(n_to_keep=len(pruning.kept) - 1)
    assert pruning.stopped == "max_loss"
    assert 0.0 < pruning.loss <= 0.05 < one_more.loss
    assert one_more.indices[:-1].tolist() == pruning.indices.tolist()


def test_structures_of_a_hessian_file_stay(tmp_path):
    part = record_of(TRAIN, list(range(4)), HessianOptions(regularizer=0.01))
    prcli.write_hessian(tmp_path / "part.hessian", part)
    rest = Features(
        atoms=np.asarray(TRAIN.atoms.read(int(COUNTS[:4].sum()), int(COUNTS.sum()))),
        n_atoms=COUNTS[4:],
        species=np.asarray(TRAIN.species)[int(COUNTS[:4].sum()) :],
    )
    pruning = pruned([tmp_path / "part.hessian", rest], n_to_keep=3)
    left = [i for i in range(12) if i < 4 or i - 4 not in pruning.indices]
    np.testing.assert_allclose(pruning.target_pr_after, rigidities(TRAIN, left, OPTIONS), rtol=1e-9)
    with pytest.raises(DuplicateRowsError, match="twice"):
        pruned([tmp_path / "part.hessian", TRAIN], n_to_keep=3)
    with pytest.raises(RequestError, match="no structure that could be removed"):
        pruned([tmp_path / "part.hessian"], n_to_keep=3)


def copies(distance: float) -> Features:
    """Structures 3, 5 and 7 are near structure 1, and 8 is near 0."""
    rows = np.random.default_rng(4).normal(size=(9, 4)) + 0.3
    for i, j in ((3, 1), (5, 1), (7, 1), (8, 0)):
        rows[i] = rows[j]
        rows[i, 2] += distance
    return Features(structures=rows, n_atoms=np.full(9, 2), convention="mean")


@pytest.mark.parametrize(("distance", "limit"), [(0.0, 0.0), (1e-3, 0.01)])
def test_duplicates_go_first_and_are_not_counted(distance, limit):
    table, target = copies(distance), np.random.default_rng(5).normal(size=(4, 4))
    pruning = pruned(table, target=target, duplicates=limit, max_loss=0.2)
    assert pruning.indices[:4].tolist() == [3, 5, 7, 8]
    assert pruning.n_duplicates == 4
    assert np.isnan(pruning.losses[:4]).all()
    assert 0.0 < pruning.loss <= 0.2
    assert pruning.losses[-1] == pruning.loss
    without = pruned(table, target=target, duplicates=limit)
    assert without.stopped == "duplicates"
    assert without.indices.tolist() == [3, 5, 7, 8]
    assert without.loss == 0.0
    options = HessianOptions(allow_duplicates=True)
    scale = sum_hessian([Dataset([Part(table, range(9))], "train")], [], options).scale
    np.testing.assert_allclose(without.distance[[3, 8]] * scale, distance, atol=1e-15)


def test_no_more_duplicates_go_than_may_go():
    pruning = pruned(copies(0.0), target=np.ones((1, 4)), duplicates=0.0, n_to_keep=7)
    assert pruning.indices.tolist() == [3, 5]


def test_copies_are_spoken_of(caplog):
    with caplog.at_level(logging.WARNING, "prcli"):
        pruned(copies(0.0), target=np.ones((1, 4)), n_to_keep=8)
    assert "4 training structures are copies of others" in caplog.text


def test_targets_of_no_weight_do_not_count():
    weight = np.array([1.0, 0.0, 2.0, 0.0, 1.0])
    target = features_of(5, 4, seed=2, columns={"w": weight})
    pruning = pruned(target=target, target_weight="w", n_to_keep=6)
    expected = np.average(rigidities(TRAIN, pruning.kept.tolist(), OPTIONS), weights=weight)
    assert pruning.states.mean[-1] == pytest.approx(expected, rel=1e-9)


def test_an_unknown_weight_is_refused_before_the_training_set_is_summed(caplog):
    with caplog.at_level(logging.INFO, "prcli"), pytest.raises(ExpressionError, match="'w'"):
        pruned(target_weight="w", n_to_keep=6)
    assert "training set:" not in caplog.text


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "not said"),
        ({"n_to_keep": 0}, "at least one"),
        ({"max_loss": 1.0}, "share"),
        ({"max_loss": float("nan")}, "share"),
        ({"duplicates": -1.0}, "distance"),
        ({"n_to_keep": 3, "objective": "log-det"}, "objective"),
        ({"n_to_keep": 13}, "fewer training structures"),
    ],
)
def test_bad_requests_are_refused(how, said):
    with pytest.raises(RequestError, match=said):
        pruned(**how)


def test_atoms_as_targets_need_features_of_atoms():
    target = Features(structures=np.ones((2, 4)), n_atoms=np.ones(2, int), convention="mean")
    train = Features(structures=np.ones((3, 4)), n_atoms=np.ones(3, int), convention="mean")
    with pytest.raises(FeatureError, match="features of atoms"):
        pruned(train, target=target, n_to_keep=1, target_per="atom")
