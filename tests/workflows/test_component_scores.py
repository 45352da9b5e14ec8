"""Components of structures and of atoms: scored, and as targets of a selection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import features_of
from thread_ranks import run_ranks

from prcli.data.dataset import Dataset, Part
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError
from prcli.numerics.rows import column_scales
from prcli.records import Block, no_progress
from prcli.workflows import rows as module
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import row_form
from prcli.workflows.rows import EnergyRows, local_blocks
from prcli.workflows.score import score, score_rows
from prcli.workflows.score_table import chosen_rows, score_columns, score_table
from prcli.workflows.select_api import select

D = 6
BLOCKS = (Block("nu1", 2), Block("nu2", 3), Block("long", 1))
COLUMNS = {"nu1": [0, 1], "nu2": [2, 3, 4], "long": [5]}


def features(n_structures: int, seed: int, **parts: object):
    return features_of(n_structures, D, seed, **({"blocks": BLOCKS} | parts))


def whole(table: object, name: str = "scored") -> Dataset:
    return Dataset([Part(table, range(table.n_structures))], name)  # type: ignore[arg-type, attr-defined]


def hessian(**options: object) -> HessianRecord:
    return sum_hessian([whole(features(12, 1))], [], HessianOptions(**options))  # type: ignore[arg-type]


def written_out(record: HessianRecord, rows: np.ndarray) -> np.ndarray:
    """1/(g H⁻¹ g) of every block of every row from the normal equations, shape (M, 3)."""
    scales = column_scales(record.n_features, record.intercept, record.scale)
    factor = record.R["energy"] / scales
    matrix = factor.T @ factor
    matrix[:D, :D] += record.regularizer * np.eye(D)
    values = np.empty((len(rows), len(COLUMNS)))
    for i, g in enumerate(rows):
        for k, own in enumerate(COLUMNS.values()):
            masked = np.zeros(len(g))
            masked[own] = (g / scales)[own]
            values[i, k] = 1.0 / (masked @ np.linalg.solve(matrix, masked))
    return values


@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
@pytest.mark.parametrize("energy", ["per-atom", "total"])
def test_rigidities_are_those_of_the_formula(energy, intercept):
    record = hessian(energy=energy, intercept=intercept, regularizer=0.01)
    data = whole(features(7, 2))
    form = row_form(record)
    expected = written_out(record, EnergyRows(data, form).read_all())
    np.testing.assert_allclose(score(record, data, "component").rigidity, expected.ravel(), 1e-9)
    local = np.concatenate([block[2] for block in local_blocks(data, form)])
    found = score(record, data, "atom-component").rigidity
    np.testing.assert_allclose(found, written_out(record, local).ravel(), rtol=1e-9)


@pytest.mark.parametrize("per", ["component", "atom-component"])
def test_rows_know_where_they_belong(per):
    table = features(5, 2)
    data, record = whole(table), hessian()
    scores = score(record, data, per)
    columns = score_columns(scores, record)
    (batch,) = score_table(scores, data, columns, chosen_rows(scores, "file"))
    n_rows = np.ones(5, dtype=int) if per == "component" else table.n_atoms
    structure = np.repeat(range(5), 3 * n_rows)
    np.testing.assert_array_equal(batch["index"], structure)
    np.testing.assert_array_equal(scores.structure, structure)
    assert batch["component"].tolist() == [*COLUMNS] * n_rows.sum()
    assert scores.component.tolist() == [0, 1, 2] * n_rows.sum()
    if per == "component":
        assert columns[3:] == ("n_atoms", "component", "cpr", "rank")
        assert scores.atom is None
    else:
        assert columns[3:] == ("atom", "species", "component", "lcpr", "rank")
        atom = np.repeat(np.concatenate([np.arange(n) for n in table.n_atoms]), 3)
        np.testing.assert_array_equal(batch["atom"], atom)
        np.testing.assert_array_equal(scores.atom, atom)
        np.testing.assert_array_equal(scores.species, np.repeat(table.species, 3))
    assert scores.trace is None


@pytest.mark.parametrize(
    ("per", "energy", "name"),
    [
        ("component", "per-atom", "sigma_eV_per_atom"),
        ("component", "total", "sigma_eV"),
        ("atom-component", "per-atom", "sigma_eV"),
    ],
)
def test_calibrated_hessian_adds_sigma(per, energy, name):
    record = replace(hessian(energy=energy), alpha_energy=0.25)
    data = whole(features(3, 2))
    scores = score(record, data, per)
    columns = score_columns(scores, record)
    assert columns[-1] == name
    (batch,) = score_table(scores, data, columns, chosen_rows(scores))
    rigidity = batch["cpr" if per == "component" else "lcpr"]
    np.testing.assert_allclose(batch[name], 0.25 / np.sqrt(rigidity), rtol=1e-15)


@pytest.mark.parametrize("per", ["component", "atom-component"])
def test_size_of_the_blocks_and_ranks_do_not_matter(monkeypatch, per):
    data, record = whole(features(40, 2)), hessian()
    # Only some rows are looked at, always the same.
    monkeypatch.setattr("prcli.workflows.health.MOST_ROWS", 17)
    expected = score(record, data, per)
    assert expected.health.n_rows <= 17
    monkeypatch.setattr(module, "BLOCK_BYTES", 8)
    found = score(record, data, per)
    np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-12)
    first, *_ = run_ranks(3, lambda rank: score_rows(record, data, per, no_progress, rank))
    np.testing.assert_allclose(first.rigidity, expected.rigidity, rtol=1e-12)
    np.testing.assert_array_equal(first.species, expected.species)
    assert first.health == found.health == expected.health


def test_health_counts_components():
    record = hessian(regularizer=1e6)
    health = score(record, whole(features(4, 2)), "component").health
    assert (health.n_rows, health.n_held) == (12, 12)
    assert score(hessian(regularizer=1e-8), whole(features(4, 2)), "component").health.n_held == 0


def test_columns_without_names_have_no_components():
    table = features_of(5, D, 1)
    record = sum_hessian([whole(table)], [], HessianOptions())
    for per in ("component", "atom-component"):
        with pytest.raises(FeatureError, match="named blocks"):
            score(record, whole(table), per)
    with pytest.raises(FeatureError, match="named blocks"):
        select(table, 1, train=table, target=table, target_per="component")


def test_a_selection_raises_rigidities_of_components():
    train, target, pool = features(8, 1), features(5, 2), features(9, 3)
    selection = select(pool, 2, train=train, target=target, target_per="component", regularizer=0.1)
    record = sum_hessian([whole(train)], [], HessianOptions(regularizer=0.1))
    rows = EnergyRows(whole(target), row_form(record)).read_all()
    before = written_out(record, rows).ravel()
    np.testing.assert_allclose(selection.target_pr_before, before, rtol=1e-9)
    assert selection.target_component.tolist() == [*COLUMNS] * 5
    assert selection.target_structure.tolist() == np.repeat(range(5), 3).tolist()
    # Every choice is tried; the scale stays that of the training set.
    candidates = EnergyRows(whole(pool), row_form(record)).read_all()
    for index in selection.indices.tolist():
        means = [_mean_with(record, row, rows) for row in candidates]
        assert index == int(np.argmax(means))
        record = _with_row(record, candidates[index])
    np.testing.assert_allclose(selection.target_pr_after.mean(), max(means), rtol=1e-9)


def _with_row(record: HessianRecord, row: np.ndarray) -> HessianRecord:
    factor = np.linalg.qr(np.vstack([record.R["energy"], row]), mode="r")
    return replace(record, R={"energy": factor})


def _mean_with(record: HessianRecord, row: np.ndarray, rows: np.ndarray) -> float:
    return float(written_out(_with_row(record, row), rows).mean())
