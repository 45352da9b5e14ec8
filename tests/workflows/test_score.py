from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, MismatchError, RankError, RequestError
from prcli.numerics.rows import column_scales
from prcli.records import Block
from prcli.workflows import rows
from prcli.workflows import score_table as module
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import row_form
from prcli.workflows.rows import EnergyRows, local_blocks
from prcli.workflows.score import score
from prcli.workflows.score_run import ScoreRequest, ScoreRun
from prcli.workflows.score_table import Limits, chosen_rows, score_columns, score_table
from prcli.workflows.scores import Scores, ranks_of


def whole(table: object, name: str = "scored") -> Dataset:
    return Dataset([Part(table, range(table.n_structures))], name)  # type: ignore[arg-type, attr-defined]


def hessian(**options: object) -> HessianRecord:
    return sum_hessian([whole(features_of(12, seed=1))], [], HessianOptions(**options))  # type: ignore[arg-type]


def written_out(record: HessianRecord, g: np.ndarray) -> np.ndarray:
    """1/(g H⁻¹ g) from the normal equations of scaled rows."""
    scales = column_scales(record.n_features, record.intercept, record.scale)
    factor = record.R["energy"] / scales
    matrix = factor.T @ factor
    for i in range(record.n_features):
        matrix[i, i] += record.regularizer
    scaled = g / scales
    return 1.0 / np.einsum("ij,ij->i", scaled, np.linalg.solve(matrix, scaled.T).T)


@pytest.mark.parametrize("energy", ["per-atom", "total"])
@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
@pytest.mark.parametrize("scale", [None, "none", 7.5])
def test_rigidities_are_those_of_the_formula(energy, intercept, scale):
    record = hessian(energy=energy, intercept=intercept, scale=scale, regularizer=0.01)
    data = whole(features_of(7, seed=2))
    form = row_form(record)
    scores = score(record, data)
    expected = written_out(record, EnergyRows(data, form).read_all())
    np.testing.assert_allclose(scores.rigidity, expected, rtol=1e-9)
    local = np.concatenate([block[2] for block in local_blocks(data, form)])
    found = score(record, data, "atom")
    np.testing.assert_allclose(found.rigidity, written_out(record, local), rtol=1e-9)


def test_atoms_know_their_structure_and_element():
    table = features_of(5, seed=2)
    scores = score(hessian(), whole(table), "atom")
    np.testing.assert_array_equal(scores.structure, np.repeat(range(5), table.n_atoms))
    expected = np.concatenate([np.arange(n) for n in table.n_atoms])
    np.testing.assert_array_equal(scores.atom, expected)
    np.testing.assert_array_equal(scores.species, table.species)


def test_structures_are_rows_of_their_own():
    scores = score(hessian(), whole(features_of(5, seed=2)))
    assert scores.structure.tolist() == [0, 1, 2, 3, 4]
    assert scores.atom is scores.component is scores.trace is scores.species is None


def test_unknown_elements_are_spelled_x():
    table = features_of(3, seed=2, species=None)
    data = whole(table)
    scores = score(hessian(), data, "atom")
    assert scores.species is None
    columns = score_columns(scores, hessian())
    (batch,) = score_table(scores, data, columns, chosen_rows(scores))
    assert set(batch["species"]) == {"X"}


@pytest.mark.parametrize("per", ["structure", "atom"])
def test_size_of_the_blocks_does_not_matter(monkeypatch, per):
    counts = [2, 400, 1, 3]
    rng = np.random.default_rng(0)
    data = whole(Features(atoms=rng.normal(size=(406, 3)), n_atoms=counts))
    record = hessian()
    expected = score(record, data, per)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 8)
    monkeypatch.setattr(module, "_TABLE_ROWS", 3)
    found = score(record, data, per)
    np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-12)
    np.testing.assert_array_equal(found.rank, expected.rank)
    columns = score_columns(found, record)
    batches = list(score_table(found, data, columns, chosen_rows(found, "file")))
    assert max(len(batch["index"]) for batch in batches) == 3
    rigidity = np.concatenate([batch[columns[-2]] for batch in batches])
    np.testing.assert_array_equal(rigidity, found.rigidity)


def scores_of(values: list[float], alpha: float | None = None) -> Scores:
    rigidity, offsets = np.array(values), np.arange(len(values) + 1)
    return Scores("structure", rigidity, ranks_of(rigidity), offsets, None, alpha)


def test_ranks_are_small_integers_in_the_order_of_the_set():
    ranks = ranks_of(np.array([2.0, np.inf, 1.0, 2.0, np.inf]))
    assert ranks.tolist() == [2, 4, 1, 3, 5]
    assert ranks.dtype == np.int32


#: σ of a rigidity of 0.25 or 4 is a number without rounding.
LIMITS = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, np.inf]


@given(
    st.lists(st.sampled_from([0.25, 1.0, 4.0, np.inf]), min_size=1, max_size=9),
    st.sampled_from(["rank", "file"]),
    st.none() | st.integers(1, 10),
    st.fixed_dictionaries(
        {name: st.none() | st.sampled_from(LIMITS) for name in ("below", "above")}
        | {name: st.none() | st.sampled_from(LIMITS) for name in ("below_sigma", "above_sigma")}
    ),
)
def test_chosen_rows_are_those_of_a_sort(values, order, top, limits):
    scores = scores_of(values, alpha=1.0)
    tests = {
        "below": lambda i, x: scores.rigidity[i] < x,
        "above": lambda i, x: scores.rigidity[i] > x,
        "below_sigma": lambda i, x: scores.sigma[i] < x,
        "above_sigma": lambda i, x: scores.sigma[i] > x,
    }
    wanted = [
        i
        for i in sorted(range(len(values)), key=lambda i: values[i])
        if all(x is None or tests[name](i, x) for name, x in limits.items())
    ][:top]
    found = chosen_rows(scores, order, top=top, limits=Limits(**limits))
    assert found.tolist() == (wanted if order == "rank" else sorted(wanted))


@pytest.mark.parametrize("name", ["below", "above", "below_sigma", "above_sigma"])
def test_limits_must_be_numbers(name):
    with pytest.raises(RequestError, match=f"--{name.replace('_', '-')} must be a number"):
        Limits(**{name: float("nan")})


def test_limits_on_sigma_need_a_calibrated_hessian():
    request = ScoreRequest(hessian(), (np.ones((2, 3)),), limits=Limits(above_sigma=0.1))
    with pytest.raises(RequestError, match="not calibrated") as caught, ScoreRun(request):
        pytest.fail("must not get here")
    assert "prcli calibrate" in str(caught.value)


def test_limits_on_sigma_need_the_factor_of_their_kind():
    table = features_of(4, seed=2, **gradients_of(counts_of(4, 2), 3, 2))
    record = replace(hessian(), alpha_energy=0.5)
    request = ScoreRequest(record, (table,), per="force", limits=Limits(below_sigma=0.1))
    with pytest.raises(RequestError, match="alpha_force"), ScoreRun(request):
        pytest.fail("must not get here")


def test_ties_rank_in_the_order_of_the_set():
    table = Features(np.array([[1.0, 0, 0], [2, 0, 0], [1, 0, 0], [2, 0, 0]]))
    assert score(hessian(), whole(table)).rank.tolist() == [3, 1, 4, 2]


def test_chosen_rows():
    scores = scores_of([3.0, 1.0, np.inf, 2.0])
    assert chosen_rows(scores).tolist() == [1, 3, 0, 2]
    assert chosen_rows(scores, "file").tolist() == [0, 1, 2, 3]
    assert chosen_rows(scores, top=2).tolist() == [1, 3]
    assert chosen_rows(scores, "file", top=3).tolist() == [0, 1, 3]
    assert chosen_rows(scores, limits=Limits(below=3.0)).tolist() == [1, 3]
    assert chosen_rows(scores, top=9, limits=Limits(below=np.inf)).tolist() == [1, 3, 0]
    assert chosen_rows(scores, top=1, limits=Limits(above=1.0)).tolist() == [3]
    assert chosen_rows(scores, limits=Limits(above=2.0, below=2.0)).tolist() == []


def test_sigma_is_alpha_over_the_root():
    scores = scores_of([4.0, np.inf, 0.25], alpha=0.5)
    assert scores.sigma.tolist() == [0.25, 0.0, 1.0]
    assert scores_of([1.0]).sigma is None
    assert scores.n_infinite == 1


def test_rows_of_zeros_are_infinitely_rigid():
    table = Features(np.array([[0.0, 0, 0], [1, 0, 0]]))
    scores = score(hessian(), whole(table))
    assert scores.rigidity[0] == np.inf
    assert scores.rank.tolist() == [2, 1]
    assert scores.n_infinite == 1


@pytest.mark.parametrize("per", ["structure", "atom", "component", "atom-component"])
@pytest.mark.parametrize("factor", [1e200, 1e306])
def test_rows_whose_squares_overflow_are_refused(per, factor, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 64)
    blocks, counts = [Block("nu1", 1), Block("nu2", 2)], [2, 3, 1, 4, 2, 5]
    train = whole(features_of(12, seed=1, blocks=blocks))
    record = sum_hessian([train], [], HessianOptions())
    atoms = np.random.default_rng(2).normal(size=(17, 3))
    atoms[11] *= factor
    species = np.full(17, 6)
    table = Features(atoms=atoms, n_atoms=counts, species=species, blocks=blocks, label="large")
    with pytest.raises(FeatureError, match="their squares overflow") as caught:
        score(record, whole(table), per)
    assert caught.value.where == "large, structure 4"


def test_training_structures_are_warned_of(caplog):
    data = Dataset([Part(features_of(12, seed=1), range(3))], "scored")
    with caplog.at_level(logging.WARNING):
        score(hessian(), data)
    assert "3 of 3 structures of the scored set are in the training set" in caplog.text


def test_singular_hessian_is_refused():
    train = Dataset([Part(features_of(12, seed=1), range(2))], "train")
    record = sum_hessian([train], [], HessianOptions(regularizer=0.0))
    with pytest.raises(RankError):
        score(record, whole(features_of(2, seed=2)))


def test_other_width_and_blocks_are_refused():
    from prcli.records import Block

    with pytest.raises(MismatchError, match="scored set does not fit the Hessian"):
        score(hessian(), whole(features_of(2, 4)))
    with pytest.raises(MismatchError, match="a:3"):
        score(hessian(), whole(features_of(2, blocks=(Block("a", 3),))))


def test_unknown_row_is_refused():
    with pytest.raises(RequestError, match="structure or atom or force or stress"):
        score(hessian(), whole(features_of(2, seed=2)), "bond")


def test_atoms_are_needed_for_scores_of_atoms():
    with pytest.raises(FeatureError, match="features of atoms"):
        score(hessian(), whole(Features(np.ones((2, 3)))), "atom")
    request = ScoreRequest(hessian(), (np.ones((2, 3)),), per="atom")
    with pytest.raises(FeatureError, match="rigidities of atoms"), ScoreRun(request):
        pytest.fail("must not get here")


def test_top_must_be_positive():
    with pytest.raises(RequestError, match="--top"):
        ScoreRun(ScoreRequest(hessian(), (), top=0))


def test_progress_reaches_the_end():
    seen = []
    data = whole(features_of(5, seed=2))
    for per, total in (("structure", 5), ("atom", data.n_atoms_total)):
        score(hessian(), data, per, lambda *step: seen.append(step))
        assert seen[-1] == ("score", total, total)


def test_weights_of_other_kinds_count():
    # Rows of forces with weight w enter as the root of w times the rows.
    record = hessian(regularizer=0.01, scale="none")
    force = np.triu(np.random.default_rng(0).normal(size=(3, 3)))
    both = replace(
        record,
        R={**record.R, "force": force},
        n_rows={**record.n_rows, "force": 30},
        force_weight=0.5,
    )
    data = whole(features_of(4, seed=2))
    g = EnergyRows(data, row_form(record)).read_all()
    energy = record.R["energy"]
    for reduction, weight in (("sum", 0.5), ("mean", 0.5 * 12 / 30)):
        matrix = energy.T @ energy + weight * force.T @ force + 0.01 * np.eye(3)
        expected = 1.0 / np.einsum("ij,ij->i", g, np.linalg.solve(matrix, g.T).T)
        found = score(replace(both, reduction=reduction), data).rigidity
        np.testing.assert_allclose(found, expected, rtol=1e-9)
