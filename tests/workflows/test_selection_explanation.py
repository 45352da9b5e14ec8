"""Why structures were picked, against Hessians that are summed with and without them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from builders import features_of, gradients_of, write_store

import prcli
from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.tables import read_table
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.score import score
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.select_request import SelectRequest
from prcli.workflows.select_run import SelectRun


def sets(gradients: bool) -> dict[str, Features]:
    made = {}
    for name, n, seed in (("train", 10, 1), ("target", 5, 2), ("pool", 9, 3)):
        counts = features_of(n, 4, seed).n_atoms
        rows = gradients_of(counts, 4, seed) if gradients and name != "target" else {}
        made[name] = features_of(n, 4, seed, **rows)
    return made


def explained(data: dict[str, Features], n: int = 4, **options: object) -> SelectRun:
    names = {"hessian", "train", "checkpoint"} & set(options)
    given = {name: options.pop(name) for name in names}
    request = SelectRequest(
        SelectOptions(n, **options),  # type: ignore[arg-type]
        **{name: (table,) for name, table in data.items()} | given,  # type: ignore[arg-type]
        hessian_options=HessianOptions(regularizer=0.01),
        explain=True,
    )
    with SelectRun(request) as run:
        run.run()
    return run


def rigidities(data: dict[str, Features], indices: list[int], scale: float) -> np.ndarray:
    parts = [
        Part(data["train"], range(10)),
        *(Part(data["pool"], range(i, i + 1)) for i in indices),
    ]
    options = HessianOptions(regularizer=0.01, scale=scale)
    record = sum_hessian([Dataset(parts, "train")], [], options)
    return score(record, Dataset([Part(data["target"], range(5))], "target")).rigidity


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("strategy", ["pr", "random"])
def test_helped_targets_are_those_that_rise_most(gradients, strategy):
    data = sets(gradients)
    run = explained(data, strategy=strategy)
    picks = run.selection.indices.tolist()
    for i, (text, shares) in enumerate(
        zip(run.explanation.table["helped"], run.explanation.table["helped_share"], strict=True)
    ):
        before = rigidities(data, picks[:i], run.record.scale)
        after = rigidities(data, picks[: i + 1], run.record.scale)
        expected = 1 - before / after
        order = np.argsort(-expected)[:3]
        assert [int(name) for name in text.split(",")] == order.tolist()
        np.testing.assert_allclose(
            [float(share) for share in shares.split(",")], expected[order], rtol=1e-7
        )
        entries = run.explanation.picks[i]["helped"]
        assert [entry["index"] for entry in entries] == order.tolist()
        np.testing.assert_allclose(
            [entry["pr_after"] for entry in entries], after[order], rtol=1e-9
        )


def test_nearest_training_structure_is_that_of_least_distance():
    data = sets(gradients=False)
    run = explained(data)

    def means(table: Features) -> np.ndarray:
        starts = np.concatenate([[0], np.cumsum(table.n_atoms)])
        atoms = np.asarray(table.atoms.read(0, int(starts[-1])))
        pairs = zip(starts[:-1], starts[1:], strict=True)
        return np.array([atoms[a:b].mean(axis=0) for a, b in pairs])

    picked, train = means(data["pool"])[run.selection.indices], means(data["train"])
    distances = np.linalg.norm(picked[:, np.newaxis] - train, axis=2) / run.record.scale
    table = run.explanation.table
    np.testing.assert_array_equal(table["nearest_train"], distances.argmin(axis=1))
    np.testing.assert_array_equal(table["nearest_frame"], distances.argmin(axis=1))
    np.testing.assert_allclose(table["nearest_distance"], distances.min(axis=1), rtol=1e-12)


def test_of_a_hessian_no_structure_is_known(caplog):
    data = sets(gradients=False)
    record = prcli.hessian(data.pop("train"), regularizer=0.01)
    with caplog.at_level(logging.INFO, "prcli"):
        run = explained(data, hessian=record)
    assert list(run.explanation.table["nearest_train"]) == [None] * 4
    assert "nearest_training_structure" not in run.explanation.picks[0]
    assert caplog.text.count("the Hessian only") == 1
    assert run.explanation.table["helped"][0]


def test_without_targets_nothing_is_helped():
    data = sets(gradients=False)
    del data["target"]
    run = explained(data, objective="log-det")
    assert list(run.explanation.table["helped"]) == [None] * 4
    assert run.explanation.table["nearest_train"].min() >= 0


def test_targets_that_are_atoms_are_named_by_both():
    run = explained(sets(gradients=False), target_per="atom")
    entry = run.explanation.picks[0]["helped"][0]
    name = run.explanation.table["helped"][0].split(",")[0]
    assert name == f"{entry['index']}:{entry['atom']}"


@pytest.mark.parametrize("gradients", [False, True])
def test_a_resumed_selection_is_explained_as_one_that_was_not_stopped(gradients, tmp_path):
    data = sets(gradients)
    whole = explained(data, n=6)
    path = str(tmp_path / "picks")

    def stop(task: str, done: int, total: int | None) -> None:
        if task == "select" and done >= 3:
            raise SystemExit(143)

    request = SelectRequest(
        SelectOptions(6),
        **{name: (table,) for name, table in data.items()},
        hessian_options=HessianOptions(regularizer=0.01),
        explain=True,
        checkpoint=path,
    )
    with pytest.raises(SystemExit), SelectRun(request) as run:
        run.run(stop)
    assert Path(path).exists()
    with SelectRun(request) as run:
        run.run()
    assert run.selection.n_resumed == 3
    np.testing.assert_array_equal(run.selection.helped.target, whole.selection.helped.target)
    np.testing.assert_allclose(
        run.selection.helped.share, whole.selection.helped.share, rtol=1e-7, atol=1e-12
    )


def test_columns_follow_those_of_the_picks(tmp_path):
    for name, n, seed in (("train", 10, 1), ("target", 5, 2), ("pool", 9, 3)):
        write_store(tmp_path / f"{name}.h5", n, seed=seed, xyz=tmp_path / f"{name}.xyz")
    paths = {name: tmp_path / f"{name}.h5" for name in ("train", "target")}
    out = tmp_path / "out"
    prcli.select(tmp_path / "pool.h5", 3, **paths, output=str(out))
    table = read_table(out / "selection.tsv")
    assert list(table)[-6:] == [
        "helped",
        "helped_share",
        "nearest_train",
        "nearest_source",
        "nearest_frame",
        "nearest_distance",
    ]
    assert all(name.endswith("train.xyz") for name in table["nearest_source"])
    picks = json.loads((out / "report.json").read_text())["picks"]
    for i, pick in enumerate(picks):
        assert [str(each["index"]) for each in pick["helped"]] == table["helped"][i].split(",")
        nearest = pick["nearest_training_structure"]
        assert str(nearest["index"]) == table["nearest_train"][i]
        assert str(nearest["distance"]) == table["nearest_distance"][i]


@pytest.mark.parametrize(
    "how",
    [
        {"n_to_select": 4, "refine": 3},
        {"constraints": prcli.ConstraintOptions(budget=12.0, cost="n_atoms")},
        {"n_to_select": 4, "strategy": "fps"},
    ],
)
def test_explanations_begin_and_end_where_the_selection_does(how):
    data = sets(gradients=False)
    selection = prcli.select(**data, **how, regularizer=0.01, explain=True)
    helped = selection.helped
    assert len(helped.target) == len(selection.indices) > 1
    before, after = selection.target_pr_before, selection.target_pr_after
    np.testing.assert_allclose(helped.pr_before[0], before[helped.target[0]], rtol=1e-9)
    np.testing.assert_allclose(helped.pr_after[-1], after[helped.target[-1]], rtol=1e-9)
